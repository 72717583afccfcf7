"""The whole way, model -> integer program -> certificate -> firmware -> co-simulation: the public functions.

Each takes a Keras model or an integer program.  Keras is imported only where a model is given.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from pathlib import Path

from a2q_keras.cosim import many, package
from a2q_keras.cosim import run as cosim_run
from a2q_keras.cosim.report import CosimReport
from a2q_keras.errors import A2QError, ConfigurationError, FileError
from a2q_keras.hls import inference, project
from a2q_keras.hls import layers as hls_layers
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer import certificate, file, storage
from a2q_keras.integer.certificate import Certificate
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.resources import run as synthesis
from a2q_keras.resources import vendor
from a2q_keras.resources.usage import ResourceReport
from a2q_keras.rtl import styles
from a2q_keras.rtl.design import RtlDesign

CALIBRATIONS = ("mse", "percentile")


def integer_model(model) -> IntegerProgram:
    """The integer program of a Keras model made of A2Q layers and QKeras activations (a program is returned as it is).

    Raises UnsupportedLayerError naming a layer without exact integer meaning, WeightError for NaN weights.
    """
    if isinstance(model, IntegerProgram):
        return model
    if isinstance(model, (str, Path)):
        raise ConfigurationError(f"{str(model)!r} is a path; load it first: a2q_keras.load_model")
    from a2q_keras.integer.export import export

    return export(model)


def load_integer_model(path) -> IntegerProgram:
    """The integer program in a file that `IntegerProgram.save` wrote.

    Raises FileError, naming the file, where it is missing, truncated, altered or of another version.
    """
    return file.load(path)


def load_model(path):
    """A Keras model from a .keras file, or an integer program from any other; nothing need be imported before.

    Under torch the model runs eagerly, as by Keras' default there, also where it was compiled by another backend.

    Raises FileError, naming the file, where it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(
            f"{path}: no such file; give a model saved with model.save('name.keras') or program.save('name.a2q')"
        )
    if path.suffix != ".keras":
        return load_integer_model(path)
    if not zipfile.is_zipfile(path):
        raise FileError(f"{path}: not a whole .keras file, perhaps truncated; save the model again with model.save")
    import keras

    from a2q_keras.layers import start

    try:
        with start.values_follow():
            model = keras.saving.load_model(path)
    except A2QError:
        raise
    except Exception as error:
        raise FileError(f"{path}: Keras cannot load it ({_reason(error)}); save it again with model.save") from error
    if keras.backend.backend() == "torch" and model.compiled:
        model.jit_compile = False  # which Keras writes down as True under JAX; torch.compile takes minutes
    return model


def save_model(model, path):
    """Save a Keras model as a .keras file, whole or not at all.  Raises FileError where that fails."""
    path = writable(path)
    try:
        with storage.replacing(path, ".keras") as part:
            model.save(part)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error})") from error


