import numpy as np
import pytest
from keras import ops

from a2q_keras.quantizers.ste import straight_through
from tests.backend import MODES, gradients, tensors


@pytest.mark.parametrize("mode", MODES)
def test_the_value_is_not_touched_by_the_surrogate(mode):
    """x + stop_gradient(q - x) would lose the last bits of q here."""
    value, surrogate = tensors([1.0, 3.0, -(2.0**-20), 0.0], [1e8, -1e-8, 12345.678, 1e30])
    found = MODES[mode](straight_through)(value, surrogate)
    assert np.array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(value))


def test_the_gradient_is_that_of_the_surrogate_alone():
    value, surrogate = gradients(lambda v, s: ops.sum(straight_through(v * 7, 3 * s)), [1.0, 2.0], [5.0, -5.0])
    assert np.array_equal(value, [0, 0]) and np.array_equal(surrogate, [3, 3])
