"""The fewest accumulator bits that keep a share of the float accuracy, from the results of accuracy.py.

    python benchmarks/fewest_bits.py

By the mean over the seeds; every wider accumulator that was measured must keep it, too.  Writes results/fewest_bits.md.
"""

from __future__ import annotations

import json
import statistics
from itertools import takewhile

import accuracy as bench

from a2q_keras.integer import storage

NETWORKS = {
    "mnist": "MNIST",
    "mnist_epochs10": "MNIST, 10 epochs",
    "digits": "digits",
    "magic_gamma": "MAGIC",
    "dry_bean": "Dry Bean",
    "cifar10": "ResNet-8",
    "cifar10_epochs9": "ResNet-8, 9 epochs",
    "cifar10_w8": "ResNet-8, 8 bits",
}
SHARES = (0.992, 0.98, 0.95)


def fewest(rows, method, least) -> str:
    """Bits of the narrowest accumulator down to which the mean accuracy is `least` or more."""
    means = {bits: mean for (name, bits), (mean, *_) in bench.summarise(rows).items() if name == method}
    kept = list(takewhile(lambda bits: means[bits] >= least, sorted(means, reverse=True)))
    return str(kept[-1]) if kept else f"over {max(means)}"


def markdown(results):
    """The table of results by the names of the networks."""
    lines = [
        "# The fewest accumulator bits that keep a share of the float accuracy",
        "",
        "Made by `python benchmarks/fewest_bits.py` from the tables of `accuracy.py`, means over their seeds.",
        "",
        f"| kept | method | {' | '.join(results)} |",
        f"|---|---|{'---|' * len(results)}",
    ]
    for share in SHARES:
        for method in bench.METHODS:
            cells = [
                fewest(result["rows"], method, share * statistics.fmean(result["float"].values()))
                for result in results.values()
            ]
            lines.append(f"| {share:.1%} | `{method}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    files = {name: bench.RESULTS / f"accuracy_{stem}.json" for stem, name in NETWORKS.items()}
    table = markdown({name: json.loads(path.read_text()) for name, path in files.items()})
    storage.write_text(bench.RESULTS / "fewest_bits.md", table)
    print(table)


if __name__ == "__main__":
    main()
