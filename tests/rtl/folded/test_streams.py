import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.pool import Largest
from a2q_keras.rtl.folded.streams import chain, resizers, stream_of
from tests.rtl.folded.play import play

CODES = FixedPoint(4, 0, signed=True)


class Resized(Component):
    """The resizers from `have` to `want` codes a beat, as one unit."""

    def __init__(self, have, want):
        self.units = {f"unit{i}": unit for i, unit in enumerate(resizers(CODES, have, want))}
        super().__init__({"i": In(stream_of(CODES, have)), "o": Out(stream_of(CODES, want))})

    def elaborate(self, platform):
        m = Module()
        connect(m, chain(m, flipped(self.i), self.units), flipped(self.o))
        return m


@pytest.mark.parametrize(("have", "want"), [(1, 3), (6, 2), (2, 3), (4, 6)])
def test_codes_keep_their_order_whatever_a_beat_carries(have, want):
    codes = np.random.default_rng(0).integers(-8, 8, 48)
    got = play(Resized(have, want), codes.reshape(-1, have), 48 // want)
    np.testing.assert_array_equal(got.ravel(), codes)


def test_the_largest_code_of_each_window_and_lane():
    codes = np.random.default_rng(0).integers(-8, 8, (5, 3, 2))
    np.testing.assert_array_equal(play(Largest(CODES, 2, 3), codes.reshape(-1, 2), 5), codes.max(axis=1))
