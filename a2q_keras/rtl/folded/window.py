"""The line buffer: keeps as much of a stream as its window needs, and plays each window, as often as asked."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.geometry import Geometry
from a2q_keras.rtl.folded.nest import Nest
from a2q_keras.rtl.folded.streams import codes, stream_of


@dataclass(frozen=True)
class Play:
    """How windows are played: in beats of `lanes` codes, some channels of every window after others.

    parts: the channels are in as many, one after the other; pooling has a beat in each, a convolution a group.  times:
    how often each part of a window is played: all its channels of a place, then those of the next place.  fill: the
    code of padding.
    """

    lanes: int
    times: int = 1
    parts: int = 1
    fill: int = 0


class Window(wiring.Component):
    """An image stream in row-major order in, its windows out: a beat in every cycle in which the codes are there.

    The buffer holds one window and what the next needs beyond it, so that filling need not delay playing.
    """

    def __init__(self, format: FixedPoint, geometry: Geometry, play: Play):
        self.format, self.geometry, self.play = format, geometry, play
        self.per_place = geometry.image[2] // play.lanes
        self.depth = 1 << (_places_held(geometry) * self.per_place - 1).bit_length()
        super().__init__({"i": In(stream_of(format, play.lanes)), "o": Out(stream_of(format, play.lanes))})

    def elaborate(self, platform):
        m = Module()
        issue, free = Signal(), Signal()
        nest = Nest(m, self._counts(), issue)
        # beats since the start, modulo four buffers so that differences keep their signs
        position = Shape((4 * self.depth - 1).bit_length())
        written = Signal(position)
        reading = nest.walk("reading", position, self._steps(), self._start()).now
        oldest = nest.walk("oldest", position, self._window_steps(), self._start()).now
        inside = self._inside(m, nest)
        m.d.comb += free.eq(_difference(m, "kept", written, oldest) < self.depth)
        there = ~inside | (_difference(m, "ahead", written, reading) > 0)
        m.d.comb += issue.eq((~self.o.valid | self.o.ready) & there)
        self._buffer(m, written, free, reading, issue)
        self._present(m, inside, issue)
        return m

    def _buffer(self, m, written, free, reading, issue):
        m.submodules.buffer = buffer = Memory(shape=codes(self.format, self.play.lanes), depth=self.depth, init=[])
        write, read = buffer.write_port(), buffer.read_port()
        m.d.comb += [
            self.i.ready.eq(free),
            write.addr.eq(written),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid & free),
            read.addr.eq(reading),
            read.en.eq(issue),
        ]
        with m.If(write.en):
            m.d.sync += written.eq(written + 1)
        self.read = read

    def _present(self, m, inside, issue):
        """The beat read in the cycle before, padding in its place where the window was outside."""
        padding = Signal()
        with m.If(issue):
            m.d.sync += [self.o.valid.eq(1), padding.eq(~inside)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        for lane in range(self.play.lanes):
            m.d.comb += self.o.payload[lane].eq(Mux(padding, self.play.fill, self.read.data[lane]))

    @property
    def per_part(self) -> int:
        """Beats of a part of the channels of a place."""
        return self.per_place // self.play.parts

    def _counts(self) -> list[int]:
        """Loops (row, column, part, times, window row, window column, beat of a part)."""
        return [*self.geometry.places, self.play.parts, self.play.times, *self.geometry.window, self.per_part]

    def _steps(self) -> list[int]:
        """Beats that each loop moves on, the endless one first: image, row, column, ..."""
        (down, right), (row, col) = self.geometry.strides, self.geometry.dilation
        line = self.geometry.image[1]
        image, down, right, row, col = (
            step * self.per_place for step in (self.geometry.image[0] * line, down * line, right, row * line, col)
        )
        return [image, down, right, self.per_part, 0, row, col, 1]

    def _window_steps(self) -> list[int]:
        """The same for the first place of the window, which the inner loops do not move."""
        return [*self._steps()[:3], 0, 0, 0, 0, 0]

    def _start(self) -> int:
        (top, _), (left, _) = self.geometry.pads
        return -(top * self.geometry.image[1] + left) * self.per_place % (4 * self.depth)

    def _inside(self, m, nest: Nest) -> Value:
        """Whether the place read lies in the image."""
        if not self.geometry.padded:
            return Const(1)
        coordinates = zip(self.geometry.image, self.geometry.pads, self.geometry.strides, self.geometry.dilation)
        inside = []
        for axis, (size, (before, behind), stride, dilation) in enumerate(coordinates):
            steps = [0] * 8
            steps[1 + axis], steps[5 + axis] = stride, dilation
            place = nest.walk(f"place{axis}", signed((size + before + behind).bit_length() + 1), steps, -before).now
            inside.append((place >= 0) & (place < size))
        return inside[0] & inside[1]


def _places_held(geometry: Geometry) -> int:
    """Places from the first of a window to the last of the next one, over all moves of the window."""
    line = geometry.image[1]
    (rows, cols), (down, right), (high, wide) = geometry.places, geometry.strides, geometry.extent
    span = (high - 1) * line + wide
    to_next_row = down * line - (cols - 1) * right
    to_next_image = geometry.image[0] * line - (rows - 1) * down * line - (cols - 1) * right
    moves = [right] * (cols > 1) + [to_next_row] * (rows > 1) + [to_next_image]
    return span + max(moves)


def _difference(m, name: str, left: Signal, right: Signal) -> Signal:
    difference = Signal(signed(len(left)), name=name)
    m.d.comb += difference.eq(left - right)
    return difference
