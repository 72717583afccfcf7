from dataclasses import replace

import pytest

from a2q_keras.errors import ConfigurationError, FileError
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.design import Place, Port, RtlDesign

PORT = Port("model_inp", "x", (2,), FixedPoint(3, 1, True), (Place(0, 3, True, 0), Place(3, 3, True, 0)))
DESIGN = RtlDesign("net", "top", "parallel", {"src/a.v": "module a", "b.xdc": "clock"}, (PORT,), (PORT,), 2)


def test_write_returns_the_folder_with_every_file_and_the_manifest(tmp_path):
    folder = DESIGN.write(tmp_path / "new")
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == ["b.xdc", "design.json", "src/a.v"]
    assert (folder / "src/a.v").read_text() == "module a" and DESIGN.sources == ("src/a.v",)


def test_files_of_an_older_design_go_and_those_of_others_stay(tmp_path):
    DESIGN.write(tmp_path)
    (tmp_path / "mine.txt").write_text("kept")
    replace(DESIGN, files={"src/c.v": "module c"}).write(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["c.v", "design.json", "mine.txt"]


def test_a_damaged_manifest_is_no_design(tmp_path):
    (tmp_path / "design.json").write_text("{")
    with pytest.raises(FileError, match=r"design\.json is not a whole a2q_keras hardware design"):
        DESIGN.write(tmp_path)


def test_digest_follows_the_text_and_the_ports():
    assert DESIGN.digest() == replace(DESIGN).digest()
    changed = replace(PORT, places=(Place(0, 3, True, 0), Place(3, 2, True, 1)))
    others = [replace(DESIGN, files={"src/a.v": "module b"}), replace(DESIGN, inputs=(changed,))]
    assert len({DESIGN.digest(), *(other.digest() for other in others)}) == 3


@pytest.mark.parametrize("wrong", [{"style": "serial"}, {"language": "c"}, {"files": {"../a.v": ""}}])
def test_what_is_no_design_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        replace(DESIGN, **wrong)
