import os
import time

import pytest

from a2q_keras.errors import ToolFailedError, ToolMissingError
from a2q_keras.tools import GXX, Tool, run_python

SH = Tool("sh", "A2Q_TEST_SH", install="install a shell")


def test_find_uses_path_and_run_returns_what_was_printed(tmp_path):
    assert SH.available() and os.path.isabs(SH.find())
    assert SH.run(["-c", "pwd; echo problem >&2"], cwd=tmp_path).split() == [str(tmp_path), "problem"]


def test_the_override_takes_precedence(tmp_path, monkeypatch):
    own = tmp_path / "own"
    own.write_text("#!/bin/sh\necho Preparing itself. >&2; echo own shell 7.1; echo more 3\n")
    own.chmod(0o755)
    monkeypatch.setenv("A2Q_TEST_SH", str(own))
    assert SH.find() == str(own)
    assert SH.version() == "own shell 7.1"


def test_a_wrong_override_is_not_replaced_by_path(monkeypatch):
    monkeypatch.setenv("A2Q_TEST_SH", "/nowhere/sh")
    assert not SH.available()
    with pytest.raises(ToolMissingError, match=r"sh was not found in A2Q_TEST_SH='/nowhere/sh'; install a shell, or"):
        SH.find()


def test_missing_tool_says_where_it_looked_and_how_to_get_it(monkeypatch):
    monkeypatch.delenv("A2Q_GXX", raising=False)
    monkeypatch.setenv("PATH", "")
    assert not GXX.available()
    with pytest.raises(ToolMissingError, match=r"g\+\+ was not found on PATH=''; .*apt install g\+\+.* or set A2Q_GXX"):
        GXX.run(["--version"])


def test_failure_carries_status_and_the_last_lines_of_output():
    with pytest.raises(ToolFailedError, match="sh failed with exit status 3") as caught:
        SH.run(["-c", "seq 1 40; echo broken >&2; exit 3"])
    lines = str(caught.value).splitlines()[1:]
    assert [line.strip() for line in lines] == [*map(str, range(27, 41)), "broken"]


def test_failure_without_output_says_so():
    with pytest.raises(ToolFailedError, match="it printed nothing"):
        SH.run(["-c", "exit 1"])


def test_time_out_ends_the_program_and_its_children():
    start = time.monotonic()
    with pytest.raises(ToolFailedError, match=r"sh did not finish in 0.2 seconds"):
        SH.run(["-c", "sleep 30 & sleep 30; echo"], timeout=0.2)
    assert time.monotonic() - start < 10


def test_run_python_returns_what_was_printed(tmp_path):
    script = tmp_path / "child.py"
    script.write_text("import sys; print(sys.argv[1:])")
    assert run_python(script, 1, "two").strip() == "['1', 'two']"


def test_death_by_signal_is_a_failure(tmp_path):
    script = tmp_path / "child.py"
    script.write_text("import os; print('assertion failed', flush=True); os.abort()")
    with pytest.raises(ToolFailedError, match=r"(?s)child was ended by SIGABRT.*assertion failed"):
        run_python(script)


def test_an_exception_in_the_child_is_a_failure(tmp_path):
    script = tmp_path / "child.py"
    script.write_text("raise ValueError('no such layer')")
    with pytest.raises(ToolFailedError, match="ValueError: no such layer"):
        run_python(script)


def test_a_package_brings_the_program_where_path_has_none(tmp_path, monkeypatch):
    packaged = tmp_path / "py-tool"
    packaged.write_text("#!/bin/sh\necho packaged tool 1.0\n")
    packaged.chmod(0o755)
    tool = Tool("a2q-no-such-tool", "A2Q_TEST_TOOL", "install it", package_script="py-tool")
    monkeypatch.setenv("PATH", "")
    assert not tool.available()
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert tool.find() == str(packaged)
    monkeypatch.setenv("A2Q_TEST_TOOL", "/nowhere/tool")  # an override is never replaced
    assert not tool.available()
