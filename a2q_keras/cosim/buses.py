"""Codes of tensors on the flat buses of a design, as 32-bit words, and back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from a2q_keras.rtl.design import Place, Port

WORD = 32


def bits_of(ports: Iterable[Port]) -> int:
    """How wide the bus of these ports is: a bit at least."""
    return max(1, *(place.low + place.bits for port in ports for place in port.places))


def words_of(ports: Iterable[Port]) -> int:
    """How many words the bus of these ports takes."""
    return -(-bits_of(ports) // WORD)


def pack(ports: tuple[Port, ...], codes: list) -> np.ndarray:
    """uint32 (samples, words) of the bus, for one array of codes (samples, *shape) per port."""
    samples = len(codes[0])
    bits = np.zeros((samples, words_of(ports) * WORD), np.uint8)
    for port, array in zip(ports, codes):
        flat = np.asarray(array, np.int64).reshape(samples, len(port.places))
        for place, column in zip(port.places, flat.T):
            bits[:, place.low : place.low + place.bits] = (column[:, None] >> np.arange(place.bits)) & 1
    return np.packbits(bits, axis=1, bitorder="little").view("<u4")


def unpack(ports: tuple[Port, ...], words: np.ndarray) -> list[np.ndarray]:
    """The codes int64 (samples, *shape) of each port, for the words of the bus."""
    bits = np.unpackbits(np.ascontiguousarray(words, "<u4").view(np.uint8), axis=1, bitorder="little")
    return [
        np.stack([_code(bits, place) for place in port.places], axis=1).reshape(len(bits), *port.shape)
        for port in ports
    ]


def _code(bits, place: Place) -> np.ndarray:
    weights = 2 ** np.arange(place.bits, dtype=np.int64)
    if place.signed and place.bits:
        weights[-1] = -weights[-1]
    return (bits[:, place.low : place.low + place.bits].astype(np.int64) @ weights) << place.shift
