"""Integer programs in files: one JSON text that holds every code, a version and SHA-256 digests.

The file needs nothing but this package to be read, can be read by eye, and runs no code when it is loaded.
"""

from __future__ import annotations

import hashlib
import json
from typing import get_args

from a2q_keras.integer import storage
from a2q_keras.integer.graph import Input, IntegerProgram, Op

KIND = "a2q_keras integer program"
VERSION = 1
_NODES = {node.__name__: node for node in (Input, *get_args(Op))}


def save(program: IntegerProgram, path):
    """Write `program` to the file `path`, atomically: a file that was there before is replaced whole or kept.

    Raises FileError where it cannot be written.
    """
    body = _body(program)
    # the digest of what a reader gets, not of what is here: it sees Python integers where this may hold numpy ones
    body["program_sha256"] = _program(body).digest()
    record = {"format": KIND, "version": VERSION, "file_sha256": _digest(body), **body}
    storage.write_text(path, storage.to_text(record) + "\n")


def load(path) -> IntegerProgram:
    """The program in a file that `save` wrote.

    Raises FileError where the file is missing, truncated, altered, of another version, or something else.
    """
    record = storage.parse(storage.read_text(path, KIND), path, KIND, VERSION)
    with storage.reading(path, KIND):
        _same("file_sha256", record.pop("file_sha256"), _digest(record))
        digest = record.pop("program_sha256")
        program = _program(record)
        _same("program_sha256", digest, program.digest())
    return program


def _body(program) -> dict:
    return {
        "name": program.name,
        "float_tail": program.float_tail,
        "inputs": [storage.encode(node) for node in program.inputs],
        "ops": [{"op": type(op).__name__, **storage.encode(op)} for op in program.ops],
        "outputs": list(program.outputs),
    }


def _program(body) -> IntegerProgram:
    return IntegerProgram(
        name=storage.exactly(str, body["name"]),
        inputs=tuple(storage.decode(Input, node) for node in body["inputs"]),
        ops=tuple(_op(**node) for node in body["ops"]),
        outputs=tuple(storage.exactly(str, name) for name in body["outputs"]),
        float_tail=storage.exactly(str, body["float_tail"]),
    )


def _op(op: str, **entries):
    return storage.decode(_NODES[op], entries)


def _digest(body) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _same(what: str, found, wanted):
    if found != wanted:
        raise ValueError(f"{what} is {found!r:.80}, the content gives {wanted!r}")
