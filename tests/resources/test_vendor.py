"""Reports of vendors' tools: every format, and everything that can be wrong with one."""

import contextlib
import os

import pytest

import a2q_keras as a2q
from a2q_keras.errors import FileError
from a2q_keras.resources import vendor
from a2q_keras.resources.usage import ResourceReport, Timing, Usage
from tests.resources.samples import SERIES7, ULTRASCALE, csynth


@pytest.fixture
def report(tmp_path):
    """(text) -> the file that holds it."""

    def write(text: str):
        path = tmp_path / "report"
        path.write_text(text)
        return path

    return write


class TestCSynthesis:
    def test_vitis_hls(self, report):
        found = a2q.read_resources(report(csynth()))
        assert (found.tool, found.method, found.name) == ("Vitis HLS 2023.2", "C synthesis estimate", "myproject")
        assert found.family == "xcvu13p-flga2577-2-e"
        assert found.total == Usage(luts=4711, ffs=1204, carries=None, dsps=9, brams=3, urams=1)
        assert found.timing == Timing(5.0, 3.417, 7, 11, 1, 1)
        assert "carries" not in str(found) and "latency 7 to 11, a sample every 1 cycles, clock 3.417 of 5.0" in str(
            found
        )

    def test_vivado_hls_and_a_latency_that_is_left_open(self, report):
        found = a2q.read_resources(report(csynth("2020.1", "DSP48E", "undef", uram="")))
        assert found.tool == "Vivado HLS 2020.1" and found.total.dsps == 9 and found.total.urams == 0
        assert found.timing.latency_max is None and found.timing.latency_min == 7

    def test_the_record_comes_back_from_a_file(self, report, tmp_path):
        found = a2q.read_resources(report(csynth()))
        found.save(tmp_path / "kept.json")
        assert ResourceReport.load(tmp_path / "kept.json") == found
        assert (found.total + Usage(carries=3)).carries is None

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (csynth()[:700], "is no whole C synthesis report: .*; run the C synthesis again"),
            ("<project/>", "is no C synthesis report: it is XML with <project> at the top"),
            (csynth().replace("Resources>", "Area>"), "without <profile> or AreaEstimates/Resources; give solution1"),
            (csynth().replace("<LUT>4711</LUT>", ""), "it has no AreaEstimates/Resources/LUT; run"),
            (csynth().replace("4711", "~4711"), "LUT is '~4711', which is no count"),
            (csynth().replace("<BRAM_18K>3", "<BRAM_18K>-3"), "BRAM_18K is '-3', which is no count"),
            (csynth(version=""), "it has no ReportVersion/Version"),
            (csynth(latency="long"), "Worst-caseLatency is 'long', which is no number"),
        ],
        ids=["truncated", "other XML", "no area", "no LUT", "no number", "negative", "no version", "latency"],
    )
    def test_damage_is_named(self, text, words, report):
        with pytest.raises(FileError, match=words):
            vendor.read(report(text))


class TestUtilization:
    def test_ultrascale_counts_half_tiles_and_ultra_rams(self, report):
        found = a2q.read_resources(report(ULTRASCALE))
        assert (found.tool, found.method, found.name) == ("Vivado 2023.2", "Vivado synthesis", "myproject")
        assert found.total == Usage(luts=2100, ffs=813, carries=96, dsps=6, brams=5, urams=4) and found.timing is None

    def test_series_7_after_routing_says_so(self, report):
        found = a2q.read_resources(report(SERIES7))
        assert found.method == "Vivado, routed" and found.family == "7z020clg400-1"
        assert found.total == Usage(luts=510, ffs=230, carries=71, dsps=12)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (
                ULTRASCALE[: ULTRASCALE.index("4. Primitives\n---")],
                "section '6. Instantiated Netlists' is missing; write it",
            ),
            (ULTRASCALE.replace("Table of Contents", ""), "section 'table of contents' is missing"),
            (ULTRASCALE.replace("| Design State", "Design State"), "its head has no 'Design State'"),
            (ULTRASCALE.replace("| CLB LUTs* ", "| Netlist   "), "no row CLB LUTs or Slice LUTs; 7 series, UltraScale"),
            (ULTRASCALE.replace("|  2.5 |", "|  2.3 |"), "'Block RAM Tile' is '2.3', which is no count"),
            (ULTRASCALE.replace("|  813 |", "|  x13 |"), "'CLB Registers' is 'x13', which is no count"),
            (ULTRASCALE.replace("Functional Category |", ""), "it lists no primitives"),
        ],
        ids=["truncated", "no contents", "no state", "no LUTs", "part of a tile", "no number", "no primitives"],
    )
    def test_damage_is_named(self, text, words, report):
        with pytest.raises(FileError, match=words):
            vendor.read(report(text))


@pytest.mark.parametrize("text", [csynth(), ULTRASCALE, SERIES7], ids=["csynth", "ultrascale", "series 7"])
def test_no_cut_through_a_report_gives_other_counts(text, report):
    whole = vendor.read(report(text)).total
    for end in range(0, len(text), 11):
        path = report(text[:end])
        with contextlib.suppress(FileError):
            assert vendor.read(path).total == whole, text[end - 40 : end]


def test_a_file_of_another_kind_or_none_says_what_to_give(report, tmp_path):
    with pytest.raises(FileError, match=r"neither a C synthesis report \(TOP_csynth.xml\) nor a utilization report"):
        vendor.read(report("== Vitis HLS Report for 'myproject'\n"))
    with pytest.raises(FileError, match="nowhere.xml cannot be read .*No such file.*check the name, or run synthesis"):
        vendor.read(tmp_path / "nowhere.xml")


class TestProjectFolder:
    @pytest.fixture
    def project(self, tmp_path):
        """(name of a file, text, age) -> writes the file into the folder of a project."""

        def write(name, text, seconds_ago):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            made = path.stat().st_mtime - seconds_ago
            os.utime(path, (made, made))
            return tmp_path

        (tmp_path / "net_prj").mkdir()
        write("firmware/net.cpp", "// the source", 300)
        return write

    ESTIMATE = "net_prj/solution1/syn/report/net_csynth.xml"

    def test_the_latest_step_counts(self, project):
        assert vendor.read(project(self.ESTIMATE, csynth(), 200)).method == "C synthesis estimate"
        assert vendor.read(project("vivado_synth.rpt", ULTRASCALE, 100)).method == "Vivado synthesis"

    def test_a_stale_report_is_refused(self, project):
        with pytest.raises(FileError, match=r"net_csynth.xml is older than net.cpp, so of another run; run it again"):
            vendor.read(project(self.ESTIMATE, csynth(), 400))
        project(self.ESTIMATE, csynth(), 200)
        with pytest.raises(FileError, match=r"vivado_synth.rpt is older than net_csynth.xml"):
            vendor.read(project("vivado_synth.rpt", ULTRASCALE, 250))

    def test_no_report_or_several_projects(self, project, tmp_path):
        with pytest.raises(FileError, match="holds no report of a synthesis; run it there"):
            vendor.read(tmp_path)
        (tmp_path / "other_prj").mkdir()
        with pytest.raises(FileError, match=r"holds several projects \(net, other\); give the report itself"):
            vendor.read(tmp_path)
