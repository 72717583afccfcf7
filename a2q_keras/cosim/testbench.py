"""hls4ml's own test bench: vectors for it, golden outputs beside it, and the program run with g++ or a vendor's tool.

The bench reads values as floats and prints six significant digits; what these do not hold is refused, not rounded.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from a2q_keras.cosim import csim, judge
from a2q_keras.cosim.compare import port
from a2q_keras.errors import ConfigurationError, ToolFailedError
from a2q_keras.hls.project import build
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.integer.run import trace
from a2q_keras.integer.storage import write_text
from a2q_keras.tools import GXX, Tool

BACKENDS = ("Vitis", "Vivado")
CSIM_LOG, RTL_LOG = judge.LOGS


def run(program: IntegerProgram, values: list, config: HlsConfig | None = None) -> dict[str, np.ndarray]:
    """Codes (int64) by output port that the bench's log says, after g++ compiled the bench and it ran.

    values, config: as in `csim.run`.  Raises ToolFailedError where the log is not whole, and what `write` raises.
    """
    config = config or HlsConfig()
    with contextlib.ExitStack() as stack:
        folder = config.output_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="a2q_bench_"))
        config = replace(config, output_dir=str(Path(folder).resolve()))
        write(program, values, config)
        compile_and_run(config)
        return read_log(program, Path(str(config.output_dir), CSIM_LOG), len(values[0]))


def write(program: IntegerProgram, values: list, config: HlsConfig):
    """Write the hls4ml project into `config.output_dir`, with vectors and golden outputs in the bench's format.

    Logs of a run before, perhaps of other firmware, are removed.

    Raises ConfigurationError for a backend without such a bench, for values that are no float32, and for outputs of
    more bits than the log shows.
    """
    _check(program, values, config)
    graph = build(program, replace(config, trace=False))
    with contextlib.redirect_stdout(io.StringIO()):
        graph.write()
    folder = Path(str(config.output_dir))
    for log in judge.LOGS:
        (folder / log).unlink(missing_ok=True)
    tensors = trace(program, [node.format.quantize(array) for node, array in zip(program.inputs, values)])
    outputs = [tensors[name].reshape(len(values[0]), -1) for name in program.outputs]
    wanted = [program.formats[name].values(codes) for name, codes in zip(program.outputs, outputs)]
    (folder / "tb_data").mkdir(exist_ok=True)
    write_text(folder / "tb_data" / "tb_input_features.dat", _table([_flat(array) for array in values]))
    write_text(folder / "tb_data" / "tb_output_predictions.dat", _table(wanted))
    write_text(folder / "golden.json", json.dumps(_golden(program, outputs)))


def _check(program, values, config):
    if config.backend not in BACKENDS:
        raise ConfigurationError(
            f"the test bench is there for {', '.join(BACKENDS)}, not for {config.backend}; use csim"
        )
    for node, array in zip(program.inputs, values):
        if not np.array_equal(np.asarray(array, np.float32), array):
            raise ConfigurationError(f"input {node.name!r}: the test bench reads float32, which not all values are")
    for name in program.outputs:
        if program.formats[name].bits > judge.MOST_BITS:
            raise ConfigurationError(
                f"output {name!r} has {program.formats[name].bits} bits; the test bench prints six digits, enough for "
                f"{judge.MOST_BITS}: quantize the output, or use csim"
            )


def _flat(array) -> np.ndarray:
    return np.asarray(array, np.float64).reshape(len(array), -1)


def _table(parts) -> str:
    """A line per sample with all values, each with the digits that make it exact."""
    return "".join(" ".join(map(repr, row)) + "\n" for row in np.concatenate(parts, axis=1).tolist())


def _golden(program, outputs) -> dict:
    described = [{"name": name, "frac": program.formats[name].frac} for name in program.outputs]
    codes = [row for sample in zip(*(part.tolist() for part in outputs)) for row in sample]
    return {"format": judge.KIND, "version": 1, "outputs": described, "codes": codes}


def compile_and_run(config: HlsConfig):
    folder, project = Path(str(config.output_dir)), config.project_name
    options = [*csim.GXX_OPTIONS, *csim.paths(config, folder / "firmware" / "weights")]
    GXX.run([*options, f"{project}_test.cpp", f"firmware/{project}.cpp", "-o", f"{project}_bench"], cwd=folder)
    Tool(str(folder / f"{project}_bench"), "A2Q_BENCH", install="compile it again").run([], cwd=folder)


def read_log(program: IntegerProgram, log: Path, samples: int) -> dict[str, np.ndarray]:
    """Codes by output port in the log of a bench; ToolFailedError where it is missing, cut off or no log."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    if len(lines) != samples * len(program.outputs):
        raise ToolFailedError(
            f"{log}: {len(lines)} lines, wanted {samples * len(program.outputs)}; the run is not whole"
        )
    return {
        port(name): _codes(program, name, log, lines[i :: len(program.outputs)])
        for i, name in enumerate(program.outputs)
    }


def _codes(program, name: str, log, lines) -> np.ndarray:
    format, shape = program.formats[name], program.shapes[name]
    try:
        values = np.array([[float(token) for token in line.split()] for line in lines]).reshape(len(lines), prod(shape))
    except ValueError as error:
        raise ToolFailedError(f"{log}: output {name!r} is not {prod(shape)} numbers in each line ({error})") from error
    codes = np.rint(values * 2.0**format.frac).astype(np.int64)
    for code, value in zip(codes.ravel().tolist(), values.ravel().tolist()):
        if not judge.shows(value, code, format.frac):
            raise ToolFailedError(f"{log}: output {name!r} is {value}, which is no code of {format}")
    return codes.reshape(len(lines), *shape)
