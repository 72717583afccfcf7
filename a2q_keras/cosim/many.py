"""Many co-simulations at a time: each builds, compiles and compares its own firmware, in a pool of processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from a2q_keras.cosim import run
from a2q_keras.cosim.report import CosimReport
from a2q_keras.errors import A2QError, ConfigurationError, ToolFailedError
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import IntegerProgram

Outcome = CosimReport | A2QError


@dataclass(frozen=True, eq=False)
class Job:
    """What `cosim.run.cosim` is to compare: a program, how its firmware is built, and with which inputs."""

    program: IntegerProgram
    config: HlsConfig
    x: object = None
    n_random: int = 1000
    seed: int = 0


def cosim_all(
    jobs: Mapping[str, Job], processes: int | None = None, on_done: Callable[[str, Outcome], None] | None = None
) -> dict[str, Outcome]:
    """Per job its report, or the error that it ended with: one job that fails stops no other.

    processes: how many run at a time, None for one per core; 1 runs all in this process.  on_done: is called with name
    and outcome as soon as each job ends, in no particular order.
    Processes are spawned, not forked: a script that calls this needs `if __name__ == "__main__":`.
    """
    processes = min(os.cpu_count() or 1, len(jobs)) if processes is None else processes
    if jobs and processes < 1:
        raise ConfigurationError(f"processes is {processes}; give at least 1, or None for one per core")
    outcomes: dict[str, Outcome] = {}
    for name, outcome in _outcomes(jobs, processes):
        outcomes[name] = outcome
        if on_done:
            on_done(name, outcome)
    return {name: outcomes[name] for name in jobs}


def _outcomes(jobs, processes: int) -> Iterator[tuple[str, Outcome]]:
    if processes <= 1:
        yield from ((name, outcome(job)) for name, job in jobs.items())
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        names = {pool.submit(outcome, job): name for name, job in jobs.items()}
        try:
            for future in as_completed(names):
                yield names[future], _result(future)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _result(future) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool as error:
        return ToolFailedError(f"a process of the pool ended ({error}); run with fewer processes, or more memory")


def outcome(job: Job) -> Outcome:
    """The report on one job, or the error that it ended with."""
    try:
        return run.cosim(job.program, job.x, ("csim",), job.n_random, job.seed, job.config)
    except A2QError as error:
        return error
    except Exception as error:  # of hls4ml, which has no errors of its own: the other jobs go on
        return ToolFailedError(f"{job.program.name!r}: hls4ml failed with {type(error).__name__}: {error}")
