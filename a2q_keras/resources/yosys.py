"""Synthesis with Yosys for Xilinx families: counts of primitives, by module where asked for."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from a2q_keras.errors import ConfigurationError, ToolFailedError
from a2q_keras.resources.usage import Usage
from a2q_keras.rtl.design import RtlDesign
from a2q_keras.tools import YOSYS

FAMILIES = ("xcup", "xc7")  # UltraScale+, 7 series
HOUR = 3600
STATISTICS = "statistics.json"
COMMON = "src/static/"  # small modules that are always merged into those that use them

# primitives by the field of Usage they count for, and how much
COUNTED = (
    (r"LUT[1-6](_2)?|SRL16E|SRLC16E", "luts", 1),
    (r"SRLC32E|RAM32X1[SD]", "luts", 1),
    (r"RAM64X1S|RAM128X1S", "luts", 1),
    (r"RAM64X1D|RAM32X1D_1", "luts", 2),
    (r"RAM32M|RAM64M|RAM128X1D", "luts", 4),
    (r"RAM32M16|RAM64M8", "luts", 8),
    (r"FD[RSCP]E(_1)?|LD[CP]E", "ffs", 1),
    (r"CARRY[48]", "carries", 1),
    (r"DSP48E[12]", "dsps", 1),
    (r"RAMB18E[12]", "brams", 1),
    (r"RAMB36E[12]", "brams", 2),
)
# inverters and multiplexers inside a slice take no look-up table of their own; buffers of clocks are no logic
FREE = r"INV|MUXF[789]|BUFG|IBUF|OBUF|GND|VCC|BUF|\$scopeinfo"


def synthesize(design: RtlDesign, family: str, dsp: bool, by_module: bool, timeout: float) -> dict[str, Usage]:
    """Usage by module, all instances together; one entry, the top, unless `by_module`.

    Raises ConfigurationError for VHDL or an unknown family, ToolMissingError without Yosys, ToolFailedError where it
    fails, takes longer than `timeout` seconds, or counts a primitive that is not known here.
    """
    check(design.language, family)
    with tempfile.TemporaryDirectory(prefix="a2q_yosys_") as fresh:
        folder = design.write(fresh)
        YOSYS.run(["-q", "-p", script(design, family, dsp, by_module)], cwd=folder, timeout=timeout)
        return usage(_statistics(folder / STATISTICS), design.top)


def check(language: str, family: str):
    """ConfigurationError for what Yosys is not used for here."""
    if family not in FAMILIES:
        raise ConfigurationError(f"family is {family!r}; supported are {', '.join(FAMILIES)}")
    if language != "verilog":
        raise ConfigurationError(f"synthesis takes language='verilog'; the design is in {language}")


def script(design: RtlDesign, family: str, dsp: bool, by_module: bool) -> str:
    """The commands of Yosys."""
    kept = " ".join(_modules(design))
    return "; ".join(
        [
            f"read_verilog {' '.join(design.sources)}",
            f"hierarchy -top {design.top}",
            *([f"setattr -mod -set keep_hierarchy 1 {kept}"] if by_module else []),
            f"synth_xilinx -family {family} -flatten -noiopad -top {design.top}{'' if dsp else ' -nodsp'}",
            f"tee -q -o {STATISTICS} stat -json",
        ]
    )


def _modules(design: RtlDesign) -> list[str]:
    texts = (design.files[path] for path in design.sources if not path.startswith(COMMON))
    return [name for text in texts for name in re.findall(r"^\s*module\s+([^\s(]+)", text, re.MULTILINE)]


def _statistics(path: Path) -> dict:
    try:
        text = path.read_text()
        return json.loads(text[text.index("{") :])["modules"]
    except (OSError, ValueError, KeyError) as error:
        raise ToolFailedError(
            f"yosys ended well but left no statistics ({type(error).__name__}: {error}); try another version of it"
        ) from error


def usage(modules: dict, top: str) -> dict[str, Usage]:
    """Usage by module for the modules of `stat -json`, each times the number of its instances below `top`.

    >>> top, part = {"LUT6": 3, "part": 2}, {"FDRE": 4}
    >>> usage({"top": {"num_cells_by_type": top}, "part": {"num_cells_by_type": part}}, "top")["part"].ffs
    8
    """
    cells = {name.removeprefix("\\"): module["num_cells_by_type"] for name, module in modules.items()}
    cells = {name: {kind.removeprefix("\\"): n for kind, n in types.items()} for name, types in cells.items()}
    if top not in cells:
        raise ToolFailedError(f"yosys counted no module {top!r}; it has {', '.join(cells) or 'none'}")
    found: dict[str, Usage] = {}
    _count(cells, top, 1, found)
    return found


def _count(cells, module: str, instances: int, found: dict[str, Usage]):
    for kind, number in cells[module].items():
        if kind in cells:
            _count(cells, kind, instances * number, found)
        else:
            found[module] = found.get(module, Usage()) + _primitive(kind, instances * number)
    found.setdefault(module, Usage())


def _primitive(kind: str, number: int) -> Usage:
    for pattern, name, weight in COUNTED:
        if re.fullmatch(pattern, kind):
            return Usage(**{name: weight * number})
    if re.fullmatch(FREE, kind):
        return Usage()
    raise ToolFailedError(f"yosys used a primitive {kind!r} that is not counted here; use another family or version")
