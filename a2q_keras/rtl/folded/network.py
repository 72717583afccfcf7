"""The hardware of a plan: one unit after the other, streams in between."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.mac import Mac, Matrix
from a2q_keras.rtl.folded.pool import Largest
from a2q_keras.rtl.folded.requantize import Requantize
from a2q_keras.rtl.folded.stages import MacStage, PoolStage, QuantizeStage, Stage
from a2q_keras.rtl.folded.streams import chain, resizers, stream_of
from a2q_keras.rtl.folded.window import Play, Window


class Layer(wiring.Component):
    """A stage and, in front of it, what brings the stream into the form that it needs."""

    def __init__(self, stage: Stage, have: int):
        self.units, self.per_beat = units_of(stage, have)
        super().__init__({"i": In(stream_of(stage.source, have)), "o": Out(stream_of(stage.result, self.per_beat))})

    def elaborate(self, platform):
        m = Module()
        connect(m, chain(m, flipped(self.i), self.units), flipped(self.o))
        return m


class Network(wiring.Component):
    """All stages as a chain of layers called by `names`.

    Ports: i_data (`per_beat` codes), i_valid, i_ready; o_data (`per_beat_out` codes), o_valid, o_ready.
    """

    def __init__(self, source: FixedPoint, stages: tuple[Stage, ...], names: tuple[str, ...]):
        self.source, self.per_beat = source, first_beat(stages)
        self.layers, have = {}, self.per_beat
        for stage, name in zip(stages, names):
            self.layers[name] = Layer(stage, have)
            have = self.layers[name].per_beat
        self.per_beat_out = have
        result = stages[-1].result if stages else source
        widths = {"i": source.bits * self.per_beat, "o": result.bits * have}
        ins = {"i_data": In(widths["i"]), "i_valid": In(1), "i_ready": Out(1)}
        super().__init__(ins | {"o_data": Out(widths["o"]), "o_valid": Out(1), "o_ready": In(1)})

    def elaborate(self, platform):
        m = Module()
        entry = stream_of(self.source, self.per_beat).create()
        result = chain(m, entry, self.layers)
        m.d.comb += [
            entry.payload.as_value().eq(self.i_data),
            entry.valid.eq(self.i_valid),
            self.i_ready.eq(entry.ready),
            self.o_data.eq(result.payload.as_value()),
            self.o_valid.eq(result.valid),
            result.ready.eq(self.o_ready),
        ]
        return m


def first_beat(stages: tuple[Stage, ...]) -> int:
    """Codes that a beat of the network input carries: what the first stage with a fold reads."""
    return next((stage.fold.simd for stage in stages if not isinstance(stage, QuantizeStage)), 1)


def units_of(stage: Stage, have: int) -> tuple[dict[str, wiring.Component], int]:
    """The units of a stage that gets `have` codes a beat, by name, and how many codes a beat it makes."""
    if isinstance(stage, QuantizeStage):
        return {"requantize": Requantize(stage.source, stage.result, have)}, have
    resize = {type(unit).__name__.lower(): unit for unit in resizers(stage.source, have, stage.fold.simd)}
    units = _pool_units(stage) if isinstance(stage, PoolStage) else _mac_units(stage)
    return resize | units, stage.fold.pe


def _pool_units(stage: PoolStage) -> dict[str, wiring.Component]:
    lanes, window = stage.fold.pe, stage.geometry.window
    play = Play(lanes, by_channel=True, fill=stage.source.lo)
    return {
        "window": Window(stage.source, stage.geometry, play),
        "largest": Largest(stage.source, lanes, window[0] * window[1]),
    }


def _mac_units(stage: MacStage) -> dict[str, wiring.Component]:
    fold = stage.fold
    codes = stage.weights, stage.bias
    matrix = Matrix(*codes, stage.weight_format, stage.source, stage.acc, fold.pe, fold.simd, stage.tiles)
    play = Play(fold.simd, times=matrix.folds[0])
    unmoved = stage.geometry.window == stage.geometry.strides == (1, 1) and not stage.geometry.padded
    buffer = {} if unmoved and play.times == 1 else {"window": Window(stage.source, stage.geometry, play)}
    return buffer | {"mac": Mac(matrix)}
