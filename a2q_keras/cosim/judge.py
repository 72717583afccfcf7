"""Judge the log of an hls4ml test bench against golden codes: python check_cosim.py [LOG ...]

Needs Python only; exported projects carry a copy.  golden.json beside it holds, per sample and output, the codes that
the integer program computes; a log has one line for each, in that order.  Without a LOG it judges those of the C
simulation and of the co-simulation of the RTL, in tb_data/; a LOG alone judges that one.  Exit status: 0 where every
code is equal, 1 where one differs or a log is not whole, 2 where a log is missing or golden.json cannot be read.

A test bench prints six significant digits: a value is right if it is the golden one, or the golden one printed so, and
the outputs are narrow enough (MOST_BITS) for no two codes to be printed alike.
"""

from __future__ import annotations

import json
import sys
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, getcontext
from fractions import Fraction
from pathlib import Path

KIND = "a2q_keras golden outputs"
MOST_BITS = 19  # 2**19 codes, of which neighbours differ in six significant digits
LOGS = ("tb_data/csim_results.log", "tb_data/rtl_cosim_results.log")
SHOWN = 10
getcontext().prec = 120  # every value of MOST_BITS bits, exactly


def judge(lines: list[str], golden: dict) -> list[str]:
    """What is wrong with the lines of a log, one text per line that is; nothing where every code is equal."""
    outputs = golden["outputs"]
    wrong = []
    for number, (line, codes) in enumerate(zip(lines, golden["codes"]), start=1):
        output = outputs[(number - 1) % len(outputs)]
        where = f"line {number} (sample {(number - 1) // len(outputs)}, output {output['name']!r})"
        wrong += [f"{where}: {complaint}" for complaint in [_line(line.split(), codes, output["frac"])] if complaint]
    if len(lines) != len(golden["codes"]):
        wrong.append(
            f"it has {len(lines)} lines, wanted {len(golden['codes'])}: the run was not completed, or another one"
        )
    return wrong


def _line(tokens: list[str], codes: list[int], frac: int) -> str:
    """What is wrong with a line."""
    if len(tokens) != len(codes):
        return f"{len(tokens)} values, wanted {len(codes)}"
    for i, (token, code) in enumerate(zip(tokens, codes)):
        if not _is(token, code, frac):
            return f"value {i}: got {token}, wanted {printed(code, frac)} (code {code})"
    return ""


def _is(token: str, code: int, frac: int) -> bool:
    try:
        return shows(float(token), code, frac)
    except ValueError:
        return False


def shows(value: float, code: int, frac: int) -> bool:
    """Whether `value` is that of a code, or that with six significant digits, ties rounded either way."""
    exact = Fraction(code) / Fraction(2) ** frac
    if value == exact:
        return True
    digits = Decimal(exact.numerator) / Decimal(exact.denominator)  # the denominator is a power of two
    rounded = (Context(prec=6, rounding=way).plus(digits) for way in (ROUND_HALF_EVEN, ROUND_HALF_UP))
    return value in [float(text) for text in rounded]


def printed(code: int, frac: int) -> str:
    """The value of a code with six significant digits.

    >>> printed(-3, 2), printed(12345, 10)
    ('-0.75', '12.0557')
    """
    return f"{float(Fraction(code) / Fraction(2) ** frac):.6g}"


def load(path) -> dict:
    """The content of golden.json; OSError or ValueError where it is something else."""
    golden = json.loads(Path(path).read_text(encoding="ascii"))
    if not isinstance(golden, dict) or golden.get("format") != KIND or golden.get("version") != 1:
        raise ValueError(f"it is no {KIND} of version 1")
    if not golden.get("codes") or not golden.get("outputs"):
        raise ValueError("it holds no codes")
    return golden


def main(folder: Path, names: list[str]) -> int:
    path = folder / "golden.json"
    try:
        golden = load(path)
    except (OSError, ValueError) as error:
        print(f"{path}: cannot be read ({error}); export the project again")
        return 2
    results = [_report(log, golden) for log in map(Path, names or [folder / name for name in LOGS])]
    return 1 if 1 in results else max(results)


def _report(log: Path, golden) -> int:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        print(f"{log}: no such log ({error.strerror}); run the project (see README.txt), or give the log that there is")
        return 2
    wrong = judge(lines, golden)
    verdict = f"FAILED, {len(wrong)} lines differ" if wrong else f"passed, all {len(golden['codes'])} lines are equal"
    print(
        "\n  ".join(
            [f"{log}: {verdict}", *wrong[:SHOWN], *([f"... {len(wrong) - SHOWN} more"] if wrong[SHOWN:] else [])]
        )
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent, sys.argv[1:]))
