import numpy as np

from a2q_keras.cosim import buses
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.design import Place, Port


def ports() -> tuple[Port, ...]:
    """Two tensors behind each other: signed, unsigned, absent, scaled, and across a word."""
    first = (Place(0, 5, True, 0), Place(5, 0, False, 0), Place(5, 4, False, 1))
    second = (Place(9, 23, True, 0), Place(32, 2, True, 3))
    format = FixedPoint(23, 0, True)
    return Port("bus", "a", (3,), format, first), Port("bus", "b", (1, 2), format, second)


def test_what_is_packed_is_unpacked():
    first = np.array([[-16, 0, 30], [15, 0, 0], [-1, 0, 2]])
    second = np.array([[[-(2**22), 8]], [[2**22 - 1, -16]], [[-1, -8]]])
    shifted = [first // [1, 1, 2], second // [[1, 8]]]
    words = buses.pack(ports(), shifted)
    assert words.shape == (3, 2) and words.dtype == np.dtype("<u4")
    found = buses.unpack(ports(), words)
    assert np.array_equal(found[0], first) and np.array_equal(found[1], second)


def test_the_first_value_is_in_the_lowest_bits():
    port = Port("bus", "x", (2,), FixedPoint(4, 0, True), (Place(0, 4, True, 0), Place(4, 4, True, 0)))
    assert buses.pack((port,), [np.array([[-1, 2]])]).tolist() == [[0x2F]]
