"""Streams through a unit in Amaranth's simulator, with gaps and back-pressure."""

import numpy as np
from amaranth.sim import Simulator


def play(unit, beats, wanted: int, seed=0, stalls=0.3) -> np.ndarray:
    """`wanted` beats that come out of a unit for the beats that go in, int64 (wanted, lanes)."""
    rng, got = np.random.default_rng(seed), []

    async def feed(context):
        for beat in beats:
            while rng.random() < stalls:
                await context.tick()
            context.set(unit.i.payload, list(map(int, beat)))
            context.set(unit.i.valid, 1)
            await context.tick().until(unit.i.ready)
            context.set(unit.i.valid, 0)

    async def take(context):
        while len(got) < wanted:
            while rng.random() < stalls:
                await context.tick()
            context.set(unit.o.ready, 1)
            (beat,) = await context.tick().sample(unit.o.payload).until(unit.o.valid)
            got.append(list(beat))
            context.set(unit.o.ready, 0)

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(take)
    simulator.run_until(1e-6 * (100 + 40 * (wanted + len(beats))))
    return np.array(got)
