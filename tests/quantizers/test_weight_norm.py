import math
from functools import partial

import numpy as np
import pytest
from keras import ops

from a2q_keras.quantizers.weight_norm import NO_NORM, norm_and_mean, normalised
from tests.backend import MODES, compiled, eager, gradients, tensors

K, CHANNELS = 18, 6
TRAINING = pytest.mark.parametrize("training", [True, False])


def drawn(seed=0) -> tuple:
    """(v, norm_log2, mean); of other weights than v, as after some training."""
    rng = np.random.default_rng(seed)
    v, start = rng.normal(0.1, 0.5, (2, K, CHANNELS)).astype(np.float32)
    return v, *norm_and_mean(start)


def by_formula(v, norm_log2, mean):
    """The module's formula, in the precision of v."""
    centred = v - ops.mean(v, axis=0) + mean
    return ops.exp(norm_log2 * math.log(2.0)) * centred / ops.sum(ops.abs(centred), axis=0)


@TRAINING
def test_weights_have_the_norm_and_the_balance_that_is_asked(training):
    v, norm_log2, mean = drawn()
    found = ops.convert_to_numpy(normalised(*tensors(v, norm_log2, mean), training))
    wide = ops.convert_to_numpy(by_formula(*(ops.convert_to_tensor(part, "float64") for part in (v, norm_log2, mean))))
    # floats: single precision against double
    assert np.allclose(found, wide, rtol=1e-5, atol=1e-6)
    assert np.allclose(np.abs(found).sum(axis=0), 2.0**norm_log2, rtol=1e-5)


@TRAINING
@pytest.mark.parametrize("kind", ["random", "positive", "equal", "one", "zeros"])
def test_codes_that_a_kernel_holds_are_the_codes_of_its_weights(kind, training):
    codes = np.random.default_rng(1).integers(-7, 8, (K, CHANNELS))
    if kind == "positive":
        codes = np.abs(codes)
    elif kind == "equal":
        codes[:] = 3
    elif kind in ("one", "zeros"):
        codes[kind == "one" :] = 0
    kernel = (codes / 8).astype(np.float32)
    found = ops.convert_to_numpy(normalised(*tensors(kernel, *norm_and_mean(kernel)), training))
    assert np.array_equal(np.rint(8 * found), codes)
    assert kind != "zeros" or not found.any()


@TRAINING
def test_gradients_are_those_of_the_formula(training):
    v, norm_log2, mean = drawn(2)
    (upstream,) = tensors(np.random.default_rng(3).normal(size=(K, CHANNELS)))

    def slopes(weights):
        return gradients(lambda v, t: ops.sum(weights(v, t, *tensors(mean)) * upstream), v, norm_log2)

    for part, wanted in zip(slopes(lambda *parts: normalised(*parts, training)), slopes(by_formula)):
        # floats: the same sums, taken in another order
        assert np.allclose(part, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


@TRAINING
def test_a_channel_of_zeros_trains_as_it_is(training):
    v, norm_log2, mean = drawn()
    v[:, 0], norm_log2[0], mean[0] = 0, NO_NORM, 0
    to_v, to_norm = gradients(lambda v, t: ops.sum(normalised(v, t, *tensors(mean), training)), v, norm_log2)
    assert (to_v[:, 0] == 1).all() and not to_norm[0]
    v[:, 0] = 0.25
    assert (ops.convert_to_numpy(normalised(*tensors(v, norm_log2, mean), training))[:, 0] == 0.25).all()


def same_however_compiled(weights) -> bool:
    """Of twenty draws."""
    for seed in range(20):
        values = tensors(*drawn(seed))
        once, again = (ops.convert_to_numpy(make(weights)(*values)) for make in (compiled, eager))
        if not np.array_equal(once, again):
            return False
    return True


def test_weights_are_the_same_numbers_however_compiled():
    assert same_however_compiled(normalised)


@pytest.mark.skipif("compiled" not in MODES, reason="torch compiles nothing here, so there is nothing to tell apart")
def test_weights_of_fast_sums_are_not():
    assert not same_however_compiled(partial(normalised, training=True))
