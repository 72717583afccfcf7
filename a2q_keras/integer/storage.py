"""Frozen records in JSON files: written whole or not at all, read strictly.

Records are dataclasses whose fields are texts, numbers, formats, arrays of codes, and tuples of whole numbers, of pairs
of them and of names.  A field whose default is None is written only where it is something else: so files stay as they
were before there was such a field, and old ones can be read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from a2q_keras.errors import FileError
from a2q_keras.numerics.formats import FixedPoint


def encode(value):
    """A record, or the value of one of its fields, as plain JSON data.

    >>> encode(FixedPoint(4, 2, signed=True))
    {'bits': 4, 'frac': 2, 'signed': True, 'symmetric': False}
    >>> encode(np.array([[1, 2]]))
    {'shape': [1, 2], 'codes': [1, 2]}
    """
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "codes": value.ravel().tolist()}
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return {name: encode(entry) for name, entry in fields.items() if entry is not None}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def decode(record_type, data: dict):
    """The record of `record_type` that `encode` made `data` of; ValueError, KeyError or TypeError if it is not one."""
    fields = [field for field in dataclasses.fields(record_type) if field.init]
    unknown = set(data) - {field.name for field in fields}
    if unknown:
        raise ValueError(f"unknown entries {sorted(unknown)} in {record_type.__name__}")
    given = [field for field in fields if field.name in data or field.default is not None]
    return record_type(**{field.name: _decoder(field)(data[field.name]) for field in given})


def _decoder(field):
    return _DECODERS[str(field.type).removesuffix(" | None")]


def exactly(kind: type, value):
    """`value` if its type is `kind` itself (a bool is no int here); TypeError otherwise."""
    if type(value) is not kind:
        raise TypeError(f"{value!r:.40} where a value of type {kind.__name__} belongs")
    return value


def _whole_numbers(values) -> tuple[int, ...]:
    return tuple(exactly(int, value) for value in exactly(list, values))


def _pairs(values) -> tuple[tuple[int, int], ...]:
    pairs = tuple(_whole_numbers(pair) for pair in exactly(list, values))
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{pairs!r:.80} where pairs belong")
    return pairs  # type: ignore[return-value]


def _codes(data: dict) -> np.ndarray:
    shape, codes = _whole_numbers(data["shape"]), _whole_numbers(data["codes"])
    if min(shape, default=0) < 0 or prod(shape) != len(codes):
        raise ValueError(f"{len(codes)} codes for an array of shape {shape}")
    return np.array(codes, dtype=np.int64).reshape(shape)


_DECODERS = {
    "str": lambda value: exactly(str, value),
    "int": lambda value: exactly(int, value),
    "bool": lambda value: exactly(bool, value),
    "float": lambda value: exactly(float, value),
    "tuple[int, ...]": _whole_numbers,
    "tuple[str, ...]": lambda values: tuple(exactly(str, value) for value in exactly(list, values)),
    "tuple[tuple[int, int], ...]": _pairs,
    "np.ndarray": _codes,
    "FixedPoint": lambda value: decode(FixedPoint, value),
}


def to_text(value, margin: str = "") -> str:
    """JSON with one line for every entry of a nested record; lists of numbers stay on one line."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not any(isinstance(item, (dict, list)) for item in items):
        return json.dumps(value)
    inner = margin + " "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key)}: {to_text(item, inner)}" for key, item in value.items()]
    else:
        lines = [inner + to_text(item, inner) for item in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n" + ",\n".join(lines) + f"\n{margin}{last}"


@contextlib.contextmanager
def reading(source, kind: str) -> Iterator[None]:
    """Turns every failure to make sense of a file's content into a FileError that names `source` and `kind`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        found = f"no entry {error}" if isinstance(error, KeyError) else str(error)
        raise FileError(f"{source} is not a whole {kind}: {found}; it is damaged or altered, write it again") from error


def parse(text: str, source, kind: str, version: int) -> dict:
    """The record in a JSON text, its entries "format" and "version" checked and taken out.

    Raises FileError for anything else.
    """
    with reading(source, kind):
        record = exactly(dict, json.loads(text))
        if record.pop("format", None) != kind:
            raise ValueError(f"it does not say that it is one (entry 'format' must be {kind!r})")
        found = record.pop("version", None)
    if found != version:
        raise FileError(
            f"{source} is a {kind} of version {found!r}; this a2q_keras reads version {version}: write it again"
        )
    return record


def read_text(path, kind: str) -> str:
    """The content of a file; FileError where there is no such file or it is no text."""
    try:
        return Path(path).read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist; check the name or save a {kind} there first") from error
    except OSError as error:
        raise FileError(
            f"{path} cannot be read ({error.strerror or error}); check the name and the permissions"
        ) from error
    except ValueError as error:
        raise FileError(f"{path} is not a {kind} (it is no ASCII text); give a file that a2q_keras wrote") from error


def write_text(path, text: str):
    """Write a file atomically: readers see the old content or the new one, whatever happens in between.

    Raises FileError where the file cannot be written; the old file is then untouched.
    """
    try:
        with replacing(path) as temporary, open(temporary, "x", encoding="ascii") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise FileError(
            f"{path} cannot be written ({error.strerror or error}); check the folder and its space"
        ) from error


@contextlib.contextmanager
def replacing(path, suffix: str = ".tmp") -> Iterator[Path]:
    """A file beside `path`, with that suffix, that takes its place unless writing it fails; then it is gone."""
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}{suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
