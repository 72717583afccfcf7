"""The matrix-vector unit: `pe` sums at a time of `simd` products a cycle, in accumulators of P bits.

With tiles these are inner accumulators, and behind them stand as many outer ones (`integer.ops`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.folding import Tiles
from a2q_keras.rtl.folded.nest import Nest
from a2q_keras.rtl.folded.streams import codes, stream_of


@dataclass(frozen=True, eq=False)
class Matrix:
    """weights: codes (K, C); bias: codes (C,); their formats; source: the format of the inputs.

    acc: the format of the accumulators of products.  pe: output channels at a time; simd: products of each in a cycle.
    tiles: where these accumulators are inner ones; a beat holds products of one tile.  groups: in as many equal parts
    the channels of the time read `simd` codes each, side by side in a beat.
    """

    weights: np.ndarray
    bias: np.ndarray
    weight_format: FixedPoint
    source: FixedPoint
    acc: FixedPoint
    pe: int
    simd: int
    tiles: Tiles | None = None
    groups: int = 1

    @property
    def lanes(self) -> int:
        """Input codes of a beat."""
        return self.simd * self.groups

    @property
    def result(self) -> FixedPoint:
        """The format of the sums of all products."""
        return self.tiles.outer if self.tiles else self.acc

    @property
    def folds(self) -> tuple[int, int]:
        """Groups of channels, one after the other, and beats of each."""
        return self.weights.shape[1] // self.pe, self.weights.shape[0] // self.simd

    @property
    def tile_beats(self) -> int:
        """Beats of a tile, the last of a group of channels perhaps excepted; without tiles, those of a group."""
        beats = self.folds[1]
        return min(-(-self.tiles.products // self.simd), beats) if self.tiles else beats

    def weight_words(self) -> list[list[int]]:
        """By cycle: the weights of the first channel of the group, then of the next."""
        groups, beats = self.folds
        cut = self.weights.reshape(beats, self.simd, groups, self.pe)
        return cut.transpose(2, 0, 3, 1).reshape(groups * beats, -1).tolist()

    def bias_words(self) -> list[list[int]]:
        """By group of channels: the bias of each channel in it."""
        return self.bias.reshape(self.folds[0], self.pe).tolist()


class Rom(wiring.Component):
    """Constants by address: `data` is the word at `address` of the cycle before, while `enable` was high.

    A single word is wires.
    """

    def __init__(self, shape: data.ArrayLayout, words: list[list[int]]):
        self.shape, self.words = shape, words
        super().__init__({"address": In(range(len(words))), "enable": In(1), "data": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        if len(self.words) == 1:
            m.d.comb += [self.data[i].eq(code) for i, code in enumerate(self.words[0])]
            return m
        m.submodules.words = words = Memory(shape=self.shape, depth=len(self.words), init=self.words)
        read = words.read_port()
        m.d.comb += [read.addr.eq(self.address), read.en.eq(self.enable), self.data.eq(read.data)]
        return m


class Multiply(wiring.Component):
    """`sums`: by channel the sum of the products of the beat, modulo 2**P, a cycle later where `enable` was high."""

    def __init__(self, matrix: Matrix):
        self.matrix = matrix
        super().__init__(
            {
                "enable": In(1),
                "codes": In(codes(matrix.source, matrix.lanes)),
                "weights": In(codes(matrix.weight_format, matrix.pe * matrix.simd)),
                "sums": Out(codes(matrix.acc, matrix.pe)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        simd, of_group = self.matrix.simd, self.matrix.pe // self.matrix.groups
        for channel in range(self.matrix.pe):
            first = channel // of_group * simd
            products = [self.codes[first + i] * self.weights[channel * simd + i] for i in range(simd)]
            total = tree(products)
            # of its own width, where P is more: sign extension behind it costs wires only; and where P is less: of
            # multipliers whose upper bits nobody reads Yosys makes larger ones
            register = Signal(total.shape(), name=f"sum{channel}", attrs={"keep": 1})
            m.d.comb += self.sums[channel].eq(register)
            with m.If(self.enable):
                m.d.sync += register.eq(total)
        return m


def tree(values: list[Value]) -> Value:
    """The sum of the values by a balanced tree, as wide as it can become."""
    while len(values) > 1:
        pairs = [left + right for left, right in zip(values[::2], values[1::2])]
        values = pairs + values[len(pairs) * 2 :]
    return values[0]


class Accumulate(wiring.Component):
    """`accN` of P bits: where `enable`, the terms added to what is there, or at `start` to the origin; modulo 2**P."""

    def __init__(self, term: FixedPoint, acc: FixedPoint, count: int):
        self.acc, self.count = acc, count
        sums = codes(acc, count)
        terms = codes(term, count)
        super().__init__({"enable": In(1), "start": In(1), "origin": In(sums), "terms": In(terms), "totals": Out(sums)})

    def elaborate(self, platform):
        m = Module()
        for channel in range(self.count):
            register = Signal(signed(self.acc.bits), name=f"acc{channel}")
            m.d.comb += self.totals[channel].eq(register)
            with m.If(self.enable):
                m.d.sync += register.eq(Mux(self.start, self.origin[channel], register) + self.terms[channel])
        return m


class Mac(wiring.Component):
    """Windows in, every window once for each group of channels; the sums of `pe` channels out, group after group.

    One beat in per cycle.  The order of the additions is fixed: the bias, then beat after beat; with tiles the beats of
    each tile from zero, and the bias, then tile after tile.
    """

    def __init__(self, matrix: Matrix):
        self.matrix = matrix
        super().__init__(
            {"i": In(stream_of(matrix.source, matrix.lanes)), "o": Out(stream_of(matrix.result, matrix.pe))}
        )

    def elaborate(self, platform):
        """All stages wait together while a finished sum is not taken."""
        m = Module()
        advance, take, loaded = Signal(), Signal(), Signal()  # loaded: the first word has been read
        nest = Nest(m, self.matrix.folds, take)
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            take.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(advance & loaded),
        ]
        m.d.sync += loaded.eq(1)
        m.submodules.multiply = multiply = Multiply(self.matrix)
        m.d.comb += [
            multiply.enable.eq(take),
            multiply.codes.eq(self.i.payload),
            multiply.weights.eq(self._weights(m, nest)),
        ]
        totals, finished = self._accumulated(m, nest, take, advance, multiply.sums)
        m.d.comb += self.o.payload.eq(totals)
        with m.If(advance):
            m.d.sync += self.o.valid.eq(finished)
        return m

    def _accumulated(self, m, nest: Nest, take, advance, products) -> tuple[Value, Value]:
        """The finished sums, and whether the beat that is added now finishes them."""
        begins, ends = self._tile(m, nest, take)
        multiplied, starts, ends = later(m, advance, multiplied=take, starts=begins, ends=ends)
        m.submodules.accumulate = accumulate = Accumulate(self.matrix.acc, self.matrix.acc, self.matrix.pe)
        m.d.comb += [
            accumulate.enable.eq(advance & multiplied),
            accumulate.start.eq(starts),
            accumulate.terms.eq(products),
        ]
        if self.matrix.tiles:
            (closing,) = later(m, advance, closing=nest.ends(1))
            tile, close = later(m, advance, tile=multiplied & ends, close=closing)
            return self._outer(m, nest, advance, accumulate.totals, tile, close)
        m.d.comb += accumulate.origin.eq(self._bias(m, nest.indices[0], advance))
        return accumulate.totals, multiplied & ends

    def _outer(self, m, nest: Nest, advance, sums, tile, close) -> tuple[Value, Value]:
        """The same for the outer accumulators; tile: there is the sum of a tile; close: of the last of its group."""
        matrix, fresh = self.matrix, Signal(init=1)
        m.submodules.accumulate_outer = outer = Accumulate(matrix.acc, matrix.result, matrix.pe)
        (group,) = later(m, advance, group=nest.indices[0])
        m.d.comb += [
            outer.enable.eq(advance & tile),
            outer.start.eq(fresh),
            outer.origin.eq(self._bias(m, group, advance)),
            outer.terms.eq(sums),
        ]
        with m.If(outer.enable):
            m.d.sync += fresh.eq(close)
        return outer.totals, tile & close

    def _tile(self, m, nest: Nest, take) -> tuple[Value, Value]:
        """Whether a beat is the first and whether it is the last of its tile; without tiles, of its group."""
        length = self.matrix.tile_beats
        if length == self.matrix.folds[1]:
            return nest.begins(1), nest.ends(1)
        place = Signal(range(length))
        last = (place == length - 1) | nest.ends(1)
        with m.If(take):
            m.d.sync += place.eq(Mux(last, 0, place + 1))
        return place == 0, last

    def _weights(self, m, nest: Nest) -> Value:
        """The weights of a beat, there in its cycle."""
        matrix, words = self.matrix, self.matrix.weight_words()
        m.submodules.weight_rom = rom = Rom(codes(matrix.weight_format, matrix.pe * matrix.simd), words)
        word = nest.walk("word", unsigned((len(words) - 1).bit_length()), (0, matrix.folds[1], 1))
        m.d.comb += [rom.enable.eq(1), rom.address.eq(word.upcoming)]
        return rom.data

    def _bias(self, m, group, advance) -> Signal:
        """The biases of a group of channels, a cycle after its number was there."""
        matrix = self.matrix
        bits = max(int(abs(code)).bit_length() for code in matrix.bias) + 1
        m.submodules.bias_rom = rom = Rom(data.ArrayLayout(signed(bits), matrix.pe), matrix.bias_words())
        m.d.comb += [rom.enable.eq(advance), rom.address.eq(group)]
        bias = Signal(codes(matrix.result, matrix.pe))
        m.d.comb += [bias[channel].eq(rom.data[channel]) for channel in range(matrix.pe)]
        return bias


def later(m: Module, advance: Value, **values: Value) -> list[Signal]:
    """The values of the cycle before, while `advance` was high, in signals of these names."""
    signals = [Signal(Value.cast(value).shape(), name=name) for name, value in values.items()]
    with m.If(advance):
        m.d.sync += [signal.eq(value) for signal, value in zip(signals, values.values())]
    return signals
