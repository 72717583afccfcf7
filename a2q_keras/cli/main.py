"""The command `a2q`.  Subcommands import what they need when they run, so that `a2q --help` is quick."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from a2q_keras.cli import quiet, source
from a2q_keras.cli.options import (
    AccBits,
    AddersPerStage,
    AsJson,
    Backend,
    Cycles,
    IoType,
    LeastActBits,
    Model,
    Pe,
    ReuseFactor,
    Simd,
    Source,
    Strategy,
    Style,
)
from a2q_keras.errors import A2QError, ConfigurationError

app = typer.Typer(
    help="Neural networks for FPGAs whose accumulators are narrow and cannot overflow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
REPORTS = (".xml", ".rpt")  # how the names of vendors' reports end


@app.command()
def demo(
    acc_bits: Annotated[int, typer.Option(help="Bits of every accumulator")] = 16,
    weight_bits: Annotated[int, typer.Option(help="Bits of a weight")] = 8,
    act_bits: Annotated[int, typer.Option(help="Bits of an activation")] = 8,
    method: Annotated[str, typer.Option(help="exact, a2q, a2q+ or none")] = "exact",
    epochs: Annotated[int, typer.Option(help="Epochs of each training, float and A2Q")] = 30,
    output_dir: Annotated[Path, typer.Option(help="Where the project and the results go")] = Path("hls_projects/demo"),
    seed: int = 0,
    as_json: AsJson = False,
):
    """The whole way on the bundled digits: train, certify, convert, simulate, compare."""
    quiet.start_keras()
    from a2q_keras.cli import demo as run

    _finish(
        run.demo(run.Settings(acc_bits, weight_bits, act_bits, method, epochs, output_dir, seed), quiet=as_json),
        as_json,
    )


@app.command()
def train(
    network: Annotated[str, typer.Argument(help="Of the zoo: jet_tagger, magic_gamma, dry_bean, lenet, resnet8, ...")],
    data: Annotated[str, typer.Argument(help="digits, photographs, NAME.npz in the folder, or of tensorflow-datasets")],
    data_dir: Annotated[Path | None, typer.Option(help="The folder with the data")] = None,
    width: Annotated[float | None, typer.Option(help="Of the network, see the zoo")] = None,
    acc_bits: Annotated[int, typer.Option(help="Bits of every accumulator")] = 16,
    weight_bits: Annotated[int, typer.Option(help="Bits of a weight")] = 8,
    act_bits: Annotated[int, typer.Option(help="Bits of an activation")] = 8,
    least_act_bits: LeastActBits = None,
    input_bits: Annotated[int | None, typer.Option(help="Bits of the network's inputs, by default act-bits")] = None,
    method: Annotated[str, typer.Option(help="exact, a2q, a2q+ or none")] = "exact",
    start: Annotated[str | None, typer.Option(help="Codes to train from: gpfq or optq, by default the nearest")] = None,
    float_epochs: Annotated[int, typer.Option(help="Epochs of the float network")] = 20,
    epochs: Annotated[int, typer.Option(help="Epochs of the accumulator-aware network")] = 20,
    output: Annotated[Path, typer.Option(help="Where the model goes")] = Path("model.keras"),
    seed: int = 0,
    as_json: AsJson = False,
):
    """Train a network of the zoo, in floating point and then for narrow accumulators; save it."""
    quiet.start_keras()
    from a2q_keras.cli import train as run

    bits = acc_bits, weight_bits, act_bits, input_bits
    how = method, float_epochs, epochs, output, seed, start, least_act_bits
    _finish(run.train(run.Settings(network, data, data_dir, width, *bits, *how), quiet=as_json), as_json)


@app.command()
def stats(model: Model, acc_bits: AccBits = "trained", as_json: AsJson = False):
    """Print per layer what its accumulator needs, and what hls4ml would take."""
    from a2q_keras.report import tables

    proof = source.certificate(model, acc_bits)
    if as_json:
        _finish({"program": proof.program, "layers": tables.accumulator_rows(proof)}, True)
    else:
        tables.show(tables.accumulator_table(proof))


@app.command()
def certify(
    model: Model,
    acc_bits: AccBits = "trained",
    output: Annotated[Path | None, typer.Option(help="Write the certificate (JSON) here")] = None,
    as_json: AsJson = False,
):
    """Prove that no accumulator can overflow; exit 2 where one can."""
    proof = source.certificate(model, acc_bits)
    if output is not None:
        proof.save(output)
    if as_json:
        print(proof.to_json(), end="")
    else:
        from a2q_keras.report import tables

        tables.show(tables.accumulator_table(proof))
    proof.raise_if_unsafe()
    _say(
        f"proven: no accumulator of {proof.program} can overflow, for any input" + (f" -> {output}" if output else ""),
        as_json,
    )


@app.command()
def quantize(
    model: Annotated[Path, typer.Argument(help="A float Keras or QKeras model (.keras)", show_default=False)],
    data: Annotated[
        Path, typer.Argument(help="Inputs for calibration (.npy, or .npz with x_train)", show_default=False)
    ],
    acc_bits: Annotated[int, typer.Option(help="Bits of every accumulator")] = 16,
    weight_bits: Annotated[
        int | None, typer.Option(help="Bits of a weight; default: 8, of QKeras layers those that they have")
    ] = None,
    act_bits: Annotated[int, typer.Option(help="Bits of an activation")] = 8,
    least_act_bits: LeastActBits = None,
    method: Annotated[str, typer.Option(help="gpfq, optq or exact")] = "gpfq",
    samples: Annotated[int, typer.Option(help="Inputs that are used, the first ones")] = 1024,
    tile: Annotated[
        int | None, typer.Option(help="Products of an inner accumulator of acc-bits bits; default: one sums all")
    ] = None,
    calibration: Annotated[str, typer.Option(help="Ranges of activations: mse or percentile")] = "mse",
    percentile: Annotated[float, typer.Option(help="Of magnitudes, below which nothing is clipped")] = 99.99,
    output: Annotated[Path, typer.Option(help="Where the quantized model goes")] = Path("quantized.keras"),
    seed: int = 0,
    as_json: AsJson = False,
):
    """Quantize a float model after training, for accumulators that cannot overflow; no gradients."""
    quiet.start_keras()
    from a2q_keras.cli import quantize as run

    options = {"samples": samples, "seed": seed, "tile": tile, "calibration": calibration, "percentile": percentile}
    options |= {"least_act_bits": least_act_bits}
    layers = run.quantize(model, data, output, (acc_bits, weight_bits, act_bits), method, **options)
    run.show(layers, output, as_json)


@app.command()
def convert(
    model: Model,
    acc_bits: AccBits = "trained",
    output_dir: Annotated[Path, typer.Option(help="Where the hls4ml project goes")] = Path("hls_projects/project"),
    part: Annotated[str | None, typer.Option(help="FPGA part")] = None,
    clock_period: Annotated[float, typer.Option(help="Clock period in ns")] = 5,
    backend: Backend = "Vitis",
    io_type: IoType = "io_parallel",
    strategy: Strategy = "Latency",
    reuse_factor: ReuseFactor = 1,
    vectors: Annotated[int, typer.Option(help="Also write test vectors, golden outputs and check_cosim.py")] = 0,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also show the accumulator bits that hls4ml would choose itself")
    ] = False,
    as_json: AsJson = False,
):
    """Write an hls4ml project whose every accum_t has the asked width, with its certificate."""
    from a2q_keras import pipeline

    program = source.program(model)
    quiet.start_keras()  # hls4ml's writer starts it in any case
    chosen = {"part": part} if part else {}
    chosen |= {"backend": backend, "io_type": io_type, "strategy": strategy, "reuse_factor": reuse_factor}
    chosen |= {"clock_period": clock_period}
    widths = source.widths(acc_bits)
    program, proof = pipeline.granted(program, widths)
    if vectors != 0:
        pipeline.export_project(program, output_dir, widths, n_random=vectors, **chosen)
    else:
        pipeline.to_hls(program, widths, output_dir=output_dir, **chosen).write()
        proof.save(output_dir / "certificate.json")
        program.save(output_dir / "program.a2q")
    _say(f"{output_dir}: hls4ml project, certificate.json, program.a2q; accumulators {proof.acc_bits}", as_json)
    types = pipeline.firmware_types(program, widths) if compare else []
    if types and not as_json:
        from a2q_keras.report import tables

        tables.show(tables.types_table(types))
    if as_json:
        _finish(
            {"output_dir": str(output_dir), "acc_bits": proof.acc_bits} | ({"types": types} if compare else {}), True
        )


@app.command()
def rtl(
    model: Model,
    acc_bits: AccBits = "trained",
    output_dir: Annotated[Path, typer.Option(help="Where the design goes")] = Path("hls_projects/rtl"),
    style: Style = "parallel",
    language: Annotated[str | None, typer.Option(help="verilog or vhdl")] = None,
    adders_per_stage: AddersPerStage = None,
    clock_period: Annotated[float | None, typer.Option(help="Clock period in ns")] = None,
    pe: Pe = None,
    simd: Simd = None,
    cycles: Cycles = None,
    as_json: AsJson = False,
):
    """Write the network as Verilog or VHDL, with its certificate."""
    from a2q_keras import pipeline

    program = source.program(model)
    chosen = _given(language=language, clock_period=clock_period, adders_per_stage=adders_per_stage)
    chosen |= _given(pe=pe, simd=simd, cycles=cycles)
    with _waiting("building the hardware") as status:
        told = {"on_op": lambda name: status.update(f"building the hardware: {name}")}
        design = pipeline.to_rtl(program, source.widths(acc_bits), output_dir, style, **told, **chosen)
    timing = {None: "streams", 0: "combinational"}.get(design.latency, f"{design.latency} clock cycles")
    _say(f"{output_dir}: {design.top} in {len(design.sources)} files, {timing}", as_json)
    if as_json:
        _finish({"output_dir": str(output_dir), "files": list(design.files), "latency": design.latency}, True)


@app.command()
def resources(
    model: Source,
    acc_bits: AccBits = "trained",
    family: Annotated[str, typer.Option(help="xcup (UltraScale+) or xc7 (7 series)")] = "xcup",
    dsp: Annotated[bool, typer.Option("--dsp", help="Allow multipliers")] = False,
    by_layer: Annotated[bool, typer.Option("--by-layer", help="Synthesise layer by layer and add")] = False,
    by_module: Annotated[bool, typer.Option("--by-module", help="Also the modules of the design")] = False,
    style: Style = "parallel",
    as_json: AsJson = False,
):
    """Count LUTs, flip-flops, carry chains, DSPs and block RAMs by synthesis with Yosys, or read what a vendor counted.

    All options but --json are of the synthesis with Yosys.
    """
    from a2q_keras import pipeline
    from a2q_keras.report import tables

    if model.is_dir() or model.suffix in REPORTS:
        report = pipeline.read_resources(model)
    else:
        program = source.program(model)
        with _waiting("synthesising") as status:
            told = {"on_layer": lambda name: status.update(f"synthesising: {name}")}
            how = {"family": family, "dsp": dsp, "by_layer": by_layer, "by_module": by_module, "style": style}
            report = pipeline.resources(program, acc_bits=source.widths(acc_bits), **how, **told)
    if as_json:
        _finish(report.to_dict(), True)
    else:
        tables.show(tables.resource_table({report.name: report}, f"{report.family}, {report.method}, {report.tool}"))
        if report.timing:
            print(report.timing)


@app.command()
def project(
    folder: Annotated[Path, typer.Argument(help="A design: a folder with recipe.json", show_default=False)],
    output_dir: Annotated[Path | None, typer.Option(help="Where the project goes, by default FOLDER/output")] = None,
    train: Annotated[bool, typer.Option("--train", help="Train anew, and keep the new program and manifest")] = False,
    as_json: AsJson = False,
):
    """Rebuild a reference design from its recipe and compare it with its manifest; exit 1 on a difference."""
    quiet.start_keras()
    from a2q_keras.cli import project as run

    output = output_dir or folder / "output"
    manifest = run.rebuild(folder, output, train, quiet=as_json)
    wrong = run.differences(manifest, run.kept(folder))
    _finish(manifest | {"differing": wrong}, as_json)
    if not wrong:
        _say(f"{output}: {len(manifest['files'])} files, all as {folder / run.MANIFEST} says", as_json)
    else:
        print(f"a2q: not as in {folder / run.MANIFEST}: {', '.join(wrong)}", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def cosim(
    model: Model,
    acc_bits: AccBits = "trained",
    n_random: Annotated[int, typer.Option(help="Random inputs")] = 1000,
    output_dir: Annotated[Path | None, typer.Option(help="Keep the firmware projects here")] = None,
    backend: Backend = "Vitis",
    io_type: IoType = "io_parallel",
    strategy: Strategy = "Latency",
    reuse_factor: ReuseFactor = 1,
    engines: Annotated[str, typer.Option(help="csim, rtl, testbench, vitis, vivado; with commas between")] = "csim",
    style: Style = "parallel",
    adders_per_stage: AddersPerStage = None,
    pe: Pe = None,
    simd: Simd = None,
    cycles: Cycles = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="List every layer, with its types and first difference")
    ] = False,
    as_json: AsJson = False,
):
    """Compare the firmware's C simulation with the integer program, bit for bit; exit 1 on a difference.

    --style and what follows it up to --cycles are of the hardware that engine rtl simulates.
    """
    from a2q_keras import pipeline

    hardware = {"style": style} | _given(adders_per_stage=adders_per_stage, pe=pe, simd=simd, cycles=cycles)
    if hardware != {"style": "parallel"} and "rtl" not in engines.split(","):
        raise ConfigurationError(
            f"options {', '.join(hardware)} are of engine rtl, not of {engines}; give --engines rtl"
        )
    quiet.start_keras()  # hls4ml's writer starts it in any case
    loaded = pipeline.load_model(model)
    with _waiting("compiling and running the C simulation"):
        chosen = {"backend": backend, "io_type": io_type, "strategy": strategy, "reuse_factor": reuse_factor}
        widths = source.widths(acc_bits)
        chosen |= {"n_random": n_random, "output_dir": output_dir, "engines": engines.split(","), "trace": trace}
        chosen |= {"rtl": hardware}
        report = pipeline.cosim(loaded, acc_bits=widths, **chosen)
    _finish(report.to_dict(), True) if as_json else print(report)
    if not report.ok:
        raise typer.Exit(1)


def _given(**options) -> dict:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _waiting(text: str):
    from rich.console import Console

    return Console(stderr=True).status(text)


def _say(text: str, quiet: bool):
    if not quiet:
        print(text)


def _finish(result: dict, as_json: bool):
    if as_json:
        print(json.dumps(result, indent=2))


def main():
    """Run the command; one clear line on standard error and status 2 for every error of our own or of a file."""
    try:
        app()
    except (A2QError, OSError) as error:
        print(f"a2q: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
