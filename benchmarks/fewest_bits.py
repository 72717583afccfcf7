"""The fewest accumulator bits that keep a share of the float accuracy, from the results of accuracy.py and polish.py.

    python benchmarks/fewest_bits.py

By the mean over the seeds; every wider accumulator that was measured must keep it, too.  Writes results/fewest_bits.md.
"""

from __future__ import annotations

import json
import statistics
from functools import cache
from itertools import takewhile

import accuracy as bench

from a2q_keras.integer import storage

NETWORKS = {  # what the files of accuracy.py are called, before and after "_fitted", which has 2 bits and more
    "MNIST": ("mnist", ""),
    "MNIST, 10 epochs": ("mnist", "_epochs10"),
    "digits": ("digits", ""),
    "MAGIC": ("magic_gamma", ""),
    "Dry Bean": ("dry_bean", ""),
    "ResNet-8": ("cifar10", ""),
    "ResNet-8, 9 epochs": ("cifar10", "_epochs9_rate0.005"),
    "ResNet-8, 8 bits": ("cifar10_w8", ""),
    "ResNet-8, 8 bits, 9 epochs": ("cifar10_w8", "_epochs9_rate0.005"),
}
NOT_FITTED = ("ResNet-8, 8 bits", "ResNet-8, 8 bits, 9 epochs")
SHARES = (0.992, 0.98, 0.95)
METHODS = {
    "exact": "`exact`",
    "exact polished": "`exact`, polished",
    "exact fitted": "`exact`, fitted activations",
    "a2q+": "`a2q+`",
    "a2q+ fitted": "`a2q+`, fitted activations",
    "a2q": "`a2q`",
}
COMMAND = "python benchmarks/fewest_bits.py"


@cache
def read(name):
    """What a benchmark wrote."""
    return json.loads((bench.RESULTS / f"{name}.json").read_text())


def kept(network) -> dict[str, dict[int, float]]:
    """The share of the float accuracy that is kept, by key of METHODS and accumulator bits."""
    data, trained = NETWORKS[network]
    result = read(f"accuracy_{data}{trained}")
    rows = [(row["method"], row["acc_bits"], row["accuracy"]) for row in result["rows"]]
    fitted = [] if network in NOT_FITTED else read(f"accuracy_{data}_fitted{trained}")["rows"]
    rows += [(f"{row['method']} fitted", row["acc_bits"], row["accuracy"]) for row in fitted]
    polished = [row for row in read("polish")["rows"] if row["data"] == data + trained]
    rows += [("exact polished", row["acc_bits"], row["after"]) for row in polished]
    found: dict[str, dict[int, list[float]]] = {}
    for method, bits, accuracy in rows:
        found.setdefault(method, {}).setdefault(bits, []).append(accuracy)
    unit = statistics.fmean(result["float"].values())
    return {
        method: {bits: statistics.fmean(each) / unit for bits, each in widths.items()}
        for method, widths in found.items()
    }


def fewest(shares: dict[int, float], least: float) -> str:
    """Bits of the narrowest accumulator down to which the share is `least` or more; none where nothing was measured."""
    enough = list(takewhile(lambda bits: shares[bits] >= least, sorted(shares, reverse=True)))
    return str(enough[-1]) if enough else f"over {max(shares)}" if shares else ""


def markdown(results):
    """The table of what was kept, by the names of the networks."""
    lines = [
        "# The fewest accumulator bits that keep a share of the float accuracy",
        "",
        f"Made by `{COMMAND}` from the tables of `accuracy.py` and `polish.py`, means over their seeds. Fitted",
        "activations have 2 to 4 bits.",
        "",
        f"| kept | method | {' | '.join(results)} |",
        f"|---|---|{'---|' * len(results)}",
    ]
    for share in SHARES:
        for method, shown in METHODS.items():
            cells = [fewest(found.get(method, {}), share) for found in results.values()]
            lines.append(f"| {share:.1%} | {shown} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    table = markdown({network: kept(network) for network in NETWORKS})
    storage.write_text(bench.RESULTS / "fewest_bits.md", table)
    print(table)


if __name__ == "__main__":
    main()
