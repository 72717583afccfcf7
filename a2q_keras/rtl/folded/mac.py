"""The matrix-vector unit: `pe` sums at a time of `simd` products a cycle, in accumulators of P bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.nest import Nest
from a2q_keras.rtl.folded.streams import codes, stream_of


@dataclass(frozen=True, eq=False)
class Matrix:
    """weights: codes (K, C); bias: codes (C,); their formats; source: the format of the inputs; acc: of the sums.

    pe: output channels at a time; simd: products of each in a cycle.
    """

    weights: np.ndarray
    bias: np.ndarray
    weight_format: FixedPoint
    source: FixedPoint
    acc: FixedPoint
    pe: int
    simd: int

    @property
    def folds(self) -> tuple[int, int]:
        """Groups of channels, one after the other, and beats of each."""
        return self.weights.shape[1] // self.pe, self.weights.shape[0] // self.simd

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
                "codes": In(codes(matrix.source, matrix.simd)),
                "weights": In(codes(matrix.weight_format, matrix.pe * matrix.simd)),
                "sums": Out(codes(matrix.acc, matrix.pe)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        simd = self.matrix.simd
        for channel in range(self.matrix.pe):
            products = [self.codes[i] * self.weights[channel * simd + i] for i in range(simd)]
            total = tree(products, self.matrix.acc.bits)
            # a register of its own width: sign extension behind it costs wires only
            register = Signal(total.shape(), name=f"sum{channel}")
            m.d.comb += self.sums[channel].eq(register)
            with m.If(self.enable):
                m.d.sync += register.eq(total)
        return m


def tree(values: list[Value], bits: int) -> Value:
    """The sum of the values by a balanced tree, no node of which is wider than `bits`: sums modulo 2**bits.

    Where the certificate holds, every sum of some of the products fits, so nothing is lost.
    """
    values = [_narrowed(value, bits) for value in values]
    while len(values) > 1:
        pairs = [_narrowed(left + right, bits) for left, right in zip(values[::2], values[1::2])]
        values = pairs + values[len(pairs) * 2 :]
    return values[0]


def _narrowed(value: Value, bits: int) -> Value:
    return value[:bits].as_signed() if len(value) > bits else value


class Accumulate(wiring.Component):
    """`accN` of P bits: where `enable`, the sums added to what is there, or at `start` to the bias; modulo 2**P."""

    def __init__(self, matrix: Matrix):
        self.matrix = matrix
        sums = codes(matrix.acc, matrix.pe)
        super().__init__({"enable": In(1), "start": In(1), "bias": In(sums), "sums": In(sums), "totals": Out(sums)})

    def elaborate(self, platform):
        m = Module()
        for channel in range(self.matrix.pe):
            register = Signal(signed(self.matrix.acc.bits), name=f"acc{channel}")
            m.d.comb += self.totals[channel].eq(register)
            with m.If(self.enable):
                m.d.sync += register.eq(Mux(self.start, self.bias[channel], register) + self.sums[channel])
        return m


class Mac(wiring.Component):
    """Windows in, every window once for each group of channels; the sums of `pe` channels out, group after group.

    One beat in per cycle.  The order of the additions is fixed: the bias, then beat after beat.
    """

    def __init__(self, matrix: Matrix):
        self.matrix = matrix
        super().__init__({"i": In(stream_of(matrix.source, matrix.simd)), "o": Out(stream_of(matrix.acc, matrix.pe))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiply = multiply = Multiply(self.matrix)
        m.submodules.accumulate = accumulate = Accumulate(self.matrix)
        m.d.comb += [
            multiply.codes.eq(self.i.payload),
            accumulate.sums.eq(multiply.sums),
            self.o.payload.eq(accumulate.totals),
        ]
        self._control(m, multiply, accumulate)
        return m

    def _control(self, m, multiply: Multiply, accumulate: Accumulate):
        """Two stages, multiply and accumulate, that wait together while a finished sum is not taken."""
        advance, take, loaded = Signal(), Signal(), Signal()  # loaded: the first word has been read
        multiplied, starts, ends = Signal(), Signal(), Signal()
        nest = Nest(m, self.matrix.folds, take)
        self._constants(m, nest, advance, multiply.weights, accumulate.bias)
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            take.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(advance & loaded),
            multiply.enable.eq(take),
            accumulate.enable.eq(advance & multiplied),
            accumulate.start.eq(starts),
        ]
        m.d.sync += loaded.eq(1)
        with m.If(advance):
            m.d.sync += [multiplied.eq(take), starts.eq(nest.begins(1)), ends.eq(nest.ends(1))]
            m.d.sync += self.o.valid.eq(multiplied & ends)

    def _constants(self, m, nest: Nest, advance, weights_wanted, bias_wanted):
        """Weights are there in the cycle of their beat, the bias one cycle later."""
        matrix = self.matrix
        _, beats = matrix.folds
        bias_bits = max(int(abs(code)).bit_length() for code in matrix.bias) + 1
        words = matrix.weight_words()
        m.submodules.weight_rom = weights = Rom(codes(matrix.weight_format, matrix.pe * matrix.simd), words)
        m.submodules.bias_rom = bias = Rom(data.ArrayLayout(signed(bias_bits), matrix.pe), matrix.bias_words())
        word = nest.walk("word", unsigned((len(words) - 1).bit_length()), (0, beats, 1))
        m.d.comb += [
            weights.enable.eq(1),
            weights.address.eq(word.upcoming),
            weights_wanted.eq(weights.data),
            bias.enable.eq(advance),
            bias.address.eq(nest.indices[0]),
        ]
        for channel in range(matrix.pe):
            m.d.comb += bias_wanted[channel].eq(bias.data[channel])
