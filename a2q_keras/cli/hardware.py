"""The end of `a2q demo`: look-up tables of the trained network, and of its twin with 32-bit accumulators."""

from __future__ import annotations

from a2q_keras.errors import ToolMissingError
from a2q_keras.report import tables

TWIN_BITS = 32


def compare(settings, program, train_twin, console) -> list[dict]:
    """LUTs of the program and of its twin: of the network by da4ml's estimate, of its last layer by synthesis.

    train_twin: () -> the twin's model, called only where the tools are there.  The result is empty where they are not.
    """
    try:
        with console.status("hardware: da4ml and Yosys (the first time on a machine takes minutes)"):
            ours = _row(f"P={settings.acc_bits}, {settings.method}", program, settings.acc_bits)
            return [_row(f"P={TWIN_BITS}, none", train_twin(), TWIN_BITS), ours]
    except ToolMissingError as missing:
        console.print(f"no hardware was built: {missing}", soft_wrap=True, markup=False)  # [rtl] is no markup
        return []


def _row(name: str, model, acc_bits: int) -> dict:
    from a2q_keras import pipeline

    program = pipeline.integer_model(model)
    last = program.accumulator_ops[-1].name
    report = pipeline.resources(program, by_layer=(last,), acc_bits=acc_bits)
    design = pipeline.to_rtl(program, acc_bits)
    return {
        "network": name,
        "estimated_luts": design.estimated_luts,
        "layer": last,
        "layer_luts": report.total.luts,
        "tool": report.tool,
    }


def show(rows: list[dict]):
    """Print the table, and how to have the whole network synthesised."""
    if not rows:
        return
    twin = rows[0]
    cells = {
        row["network"]: (
            f"{row['estimated_luts']:,.0f} in the network (da4ml's estimate, {_ratio(twin, row, 'estimated_luts')}), "
            f"{row['layer_luts']:,} in layer {row['layer']} (Yosys, {_ratio(twin, row, 'layer_luts')})"
        )
        for row in rows
    }
    tables.show(tables.key_value_table("LUTs, every layer in parallel", cells))
    print("synthesis of the whole network: a2q resources --by-layer, on program.a2q there")


def _ratio(twin: dict, row: dict, key: str) -> str:
    return f"{row[key] / max(twin[key], 1):.0%} of the twin" if row is not twin else "the twin"
