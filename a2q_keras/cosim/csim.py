"""C simulation: hls4ml's firmware of a program, compiled with g++ and run in a child process."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from a2q_keras.cosim import csim_worker
from a2q_keras.cosim.compare import port
from a2q_keras.errors import ConfigurationError, ToolFailedError
from a2q_keras.hls.layers import FirmwarePlan, plan
from a2q_keras.hls.project import build
from a2q_keras.hls.settings import BACKENDS, HlsConfig
from a2q_keras.integer.graph import Input, IntegerProgram
from a2q_keras.tools import CACHE, GXX, run_python

EXACT_BITS = 53
# what hls4ml's build_lib.sh does, with less optimisation: a third less time to compile
GXX_OPTIONS = ("-O1", "-std=c++17", "-Wno-pragmas")
INCLUDES = {
    "Vitis": ("firmware/ap_types",),
    "Vivado": ("firmware/ap_types",),
    "Quartus": ("firmware/ac_types", "firmware/ap_types"),
    "Catapult": (
        "firmware/ac_types/include",
        "firmware/ac_math/include",
        "firmware/ac_simutils/include",
        "firmware/nnet_utils",
    ),
}


@dataclass(frozen=True, eq=False)
class Firmware:
    """Compiled firmware of `program`, ready to be simulated."""

    program: IntegerProgram
    plan: FirmwarePlan
    library: Path
    function: str


def run(program: IntegerProgram, values: list, config: HlsConfig | None = None) -> dict[str, np.ndarray]:
    """Codes (int64) of every computed tensor, and of every output port, of the firmware built from `program`.

    values: one float64 array (samples, *shape) per input.  Keys are tensor names and `compare.port(output)`.
    config: its output_dir is where the project is written and stays; None leaves nothing behind.
    Raises ToolMissingError without g++, ToolFailedError, ConversionError, and ConfigurationError above 53 bits.
    """
    config = config or HlsConfig()
    with contextlib.ExitStack() as stack:
        folder = config.output_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="a2q_csim_"))
        return simulate(compile_firmware(program, replace(config, output_dir=str(folder))), values)


def compile_firmware(program: IntegerProgram, config: HlsConfig) -> Firmware:
    """Write the hls4ml project of `program`, with tracing, into `config.output_dir` and compile it."""
    if not BACKENDS[config.backend].simulated:
        raise ConfigurationError(
            f"the C simulation of backend {config.backend} needs its own compiler, which is not supported; to_hls "
            "writes the project and checks its graph, cosim runs another backend"
        )
    GXX.find()
    _check_widths(program)
    folder = Path(str(config.output_dir)).resolve()
    config = replace(config, output_dir=str(folder), trace=config.traceable)
    graph = build(program, config)
    with contextlib.redirect_stdout(io.StringIO()):
        graph.write()
    library = _compile(folder, config)
    return Firmware(program, plan(program, config), library, f"{config.project_name}_double")


def _check_widths(program):
    for tensor, format in program.formats.items():
        if format.bits > EXACT_BITS:
            raise ConfigurationError(
                f"{tensor!r} has {format.bits} bits; C simulation passes values as doubles, which are exact up to "
                f"{EXACT_BITS} bits: use a narrower accumulator or format"
            )


def _compile(folder: Path, config: HlsConfig) -> Path:
    """The library of a written project; from the folder that A2Q_CACHE names where the same sources are compiled."""
    cache = os.environ.get(CACHE)
    if not cache:
        return _library(folder, config, folder / "firmware" / "weights", folder / f"{config.project_name}.so")
    kept = Path(cache).resolve() / _content(folder)
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as fresh:
            shutil.copytree(folder / "firmware" / "weights", Path(fresh, "new", "weights"))
            _library(folder, config, kept / "weights", Path(fresh, "new", "firmware.so"))
            with contextlib.suppress(OSError):  # another process was first
                os.rename(Path(fresh, "new"), kept)
    return kept / "firmware.so"


def _content(folder: Path) -> str:
    """A digest of all that the compiler reads, and of how it is called."""
    sha = hashlib.sha256(repr((GXX.version(), GXX_OPTIONS)).encode())
    files = [*folder.glob("*_bridge.cpp"), *(path for path in folder.glob("firmware/**/*") if path.is_file())]
    for path in sorted(files):
        sha.update(f"{path.relative_to(folder)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()


def _library(folder: Path, config: HlsConfig, weights: Path, library: Path) -> Path:
    project = config.project_name
    sources = (f"firmware/{project}.cpp", f"{project}_bridge.cpp")
    GXX.run([*GXX_OPTIONS, "-fPIC", "-shared", *paths(config, weights), *sources, "-o", library], cwd=folder)
    return library


def paths(config: HlsConfig, weights: Path) -> list[str]:
    """Options that tell the compiler where headers are, and the firmware where its weights are."""
    quoted = json.dumps(str(weights), ensure_ascii=False)
    return [*(f"-I{path}" for path in INCLUDES[config.backend]), f"-DWEIGHTS_DIR={quoted}"]


def simulate(firmware: Firmware, values: list) -> dict[str, np.ndarray]:
    """Codes as `run` returns them, for compiled firmware."""
    program = firmware.program
    layers = firmware.plan.computed
    job = {
        "library": str(firmware.library),
        "function": firmware.function,
        "outputs": [prod(program.shapes[name]) for name in program.outputs],
        "layers": {name: prod(program.shapes[tensor]) for tensor, name in layers.items()},
    }
    found = _in_child(job, [_rows(node, array) for node, array in zip(program.inputs, values)])
    # a layer may hold several tensors: those of ops that change nothing
    computed = {tensor: _codes(program, tensor, found[f"layer {name}"]) for tensor, name in layers.items()}
    return computed | {
        port(tensor): _codes(program, tensor, found[f"output {i}"]) for i, tensor in enumerate(program.outputs)
    }


def _rows(node: Input, array) -> np.ndarray:
    return np.asarray(array, np.float64).reshape(len(array), prod(node.shape))


def _in_child(job: dict, inputs: list) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory(prefix="a2q_csim_") as folder:
        paths = [Path(folder, name) for name in ("job.json", "inputs.npz", "outputs.npz")]
        paths[0].write_text(json.dumps(job))
        np.savez(paths[1], *inputs)
        run_python(csim_worker.__file__, *paths)
        with np.load(paths[2]) as found:
            return dict(found)


def _codes(program, tensor: str, values) -> np.ndarray:
    scaled = values * 2.0 ** program.formats[tensor].frac
    codes = scaled.astype(np.int64)
    between = codes != scaled
    if between.any():
        raise ToolFailedError(
            f"layer {tensor!r}: C simulation gave {values[between][0]}, which is no code of "
            f"{program.formats[tensor]}; the firmware's type has more fraction bits than the program's"
        )
    return codes.reshape(len(codes), *program.shapes[tensor])
