"""Tables a person can read, as rich renderables."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from a2q_keras.integer.certificate import Certificate
from a2q_keras.resources.usage import ResourceReport

TILE_COLUMNS = ("tile", "outer")


def accumulator_table(certificate: Certificate) -> Table:
    """One row per accumulator layer: bits asked, needed, by data type, as hls4ml would take; slack; sparsity.

    With tiles the bits are those of the inner accumulators, and two columns more have the tile and the outer bits.
    """
    tiled = any(layer.tile is not None for layer in certificate.layers)
    table = Table(title=f"Accumulators of {certificate.program}")
    table.add_column("layer")
    for title in (
        "K x C",
        "weights",
        "inputs",
        "asked",
        "needed",
        "slack",
        "by data type",
        "hls4ml auto",
        "worst channel",
    ):
        table.add_column(title, justify="right")
    for title in ("zero weights", *(TILE_COLUMNS if tiled else ())):
        table.add_column(title, justify="right")
    table.add_column("proven")
    for layer in certificate.layers:
        table.add_row(
            layer.name,
            f"{layer.k} x {layer.channels}",
            f"{layer.weight_bits} bits",
            str(layer.input_format),
            str(layer.acc_bits),
            str(int(layer.needed_bits.max())),
            str(layer.slack),
            str(layer.datatype_bits),
            str(layer.hls4ml_bits),
            str(layer.worst_channel),
            f"{layer.sparsity:.1%}",
            *(_tile_cells(layer.tile, layer.result_bits) if tiled else ()),
            "yes" if layer.slack >= 0 else "NO: can overflow",
        )
    return table


TYPES = {
    "layer": "layer",
    "weight_bits": "weight bits",
    "input": "inputs",
    "auto": "hls4ml auto",
    "bit_exact": "hls4ml bit_exact",
    "needed": "needed",
    "asked": "a2q_keras",
}


def types_table(rows: list[dict]) -> Table:
    """The rows of `pipeline.firmware_types`: accumulator bits as hls4ml would choose them, and ours."""
    table = Table(title="Accumulator bits")
    for key, title in {"layer": "layer", "size": "K x C", **TYPES}.items():
        table.add_column(title, justify="left" if key == "layer" else "right")
    for row in rows:
        cells = ["-" if row[key] is None else str(row[key]) for key in TYPES]
        table.add_row(cells[0], f"{row['k']} x {row['channels']}", *cells[1:])
    return table


def _tile_cells(tile: int | None, outer_bits: int | None) -> tuple[str, str]:
    return ("-", "-") if tile is None else (str(tile), str(outer_bits))


def accumulator_rows(certificate: Certificate) -> list[dict]:
    """The same figures as plain data for JSON."""
    return [
        {
            "layer": layer.name,
            "k": layer.k,
            "channels": layer.channels,
            "weight_bits": layer.weight_bits,
            "input": str(layer.input_format),
            "acc_bits": layer.acc_bits,
            "needed_bits": int(layer.needed_bits.max()),
            "slack": layer.slack,
            "datatype_bits": layer.datatype_bits,
            "hls4ml_bits": layer.hls4ml_bits,
            "worst_channel": layer.worst_channel,
            "sparsity": layer.sparsity,
            "tile": layer.tile,
            "outer_bits": None if layer.tile is None else layer.result_bits,
        }
        for layer in certificate.layers
    ]


def quantization_table(layers) -> Table:
    """One row per layer of post-training quantization: bits, share of the accumulator that is used, errors."""
    tiled = any(layer.tile is not None for layer in layers)
    table = Table(title="Post-training quantization")
    table.add_column("layer")
    titles = ("K x C", "asked", "needed", *(TILE_COLUMNS if tiled else ()), "budget used", "zero weights", "scale")
    for title in (*titles, "error before", "error after", "seconds"):
        table.add_column(title, justify="right")
    for layer in layers:
        table.add_row(
            layer.name,
            f"{layer.k} x {layer.channels}",
            str(layer.acc_bits),
            str(layer.needed_bits),
            *(_tile_cells(layer.tile, layer.outer_bits) if tiled else ()),
            f"{layer.budget_used:.1%}",
            f"{layer.zero_weights:.1%}",
            f"2^{layer.scale_log2}",
            f"{layer.error_before:.2%}",
            f"{layer.error_after:.2%}",
            f"{layer.seconds:.1f}",
        )
    return table


def resource_table(reports: dict[str, ResourceReport], title: str) -> Table:
    """One row per report, and one below it for each of its parts."""
    table = Table(title=title)
    table.add_column("")
    for name in ("LUT", "FF", "CARRY", "DSP", "BRAM18", "URAM", "estimated LUT"):
        table.add_column(name, justify="right")
    for name, report in reports.items():
        estimate = "" if report.estimated_luts is None else f"{report.estimated_luts:,.0f}"
        table.add_row(name, *_counts(report.total), estimate)
        for part, usage in report.parts.items():
            table.add_row(f"  {part}", *_counts(usage), "")
    return table


def _counts(usage) -> list[str]:
    return ["-" if count is None else f"{count:,}" for count in asdict(usage).values()]


def key_value_table(title: str, rows: dict[str, str]) -> Table:
    """A table of two columns."""
    table = Table(title=title, show_header=False)
    for key, value in rows.items():
        table.add_row(key, value)
    return table


def show(renderable):
    """Print to the terminal; in a pipe at 160 columns, so that no cell is cut."""
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(renderable)
