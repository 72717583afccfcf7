import numpy as np
import pytest

from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.geometry import Geometry, sliding, vectors
from a2q_keras.rtl.folded.window import Play, Window
from tests.rtl.folded.play import play

CODES = FixedPoint(5, 0, signed=True)
GEOMETRIES = {
    "vectors": vectors((3, 4)),
    "valid": sliding((4, 5, 4), (3, 2), (1, 1), ((0, 0), (0, 0))),
    "same": sliding((3, 4, 4), (3, 3), (1, 1), ((1, 1), (1, 1))),
    "strided": sliding((6, 5, 4), (3, 3), (2, 3), ((0, 1), (1, 1))),
    "strides beyond the window": sliding((7, 7, 4), (1, 2), (3, 3), ((0, 0), (0, 0))),
    "dilated": sliding((5, 5, 4), (2, 2), (1, 1), ((1, 0), (0, 1)), (3, 2)),
    "sequence": sliding((7, 4), (3,), (2,), ((1, 1),)),
}


def windows(x, geometry: Geometry, fill) -> np.ndarray:
    """(samples, places, window places, channels), by numpy."""
    padded = np.pad(x, [(0, 0), *geometry.pads, (0, 0)], constant_values=fill)
    (down, right), (row, col) = geometry.strides, geometry.dilation
    seen = np.lib.stride_tricks.sliding_window_view(padded, geometry.extent, axis=(1, 2))
    seen = seen[:, ::down, ::right, :, ::row, ::col]
    return np.moveaxis(seen, 3, -1).reshape(len(x), np.prod(geometry.places), -1, x.shape[-1])


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_every_window_is_played_as_often_as_asked(geometry):
    x = np.random.default_rng(0).integers(-16, 16, (2, *geometry.image))
    wanted = np.repeat(windows(x, geometry, 0)[:, :, None], 2, axis=2).reshape(-1, 2)
    got = play(Window(CODES, geometry, Play(lanes=2, times=2)), x.reshape(-1, 2), len(wanted))
    np.testing.assert_array_equal(got, wanted)


def test_pooling_gets_the_places_of_some_channels_then_of_the_next():
    geometry = sliding((4, 5, 4), (2, 2), (2, 2), ((0, 0), (0, 1)))
    x = np.random.default_rng(0).integers(-16, 16, (2, *geometry.image))
    cut = windows(x, geometry, -16).reshape(2, -1, 4, 2, 2)
    wanted = cut.transpose(0, 1, 3, 2, 4).reshape(-1, 2)
    got = play(Window(CODES, geometry, Play(lanes=2, parts=2, fill=-16)), x.reshape(-1, 2), len(wanted))
    np.testing.assert_array_equal(got, wanted)


def test_groups_of_channels_are_played_as_often_as_asked_each():
    geometry = GEOMETRIES["strided"]
    x = np.random.default_rng(0).integers(-16, 16, (2, *geometry.image))
    cut = windows(x, geometry, 0).reshape(2, np.prod(geometry.places), -1, 2, 2).swapaxes(2, 3)
    wanted = np.repeat(cut[:, :, :, None], 3, axis=3).reshape(-1, 1)
    got = play(Window(CODES, geometry, Play(lanes=1, times=3, parts=2)), x.reshape(-1, 1), len(wanted))
    np.testing.assert_array_equal(got, wanted)
