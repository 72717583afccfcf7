"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    Path, typer.Argument(help="A saved Keras model (.keras) or integer program (.a2q)", show_default=False)
]
Source = Annotated[
    Path,
    typer.Argument(
        help="A saved model or program; or a vendor's report (TOP_csynth.xml, vivado_synth.rpt) or project folder",
        show_default=False,
    ),
]
AccBits = Annotated[
    str | None,
    typer.Option(help='Accumulator bits: a number, "min" for the smallest safe widths, or "trained" as the layers say'),
]
Backend = Annotated[str, typer.Option(help="hls4ml backend, such as Vitis")]
IoType = Annotated[str, typer.Option(help="io_parallel or io_stream")]
Strategy = Annotated[str, typer.Option(help="Latency, Resource, resource_unrolled or distributed_arithmetic")]
ReuseFactor = Annotated[int, typer.Option(help="How often a multiplier is used for one result")]
Style = Annotated[str, typer.Option(help="Style of hardware: parallel or folded")]
AddersPerStage = Annotated[int | None, typer.Option(help="Adders in a row between registers; 0: combinational")]
Pe = Annotated[int | None, typer.Option(help="folded: output channels at a time")]
Simd = Annotated[int | None, typer.Option(help="folded: products of each of them in a cycle")]
Cycles = Annotated[int | None, typer.Option(help="folded: clock cycles per sample, instead of these two")]
LeastActBits = Annotated[int | None, typer.Option(help="Fewest bits of an activation; default: all have act-bits")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables")]
