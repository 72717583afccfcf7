"""Every example runs to its end."""

import subprocess
import sys
from pathlib import Path

import pytest

from a2q_keras.tools import GXX

ROOT = Path(__file__).parent.parent


def run(script: str, *args: str) -> str:
    done = subprocess.run([sys.executable, ROOT / "examples" / script, *args], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.csim
@pytest.mark.skipif(not GXX.available(), reason="g++ is not installed")
def test_digits():
    printed = run("01_digits.py")
    assert "firmware equals Keras: True" in printed and "bit for bit equal" in printed


def test_firmware_from_file(tmp_path):
    assert "proven accumulator bits: {'a2q_dense': 14}" in run("02_firmware_from_file.py", str(tmp_path))


def test_superresolution():
    printed = run("03_superresolution.py", "2")
    rows = [line.split(" PSNR ")[0].strip() for line in printed.splitlines()]
    assert rows == ["nearest neighbour", "bicubic", "ESPCN, float", "ESPCN, 14-bit accumulators"]