def writable(path) -> Path:
    """`path`, in a folder that is there now.  Raises FileError where nothing can be written there.

    What takes long asks before it starts.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error})") from error
    if not os.access(path.parent, os.W_OK):
        raise FileError(f"{path}: cannot be written (no right to write in {path.parent})")
    return path


def _reason(error) -> str:
    """The first line of the error of ours that Keras wrapped, or of its own."""
    chain = [error]
    while chain[-1].__cause__ or chain[-1].__context__:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    ours = [part for part in chain if isinstance(part, A2QError)]
    return next(iter(str((ours or chain)[0]).strip().splitlines()), type(error).__name__)


def write_json(path, record: dict):
    """Write plain data as JSON, atomically; FileError where that fails."""
    storage.write_text(path, storage.to_text(record) + "\n")


def quantize(
    model,
    data,
    acc_bits=16,
    weight_bits=None,
    act_bits=8,
    method="gpfq",
    layers=None,
    first=None,
    last=None,
    budget="exact",
    refine=True,
    correct_bias=True,
    samples=1024,
    seed=0,
    tile=None,
    calibration="mse",
    percentile=99.99,
    on_layer=None,
    least_act_bits=None,
):
    """The accumulator-aware model for a float or QKeras one, without training: seconds to minutes, no gradients.

    What is converted, and to what, is as in `convert`: the result is an ordinary A2Q model that can be certified,
    turned into firmware or trained further.  Its weights are chosen layer by layer for least error of the layer's
    outputs, on what the quantized layers before it make of the calibration data.

    data: inputs as for `model.predict`, or an iterable of batches x or (x, y); its first `samples` samples are used.
    method: "gpfq", "optq" (greedy, each weight making up for the errors so far) or "exact" (the nearest codes that
    fit).  budget: "exact" (the exact condition, bias included), or "axe": as Colbert et al. have it (AXE, TMLR 2025),
    without refinement.  refine: descend further on the output error.  correct_bias: biases take mean errors away.
    layers, first, last: settings of single layers, as in `convert`, but for the method.  seed: of the rows that are
    used of convolutions with very many; the same data and seed give the same codes.  tile: None, or the products
    that an inner accumulator of acc_bits bits sums; their sums and the bias are added in an outer one, as wide as
    needed (multi-stage accumulation; `integer.ops` has the order of the products; not in hls4ml).  calibration: how the
    power-of-two range of an activation is chosen: "mse", for least squared error, or "percentile", the smallest that
    clips nothing below the given `percentile` of the magnitudes (100: nothing at all).  on_layer: is called with a
    `model.post_training.choose.QuantizedLayer` after each layer.  least_act_bits: None, or how few bits an activation
    may have instead of act_bits where that suits the accumulators behind it better, as in `convert`.

    Raises what `convert` raises; ConfigurationError for data with NaN or an unknown choice.
    """
    if calibration not in CALIBRATIONS:
        raise ConfigurationError(f"calibration={calibration!r} is unknown; allowed are {', '.join(CALIBRATIONS)}")
    from a2q_keras.model.post_training import quantize as post_training
    from a2q_keras.numerics.fit import Recipe

    recipe = Recipe(method, budget, refine, correct_bias)
    bits, places = (acc_bits, weight_bits, act_bits), (layers, first, last)
    clipped = percentile if calibration == "percentile" else None
    options = (recipe, samples, seed, tile, clipped, least_act_bits, on_layer or (lambda layer: None))
    return post_training.quantize(model, data, *bits, method, *places, *options)


def certify(model, acc_bits=None) -> Certificate:
    """The width that every accumulator needs, per channel, against the width granted: exact, bias included.

    acc_bits: an int for all layers, a dict by layer name, "trained" for the widths that the layers were made with, or
    None for each layer's smallest safe width, which is never unsafe.
    The result may be unsafe: ask `.ok`, or call `.raise_if_unsafe()`.
    """
    program = integer_model(model)
    if acc_bits == "trained":
        acc_bits = {op.name: op.acc_bits for op in program.accumulator_ops}
    return certificate.certify(program, acc_bits)


def granted(model, acc_bits) -> tuple[IntegerProgram, Certificate]:
    """The program with the asked accumulators and the certificate that they are safe.

    Raises AccumulatorOverflowError naming layer, channel and the width needed where they are not.
    """
    program = integer_model(model)
    proof = certify(program, acc_bits).raise_if_unsafe()
    return program.with_acc_bits(proof.acc_bits), proof


def to_hls(
    model,
    acc_bits=16,
    backend="Vitis",
    io_type="io_parallel",
    strategy="Latency",
    reuse_factor=1,
    part=HlsConfig.part,
    clock_period=HlsConfig.clock_period,
    output_dir=None,
    project_name=HlsConfig.project_name,
    layer_options=None,
    **options,
):
    """hls4ml's ModelGraph of firmware whose every accum_t is `acc_bits` wide; compile(), predict(), build() work.

    acc_bits: an int, a dict by layer name (other layers: their smallest safe width), "trained" for the widths that the
    layers were made with, or None for the smallest safe ones.  strategy, reuse_factor: for all layers, or a dict by
    layer name with "*" for the others; where hls4ml would compute a layer wrong with them, it gets the nearest that are
    exact, with a warning.  layer_options: further hls4ml settings by layer name, such as {"conv":
    {"ParallelizationFactor": 4}}; options: further arguments of hls4ml's `create_config`.  output_dir=None takes a
    temporary directory.

    Raises AccumulatorOverflowError where a width is not proven safe (it is never widened or clamped in silence),
    ConfigurationError for a backend, io_type or strategy that is not supported, UnsupportedLayerError for a layer that
    these cannot compute exactly, ConversionError where the finished graph differs from the integer program in any type
    or weight.
    """
    program, _ = granted(model, acc_bits)
    output_dir = output_dir and str(output_dir)
    asked = (backend, io_type, strategy, reuse_factor, part, clock_period, output_dir, project_name)
    return project.build(program, HlsConfig(*asked, options=options, layer_options=layer_options or {}))


def to_rtl(model, acc_bits=16, output_dir=None, style="parallel", on_op=None, **options) -> RtlDesign:
    """Verilog or VHDL of a network, with accumulators of `acc_bits`: the design, with its files, ports and latency.

    acc_bits: as in `to_hls`.  output_dir: where the files, certificate.json and program.a2q are written, if given.
    style "parallel": all layers at once, a new input every clock cycle, adders by da4ml; options as in
    `rtl.parallel.ParallelConfig` (adders_per_stage, language, clock_period, part).  style "folded": chains of layers
    that use `pe` x `simd` multipliers and `pe` accumulators over and over, with valid/ready streams in between; options
    as in `rtl.folded.folding.Folding` (pe, simd, or cycles).  on_op: is called with the name of each op before it is
    built.

    Raises AccumulatorOverflowError where a width is not proven safe, ConfigurationError for an unknown style or option,
    ToolMissingError where a package is missing, UnsupportedLayerError for what the style cannot compute exactly.
    """
    program, proof = granted(model, acc_bits)
    design = styles.build(program, style, on_op or (lambda name: None), **options)
    if output_dir is not None:
        folder = design.write(output_dir)
        proof.save(folder / "certificate.json")
        program.save(folder / "program.a2q")
    return design


def resources(
    design, family="xcup", dsp=False, by_layer=False, by_module=False, acc_bits="trained", on_layer=None, **options
) -> ResourceReport:
    """LUT, FF, carry chains, DSP and BRAM of a design, by synthesis with Yosys (`synth_xilinx`), no vendor tool.

    What a vendor's tool counted is read by `read_resources`.

    design: what `to_rtl` returned, or a model or program: `to_rtl` then builds it with `acc_bits` and `options`.
    family: "xcup" (UltraScale+) or "xc7" (7 series).  dsp: whether multipliers may be used.  by_layer: of a model or
    program, each op is synthesised alone and the counts are added: for networks that are too large as a whole; or names
    of ops, of which only these are counted.  The report says which it is.  by_module: also the usage of each module of
    the design.  on_layer: is called with the name of each op before it.  A2Q_CACHE=FOLDER keeps reports there, by
    content.

    Raises ToolMissingError without Yosys, ToolFailedError where it fails, and what `to_rtl` raises.
    """
    how = synthesis.Synthesis(family, dsp, by_module)
    if isinstance(design, RtlDesign):
        if by_layer or options:
            raise ConfigurationError("a finished design is synthesised as it is; give the model or program instead")
        return synthesis.of_design(design, how)
    program, _ = granted(design, acc_bits)
    announce = on_layer or (lambda name: None)
    if by_layer:
        only = () if by_layer is True else tuple(by_layer)
        return synthesis.of_layers(program, how, only, announce, **options)
    return synthesis.of_design(styles.build(program, on_op=announce, **options), how)


def read_resources(path) -> ResourceReport:
    """What a vendor's tool said that a design takes: the same record as from `resources`.

    path: a C synthesis report of Vitis HLS or Vivado HLS (TOP_csynth.xml), a report of Vivado's `report_utilization`
    (vivado_synth.rpt), or the folder of an hls4ml project, whose latest step counts.  The report's `method` says which
    it is; an estimate of C synthesis has no carry chains, but has timing.

    Raises FileError where the report is missing, cut off, altered, of another kind, or, in a folder, older than the
    firmware or than the C synthesis.
    """
    return vendor.read(path)


def firmware_types(model, acc_bits="trained") -> list[dict]:
    """Per accumulator the bits that a2q_keras grants, and those that hls4ml itself would choose, as plain rows.

    asked: as `to_hls` would grant; needed: by the exact condition; auto: by hls4ml's automatic types; bit_exact: by its
    pass of that name, None where the pass cannot handle the layer.  Raises AccumulatorOverflowError as `to_hls` does.
    """
    from a2q_keras.report.tables import accumulator_rows

    program, proof = granted(model, acc_bits)
    return [
        {key: ours[key] for key in ("layer", "k", "channels", "weight_bits", "input")}
        | {"auto": theirs.auto, "bit_exact": theirs.bit_exact, "needed": ours["needed_bits"], "asked": ours["acc_bits"]}
        for ours, theirs in zip(accumulator_rows(proof), inference.inferred_bits(program))
    ]


def export_project(model, output_dir, acc_bits=16, x=None, n_random=1000, seed=0, **settings) -> Path:
    """Write an hls4ml project to run on another machine, and to judge there without this package; its folder.

    It holds the vectors of `cosim` (x, random ones, worst cases of the first layers) as test-bench data, golden
    outputs, certificate.json, program.a2q, a manifest of hashes, and check_cosim.py, which needs Python only.
    settings: as in `to_hls`; the backend is Vitis or Vivado.

    Raises what `to_hls` raises, and ConfigurationError for outputs of more than 19 bits: the bench prints six digits.
    """
    program, proof = granted(model, acc_bits)
    folder = Path(output_dir)
    values = cosim_run.all_values(cosim_run.whole_bench(program, x, n_random, seed))
    folder.mkdir(parents=True, exist_ok=True)
    package.write(program, values, HlsConfig.of(output_dir=str(folder), **settings))
    proof.save(folder / "certificate.json")
    program.save(folder / "program.a2q")
    package.write_manifest(folder)
    return folder


def cosim(
    model,
    x=None,
    engines=("csim",),
    acc_bits="trained",
    n_random=1000,
    seed=0,
    output_dir=None,
    trace=False,
    rtl=None,
    **settings,
) -> CosimReport:
    """Run the firmware of a model and compare every layer and output with the integer program, by equality of codes.

    x: input values to add to the random and worst-case inputs.  acc_bits: as in `to_hls`.  trace: the report lists
    every layer with the types on both sides and its first difference.  settings: backend, io_type, strategy,
    reuse_factor and so on, as in `to_hls`.  engines: "csim" (hls4ml's firmware), "rtl" (the Verilog of `to_rtl`,
    simulated by Verilator or CXXRTL; rtl={"style": ..., ...} are its options), "testbench", "vitis", "vivado".  A Keras
    model's own forward pass is compared, too, as engine "keras", where every accumulator needs 24 bits or less (above
    that float32 is not exact).

    Raises AccumulatorOverflowError where the widths are not proven, ToolMissingError without g++, and what `to_hls`
    raises.  A difference is not raised but in the report: `.ok`, `.first`.
    """
    program, references = _with_references(model)
    program, _ = granted(program, acc_bits)
    config = HlsConfig.of(output_dir=output_dir and str(output_dir), **settings)
    engines = (engines,) if isinstance(engines, str) else tuple(engines or ())
    if trace:
        hls_layers.plan(program, config)  # what it cannot list is refused before anything runs
    report = cosim_run.cosim(program, x, engines, n_random, seed, config, None, references, rtl or {})
    return replace(report, layers=cosim_run.layer_traces(report, program, config)) if trace else report


def cosim_many(
    model, configurations, x=None, acc_bits="trained", n_random=1000, processes=None, on_done=None
) -> dict[str, CosimReport | A2QError]:
    """`cosim` of a model built in many ways, several at a time: by name the report, or the error that it ended with.

    configurations: by name the settings of `to_hls`, such as {"small": {"strategy": "Resource", "reuse_factor": 8}}.
    processes: how many are built at a time, None for one per core.  on_done: is called with name and outcome when each
    has ended.  Processes are spawned: a script needs `if __name__ == "__main__":` around the call.

    Raises AccumulatorOverflowError where the widths are not proven, and ConfigurationError for a setting that is not
    supported, before anything is built.
    """
    program, _ = granted(model, acc_bits)
    jobs = {
        name: many.Job(program, HlsConfig.of(**settings), x, n_random)
        for name, settings in dict(configurations).items()
    }
    return many.cosim_all(jobs, processes, on_done)


def _with_references(model):
    """The integer program and, for a Keras model, its forward pass as a reference for the comparison."""
    if isinstance(model, IntegerProgram):
        return model, {}
    from a2q_keras.integer.export import export_with_tensors
    from a2q_keras.model import forward

    program, tensors = export_with_tensors(model)
    widest = max((layer.result_bits for layer in certificate.certify(program).layers), default=0)
    exact = widest <= forward.EXACT_BITS
    return program, {"keras": forward.reference(model, tensors, program.formats)} if exact else {}


def print_accumulator_stats(model, acc_bits="trained"):
    """Print a table of the accumulators: bits asked, needed, taken by hls4ml, sparsity.  Returns the certificate."""
    from a2q_keras.report.tables import accumulator_table, show

    proof = certify(model, acc_bits)
    show(accumulator_table(proof))
    return proof
