"""Co-simulation: every engine must compute what the golden run computes, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from a2q_keras.cosim import csim, rtl, testbench, vectors, vendor
from a2q_keras.cosim.compare import Mismatch, mismatches, port
from a2q_keras.cosim.report import CosimReport, LayerTrace, Part
from a2q_keras.errors import ConfigurationError
from a2q_keras.hls.layers import LayerPlan, check_names, plan
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.integer.run import as_inputs, trace
from a2q_keras.numerics import bounds
from a2q_keras.resources.usage import ResourceReport

# (program, values per input, config) -> codes by tensor name and output port
ENGINES: dict[str, Callable] = {
    "csim": csim.run,
    "rtl": rtl.run,
    "testbench": testbench.run,
    "vitis": vendor.run_vitis,
    "vivado": vendor.run_vivado,
}
OUTPUTS_ONLY = ("rtl", "testbench", "vitis", "vivado")  # engines that do not report the layers in between
# values per input -> codes by tensor name, for the tensors that it has
Reference = Callable[[list], dict[str, np.ndarray]]
NO_REFERENCES: Mapping[str, Reference] = MappingProxyType({})
MOST_RANDOM = 2**24  # inputs
OFF_GRID = "values between and beyond the codes"


@dataclass(frozen=True, eq=False)
class Bench:
    """A program, the program that its firmware is built from (the same unless a test breaks it), and input values.

    groups: by name of the group, one float64 array (samples, *shape) per input.
    """

    name: str
    program: IntegerProgram
    firmware: IntegerProgram
    groups: dict[str, list[np.ndarray]]


def cosim(
    program: IntegerProgram,
    x=None,
    engines=("csim",),
    n_random: int = 1000,
    seed: int = 0,
    config: HlsConfig | None = None,
    firmware: IntegerProgram | None = None,
    references: Mapping[str, Reference] = NO_REFERENCES,
    rtl_options: Mapping[str, object] = rtl.NO_OPTIONS,
) -> CosimReport:
    """Compare each engine with the golden run of `program`: every layer and every output, by equality of codes.

    The whole network runs on `x` (values, as for `program.run`), on random inputs and on worst cases of the layers that
    read an input; then every layer runs alone on its own worst cases, which the real inputs may not reach, and every
    requantization on the codes around its ties and saturation edges.
    config: how the firmware is built; its output_dir is where the projects stay, None leaves nothing behind.
    firmware: what the hardware is built from, if not `program`: a deliberate fault, to see it caught.
    references: other computations of the whole network, by name, such as Keras' own forward pass: they are compared on
    all inputs but those off the grid, on which Keras' float32 rounds before it quantizes.
    rtl_options: style and options of the hardware that engine "rtl" simulates.

    Raises ConfigurationError for an unknown engine or a bad `x`, and what the engines raise; a difference is no
    exception but in the report.
    """
    unknown = [engine for engine in engines if engine not in ENGINES]
    if unknown or not engines:
        raise ConfigurationError(f"engines={engines!r}; allowed engines are {', '.join(ENGINES)}")
    config = config or HlsConfig()
    check_names(program, config)
    whole = whole_bench(program, x, n_random, seed, firmware)
    benches = [whole, _alone(program, firmware or program)] if vectors.isolated_layers(program) else [whole]
    parts = [part for name, reference in references.items() for part in _refer(name, reference, whole)]
    counted: dict[str, ResourceReport] = {}  # the first report of an engine: that of the whole network
    more: dict[str, dict] = {"rtl": {"options": rtl_options}}
    more |= {engine: {"on_report": partial(counted.setdefault, engine)} for engine in vendor.VENDORS}
    parts += [
        part for engine in engines for bench in benches for part in _run(engine, bench, config, more.get(engine, {}))
    ]
    return CosimReport(program.name, program.digest(), tuple(parts), resources=counted)


def layer_traces(
    report: CosimReport,
    program: IntegerProgram,
    config: HlsConfig | None = None,
    firmware: IntegerProgram | None = None,
) -> tuple[LayerTrace, ...]:
    """Every layer of a report in order, with the types on both sides and its first mismatch in any part."""
    wanted, got = (_hardware(which, config) for which in (program, firmware or program))
    found: dict[str, tuple[Part, Mismatch]] = {}
    for part in report.parts:
        for mismatch in part.mismatches:
            found.setdefault(mismatch.layer, (part, mismatch))
    return tuple(_trace(name, layer, got.get(name, layer), found.get(name)) for name, layer in wanted.items())


def _hardware(program, config) -> dict[str, LayerPlan]:
    firmware = plan(program, config)
    layers = {layer.name: layer for layer in firmware.layers}
    return {tensor: layers[name] for tensor, name in firmware.computed.items()}


def _trace(name, wanted: LayerPlan, got: LayerPlan, found) -> LayerTrace:
    hardware = f"{wanted.kind} {wanted.strategy}/{wanted.reuse_factor}" if wanted.multiplies else wanted.kind
    where = f"{found[0].engine}, {found[0].name}" if found else ""
    return LayerTrace(name, hardware, wanted.types, got.types, found and found[1], where)


def whole_bench(program: IntegerProgram, x=None, n_random=1000, seed=0, firmware=None) -> Bench:
    """The whole network and the input values it is tried with, of which at least one is random."""
    n_random = bounds.check_bits("n_random", n_random, 1, MOST_RANDOM)
    # as float32, which is what a Keras model sees
    given = [] if x is None else [np.asarray(array, np.float32).astype(float) for array in as_inputs(program, x)]
    groups = {"given inputs": given} if given else {}
    groups |= {
        "random inputs": _values(program, vectors.random_inputs(program, n_random, seed)),
        OFF_GRID: vectors.off_grid_values(program, n_random, seed),
        "worst cases of the first layers": _values(program, vectors.first_layer_inputs(program)),
    }
    return Bench(
        "network", program, firmware or program, {name: group for name, group in groups.items() if len(group[0])}
    )


def all_values(bench: Bench) -> list[np.ndarray]:
    """One array per input with the values of every group."""
    return [np.concatenate(parts) for parts in zip(*bench.groups.values())]


def _alone(program, firmware) -> Bench:
    isolated, layers = vectors.isolate(program), vectors.isolated_layers(program)
    groups = {"worst cases of every layer, alone": _values(isolated, vectors.isolated_inputs(isolated))}
    return Bench("layers_alone", isolated, vectors.isolate(firmware, layers), groups)


def _values(program, codes: list) -> list[np.ndarray]:
    return [node.format.values(array) for node, array in zip(program.inputs, codes)]


def _run(engine: str, bench: Bench, config: HlsConfig, more: Mapping) -> list[Part]:
    """One Part per group of vectors; the engine sees them all at once.  more: what else this engine takes."""
    values = all_values(bench)
    config = config.only(bench.program.formats)
    if config.output_dir:
        config = replace(config, output_dir=str(Path(config.output_dir, engine, bench.name)))
    wanted = golden_outputs(bench.program, values) if engine in OUTPUTS_ONLY else golden(bench.program, values, config)
    got = ENGINES[engine](bench.firmware, values, config, **more)
    ends = np.cumsum([len(group[0]) for group in bench.groups.values()])
    return [
        _part(engine, name, bench, wanted, got, slice(int(end) - len(group[0]), int(end)))
        for (name, group), end in zip(bench.groups.items(), ends)
    ]


def _refer(name: str, reference: Reference, bench: Bench) -> list[Part]:
    parts = []
    for group, values in bench.groups.items():
        if group != OFF_GRID:
            got = reference(values)
            inputs = [node.format.quantize(array) for node, array in zip(bench.program.inputs, values)]
            wanted = {tensor: codes for tensor, codes in trace(bench.program, inputs).items() if tensor in got}
            parts.append(_part(name, group, bench, wanted, got, slice(0, len(values[0]))))
    return parts


def golden(program: IntegerProgram, values: list, config: HlsConfig | None = None) -> dict[str, np.ndarray]:
    """Codes by name that hls4ml's firmware must return for input values, in the order of execution."""
    tensors = _tensors(program, values)
    computed = {tensor: tensors[tensor] for tensor in plan(program, config).computed}
    return computed | _outputs(program, tensors)


def golden_outputs(program: IntegerProgram, values: list) -> dict[str, np.ndarray]:
    """Codes by output port that an engine must return for input values."""
    return _outputs(program, _tensors(program, values))


def _tensors(program, values: list) -> dict[str, np.ndarray]:
    return trace(program, [node.format.quantize(array) for node, array in zip(program.inputs, values)])


def _outputs(program, tensors) -> dict[str, np.ndarray]:
    return {port(tensor): tensors[tensor] for tensor in program.outputs}


def _part(engine, name, bench, wanted, got, rows: slice) -> Part:
    wanted = {layer: codes[rows] for layer, codes in wanted.items()}
    found = mismatches(
        wanted,
        wanted,
        {layer: codes[rows] for layer, codes in got.items()},
        _formats(bench.program),
        _formats(bench.firmware),
    )
    return Part(engine, name, rows.stop - rows.start, sum(codes.size for codes in wanted.values()), found)


def _formats(program) -> dict:
    return program.formats | {port(tensor): program.formats[tensor] for tensor in program.outputs}
