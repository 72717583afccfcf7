"""What `polish` adds to training by method `exact` in narrow accumulators, W4A4.

    python benchmarks/polish.py --data-dir FOLDER

The networks of accuracy.py, trained as there, polished on their training data; more seeds on Dry Bean, where the test
set is small and the methods are close.  Beside them stands `a2q+` with two bits more and the same seeds, from the
results of accuracy.py.  The accuracy is that of the integer program on the test set.

Results go to benchmarks/results/polish.{json,md}, after every training; a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import accuracy as bench
from rich.progress import track

import a2q_keras as a2q
from a2q_keras.integer import storage
from a2q_keras.zoo.train import accuracy

CASES = (("dry_bean", (8, 7, 6), range(10)), ("magic_gamma", (8, 7, 6), range(3)), ("digits", (7, 6), range(3)))
COMMAND = "python benchmarks/polish.py --data-dir FOLDER"
HEAD = "| data | seeds | P | trained | polished | `a2q+`, P + 2 | training loss | seconds |"


def run(dataset, float_model, acc_bits, seed):
    """One row: train, polish, certify."""
    model = bench.trained(dataset, float_model, "exact", acc_bits, 4, seed)
    before, begin = score(model, dataset), time.time()
    losses = a2q.polish(model, dataset.x_train, dataset.y_train)
    seconds = round(time.time() - begin, 1)
    row = {"data": dataset.name, "acc_bits": acc_bits, "seed": seed, "before": before}
    return row | {"after": score(model, dataset), "losses": losses, "seconds": seconds}


def score(model, dataset):
    """Test accuracy of the integer program, which is safe."""
    return accuracy(bench.certified(model, dataset.x_test), dataset.y_test)


def markdown(rows):
    """Means over the seeds, one line per data set and width."""
    lines = ["# Polishing after training by method `exact`, W4A4", ""]
    lines += [f"Made by `{COMMAND}`; means over the seeds (least).", "", HEAD, "|---|" + "---|" * 7]
    for name, widths, seeds in CASES:
        theirs = json.loads((bench.RESULTS / f"accuracy_{name}.json").read_text())["rows"]
        theirs = [row for row in theirs if row["method"] == "a2q+" and row["seed"] in seeds]
        for width in widths:
            found = [row for row in rows if (row["data"], row["acc_bits"]) == (name, width)]
            peers = [row["accuracy"] for row in theirs if row["acc_bits"] == width + 2]
            if found:
                lines.append(f"| {name} | {len(found)} | {width} | {' | '.join(cells(found, peers))} |")
    return "\n".join(lines) + "\n"


def cells(found, peers):
    """What a line says after its width."""
    shares = [[row["before"] for row in found], [row["after"] for row in found], peers]
    ends = [statistics.fmean(row["losses"][end] for row in found) for end in (0, -1)]
    yield from (f"{statistics.fmean(share):.2%} ({min(share):.2%})" if share else "" for share in shares)
    yield f"{ends[0]:.3f} -> {ends[1]:.3f}"
    yield f"{statistics.fmean(row['seconds'] for row in found):.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="folder for the float networks")
    args = parser.parse_args()
    path = bench.RESULTS / "polish.json"
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    done = {(row["data"], row["acc_bits"], row["seed"]) for row in rows}
    for name, widths, seeds in CASES:
        dataset = bench.load(argparse.Namespace(data=name, data_dir=args.data_dir, train=0))
        for seed in seeds:
            wanted = [width for width in widths if (name, width, seed) not in done]
            model = bench.float_network(dataset, seed, args.keep) if wanted else None
            for width in track(wanted, f"{name}, seed {seed}"):
                rows.append(run(dataset, model, width, seed))
                storage.write_text(path, json.dumps({"command": COMMAND, "rows": rows}, indent=1) + "\n")
                storage.write_text(path.with_suffix(".md"), markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
