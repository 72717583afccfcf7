import numpy as np
import pytest
from amaranth.sim import Simulator

from a2q_keras.integer.graph import Input, IntegerProgram, Quantize
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.requantize import Requantize

SOURCES = [FixedPoint(6, 3, signed=True), FixedPoint(5, 0, signed=False), FixedPoint(1, 0, signed=False)]
TARGETS = [
    FixedPoint(bits, frac, signed, symmetric)
    for bits in (1, 2, 4, 9)
    for frac in (-5, -1, 0, 2, 6)
    for signed, symmetric in ((False, False), (True, False), (True, True))
    if bits > 1 or not symmetric
]


def in_hardware(source: FixedPoint, target: FixedPoint, codes: np.ndarray) -> list[int]:
    """The codes after the unit, two lanes at a time."""
    unit, got = Requantize(source, target, 2), []

    async def compute(context):
        for pair in codes.reshape(-1, 2).tolist():
            context.set(unit.i.payload, pair)
            await context.delay(1e-6)
            got.extend(context.get(unit.o.payload))

    simulator = Simulator(unit)
    simulator.add_testbench(compute)
    simulator.run()
    return got


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_every_code_is_requantized_as_in_the_golden_run(source):
    codes = np.arange(source.lo, source.hi + 1)
    for target in TARGETS:
        program = IntegerProgram("p", (Input("x", (1,), source),), (Quantize("q", "x", target),), ("q",))
        assert in_hardware(source, target, codes) == program.run_codes(codes[:, None])[:, 0].tolist(), target


def test_a_wrong_rounding_is_seen():
    codes = np.arange(-32, 32)
    source, target = FixedPoint(6, 3, signed=True), FixedPoint(4, 1, signed=True)
    assert in_hardware(source, target, codes) != np.clip(codes >> 2, -8, 7).tolist()
