"""Every example runs to its end."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import needs_gxx

ROOT = Path(__file__).parent.parent


def run(script: str, *args: str) -> str:
    done = subprocess.run([sys.executable, ROOT / "examples" / script, *args], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@needs_gxx
@pytest.mark.csim
def test_digits():
    printed = run("01_digits.py", "1")
    assert "firmware equals Keras: True" in printed and "bit for bit equal" in printed


def test_firmware_from_file(tmp_path):
    assert "proven accumulator bits: {'a2q_dense': 14}" in run("02_firmware_from_file.py", str(tmp_path))
