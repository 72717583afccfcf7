import keras
import numpy as np
import pytest

from a2q_keras import data
from a2q_keras.zoo import networks, train

PICTURES = np.random.default_rng(0).random((8, 4, 4, 1)).astype(np.float32)


def test_super_resolution_lowers_the_error_and_logs_psnr():
    keras.utils.set_random_seed(0)
    pictures = data.SuperResolution("few", 2, PICTURES, PICTURES.repeat(2, 1).repeat(2, 2), PICTURES, PICTURES)
    model, seen = networks.build("espcn", input_shape=(4, 4, 1), factor=2, width=4), []
    logged = train.fit_superresolution(model, pictures, 6, 1e-2, 4, [train.EpochProgress(seen.append)]).history
    assert logged["loss"][-1] < logged["loss"][0] and logged["psnr"][-1] > logged["psnr"][0]
    assert len(seen) == 6 and "psnr" in seen[-1]


def test_psnr_of_a_known_error():
    assert train.psnr(PICTURES * 0 + 0.6, PICTURES * 0 + 0.5) == pytest.approx(20.0, abs=1e-5)
    assert train.psnr(PICTURES * 0 + 9.0, PICTURES * 0 + 1.0) == np.inf  # outputs are clipped


def test_enlarged_by_nearest_neighbours():
    found = train.enlarged(PICTURES, 2, "nearest")
    assert np.array_equal(found, PICTURES.repeat(2, 1).repeat(2, 2))
    assert train.enlarged(PICTURES, 3).shape == (8, 12, 12, 1)
