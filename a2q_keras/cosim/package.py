"""A project to take to another machine: hls4ml's sources, vectors, golden outputs, a script that judges the logs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from a2q_keras.cosim import judge, testbench, vendor
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.integer.storage import write_text

README = """\
{name}: hls4ml project for {backend}, {io_type}

Run the vectors in tb_data/ through it, with C simulation, synthesis and co-simulation of the RTL:

    {command}

then judge the logs (Python 3 and nothing else; exit status 0: every code is equal):

    python3 check_cosim.py

golden.json: the codes that the integer program computes.  program.a2q: that program.  certificate.json: the proof that
no accumulator can overflow.  manifest.json: SHA-256 of every file.
"""


def write(program: IntegerProgram, values: list, config: HlsConfig) -> Path:
    """Write the project into `config.output_dir`; raises what `testbench.write` raises."""
    folder = Path(str(config.output_dir))
    testbench.write(program, values, config)
    write_text(folder / "build_opt.tcl", vendor.build_options())
    write_text(folder / "check_cosim.py", Path(judge.__file__).read_text())
    write_text(folder / "README.txt", _readme(program, config))
    return folder


def _readme(program, config) -> str:
    made = next(known for known in vendor.VENDORS.values() if known.backend == config.backend)
    arguments = [f"'{part}'" if " " in part else part for part in made.arguments]
    command = " ".join([made.tool.name, *arguments])
    name = program.name.encode("ascii", "replace").decode()
    return README.format(name=name, backend=config.backend, io_type=config.io_type, command=command)


def write_manifest(folder: Path):
    """Write manifest.json: the SHA-256 of every other file in the project."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    hashes = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    write_text(folder / "manifest.json", json.dumps(hashes, indent=1) + "\n")
