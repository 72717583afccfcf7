"""The judge of test-bench logs: made-up logs here; real ones, and what becomes of them, in test_package.py."""

import json
import re

import pytest

from a2q_keras.cosim import judge

GOLDEN = {
    "format": judge.KIND,
    "version": 1,
    "outputs": [{"name": "logits", "frac": 10}, {"name": "flag", "frac": 0}],
    "codes": [[12345, -3], [1], [0, 7], [-2]],
}
GOOD = ["12.0557 -0.00292969 ", "1", "0 0.0068359375", "-2 "]


def test_equal_codes_pass_as_printed_and_in_full():
    assert judge.judge(GOOD, GOLDEN) == []


@pytest.mark.parametrize(
    "line, text, words",
    [
        (
            0,
            "12.0567 -0.00292969",
            "line 1 .sample 0, output 'logits'.: value 0: got 12.0567, wanted 12.0557 .code 12345.",
        ),
        (1, "0", "line 2 .sample 0, output 'flag'.: value 0: got 0, wanted 1"),
        (2, "0", "line 3 .sample 1, output 'logits'.: 1 values, wanted 2"),
        (2, "0 nan", "line 3 .*got nan"),
        (3, "", "line 4 .*0 values, wanted 1"),
        (3, "x", "line 4 .*got x"),
    ],
)
def test_a_wrong_line_is_named(line, text, words):
    lines = [*GOOD[:line], text, *GOOD[line + 1 :]]
    (complaint,) = judge.judge(lines, GOLDEN)
    assert re.search(words, complaint)


def test_a_log_that_is_cut_off_too_long_or_shuffled_fails():
    assert "it has 3 lines, wanted 4" in judge.judge(GOOD[:3], GOLDEN)[0]
    assert "it has 5 lines, wanted 4" in judge.judge([*GOOD, "0 0"], GOLDEN)[0]
    assert len(judge.judge([*GOOD[2:], *GOOD[:2]], GOLDEN)) == 4
    assert judge.judge([], GOLDEN)


def test_neighbouring_codes_of_the_widest_outputs_are_printed_apart():
    most = 2 ** (judge.MOST_BITS - 1)
    for frac in (0, 9, 18, 25):
        texts = [judge.printed(code, frac) for code in range(most - 5000, most)]
        assert len(set(texts)) == len(texts)


def test_exit_status(tmp_path, capsys):
    assert judge.main(tmp_path, []) == 2
    (tmp_path / "golden.json").write_text(json.dumps(GOLDEN))
    assert judge.main(tmp_path, []) == 2
    good, bad = tmp_path / "good.log", tmp_path / "bad.log"
    good.write_text("\n".join(GOOD) + "\n")
    bad.write_text("\n".join(GOOD[:3]) + "\n")
    assert judge.main(tmp_path, [str(good)]) == 0
    assert judge.main(tmp_path, [str(good), str(tmp_path / "none.log")]) == 2
    assert judge.main(tmp_path, [str(good), str(bad), str(tmp_path)]) == 1
    assert "none.log: no such log" in capsys.readouterr().out


def test_both_logs_are_wanted(tmp_path):
    (tmp_path / "golden.json").write_text(json.dumps(GOLDEN))
    (tmp_path / "tb_data").mkdir()
    statuses = []
    for name in judge.LOGS:
        (tmp_path / name).write_text("\n".join(GOOD) + "\n")
        statuses.append(judge.main(tmp_path, []))
    assert statuses == [2, 0]


@pytest.mark.parametrize("text", ["{}", "{", "[]", json.dumps(GOLDEN | {"codes": []}), None])
def test_golden_codes_that_are_none_are_one_clear_line(text, tmp_path, capsys):
    (tmp_path / "good.log").write_text("\n".join(GOOD) + "\n")
    if text is not None:
        (tmp_path / "golden.json").write_text(text)
    assert judge.main(tmp_path, [str(tmp_path / "good.log")]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert "golden.json: cannot be read" in line and "export the project again" in line
