"""Random networks converted, compiled with g++, and compared with the golden run, layer by layer, bit for bit.

    python benchmarks/firmware/random_firmware.py --count 200 [--processes 2]

Seed by seed a network (random_networks.py), a backend, io_type, strategy and reuse factor are drawn.  What is refused
is counted with the reason, and the next seed is tried until `count` networks are built.  Each runs on 1,000 random
inputs, 1,000 values between and beyond the codes, and worst cases; every layer also alone on its own worst cases.

Strategy distributed_arithmetic needs the extra `da`; without it those seeds are refused, and others take their place.

Results are kept in benchmarks/results/random_firmware.json as they come: a run that was stopped goes on.  Exit status 1
where any code differs or a build gave no result.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from a2q_keras.cosim.many import Job, cosim_all
from a2q_keras.errors import A2QError
from a2q_keras.hls.layers import FirmwarePlan, plan
from a2q_keras.hls.settings import BACKENDS, IO_TYPES, HlsConfig
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.integer.storage import write_text
from benchmarks.firmware.random_networks import random_network

RESULTS = ROOT / "benchmarks" / "results" / "random_firmware.json"
DRAWN = ("Vitis", "Vivado", "Quartus", "Catapult")  # backends whose C simulation g++ compiles
ADDERS = "distributed_arithmetic"
COMMAND = "python benchmarks/firmware/random_firmware.py"


def drawn(seed: int) -> tuple[IntegerProgram, HlsConfig]:
    """The network of a seed, and how it is built."""
    rng = np.random.default_rng([seed, 1])
    backend, io_type = str(rng.choice(DRAWN)), str(rng.choice(IO_TYPES))
    strategy = str(rng.choice(BACKENDS[backend].strategies))
    return random_network(seed), HlsConfig(backend, io_type, strategy, int(rng.integers(1, 9)))


def described(seed: int, program: IntegerProgram, config: HlsConfig) -> dict:
    """What is known of a seed before it is built."""
    return {
        "seed": seed,
        "backend": config.backend,
        "io_type": config.io_type,
        "strategy": config.strategy,
        "reuse_factor": config.reuse_factor,
        "digest": program.digest(),
        "ops": dict(sorted(Counter(type(op).__name__ for op in program.ops).items())),
    }


def refusal(program: IntegerProgram, config: HlsConfig) -> str:
    """Why a network is not built, or nothing where it is."""
    try:
        firmware = plan(program, config)
    except A2QError as error:
        return f"{type(error).__name__}: {error}"
    return "da4ml is not installed" if _wants(firmware, ADDERS) and find_spec("da4ml") is None else ""


def _wants(firmware: FirmwarePlan, strategy: str) -> bool:
    return any(layer.strategy == strategy for layer in firmware.layers)


def chosen(networks: int, first_seed: int = 0) -> tuple[dict[int, Job], list[dict]]:
    """Jobs by seed, as many as asked for; and the records of the seeds that were refused on the way."""
    jobs: dict[int, Job] = {}
    refused = []
    for seed in count(first_seed):
        if len(jobs) == networks:
            return jobs, refused
        program, config = drawn(seed)
        if reason := refusal(program, config):
            refused.append(described(seed, program, config) | {"refused": reason})
        else:
            jobs[seed] = Job(program, config)
    raise AssertionError("seeds do not end")


def record(seed: int, job: Job, outcome) -> dict:
    """What came of a network, as plain data."""
    known = described(seed, job.program, job.config)
    if isinstance(outcome, A2QError):
        return known | {"error": f"{type(outcome).__name__}: {outcome}"}
    vectors = {part.name: part.vectors for part in outcome.parts}
    first = str(outcome.first or "")
    codes = sum(part.codes for part in outcome.parts)
    return known | {"vectors": vectors, "codes": codes, "differing": _differing(outcome), "first": first}


def _differing(report) -> int:
    return sum(part.differing for part in report.parts)


def run(networks: int, first_seed: int, processes: int, path: Path) -> dict:
    """All records; those in the file at `path` are not made again, new ones are added to it."""
    jobs, refused = chosen(networks, first_seed)
    kept = {entry["seed"]: entry for entry in (json.loads(path.read_text())["compared"] if path.exists() else [])}
    done = {seed: kept[seed] for seed, job in jobs.items() if _same(kept.get(seed), seed, job)}
    start = time.perf_counter()

    def add(name: str, outcome):
        seed = int(name)
        done[seed] = record(seed, jobs[seed], outcome)
        write_text(path, json.dumps(_result(networks, first_seed, done, refused), indent=1) + "\n")
        verdict = done[seed].get("error") or done[seed]["first"] or "equal"
        print(f"{len(done)}/{networks}  seed {name}  {_way(done[seed])}: {verdict.splitlines()[0]}"
              f"  ({time.perf_counter() - start:.0f} s)", flush=True)  # fmt: skip

    cosim_all({str(seed): job for seed, job in jobs.items() if seed not in done}, processes, add)
    return _result(networks, first_seed, done, refused)


def _same(entry, seed: int, job: Job) -> bool:
    """Whether a record is of this job, and has a result."""
    known = described(seed, job.program, job.config)
    return entry is not None and "error" not in entry and {key: entry[key] for key in known} == known


def _result(networks, first_seed, done, refused) -> dict:
    command = f"{COMMAND} --count {networks}" + f" --first-seed {first_seed}" * bool(first_seed)
    return {"command": command, "compared": [done[seed] for seed in sorted(done)], "refused": refused}


def _way(entry: dict) -> str:
    return f"{entry['backend']} {entry['io_type']} {entry['strategy']}"


def markdown(result: dict) -> str:
    """The records as a page of tables."""
    compared, refused = result["compared"], result["refused"]
    vectors, codes = sum(sum(entry["vectors"].values()) for entry in compared), sum(e["codes"] for e in compared)
    head = (
        f"{len(compared)} networks, each built with a backend, io_type, strategy and reuse factor, all drawn by seed: "
        f"{vectors:,} input vectors, {codes:,} codes of layers and outputs compared by equality, "
        f"**{sum(e['differing'] for e in compared)} differ**. {len(refused)} more seeds were refused before anything "
        "was built."
    )
    made = f"Made by `{result['command']}`; every network is in [random_firmware.json](random_firmware.json)."
    return "\n".join(["# Random networks in firmware", "", head, "", made, "", *_ways(compared), "", *_ops(compared),
                      "", *_reasons(refused), ""])  # fmt: skip


def _table(head, rows) -> list[str]:
    return [f"| {' | '.join(map(str, row))} |" for row in [head, ["---"] * len(head), *rows]]


def _ways(compared) -> list[str]:
    counts = Counter(_way(entry) for entry in compared)
    rows = [
        [*way.split(), counts[way], f"{sum(e['codes'] for e in compared if _way(e) == way):,}",
         sum(e["differing"] for e in compared if _way(e) == way)]
        for way in sorted(counts)
    ]  # fmt: skip
    return _table(["backend", "io_type", "strategy asked for", "networks", "codes", "differing"], rows)


def _ops(compared) -> list[str]:
    total, networks = Counter[str](), Counter[str]()
    for entry in compared:
        total.update(entry["ops"])
        networks.update(entry["ops"].keys())
    return _table(["op", "in networks", "ops"], [[op, networks[op], total[op]] for op in sorted(total)])


def _reasons(refused) -> list[str]:
    """How often each reason was given, layer names left out."""
    reasons = Counter(entry["refused"].split("': ", 1)[-1] for entry in refused)
    return _table(["refused because", "networks"], [[reason, number] for reason, number in reasons.most_common()])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="networks to build")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="how many are built at a time")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # notices of strategies and reuse factors that were replaced
    result = run(arguments.count, arguments.first_seed, arguments.processes, arguments.output)
    write_text(arguments.output, json.dumps(result, indent=1) + "\n")
    wrong = [entry for entry in result["compared"] if entry.get("error") or entry["differing"]]
    for entry in wrong:
        print(f"seed {entry['seed']}, {_way(entry)}: {entry.get('error') or entry['first']}")
    if not wrong:
        write_text(arguments.output.with_suffix(".md"), markdown(result))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
