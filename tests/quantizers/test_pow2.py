import numpy as np
import pytest
from keras import ops

from a2q_keras.quantizers.pow2 import LEAST, MOST, exp2
from tests.backend import MODES, gradients, tensors


@pytest.mark.parametrize("mode", MODES)
def test_powers_of_two_are_exact(mode):
    exponents = np.arange(LEAST, MOST + 1)
    found = ops.convert_to_numpy(MODES[mode](exp2)(*tensors(exponents)))
    assert np.array_equal(found, [2.0 ** int(e) for e in exponents])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("exponent", [LEAST, -33, 0, 31, MOST])
def test_a_power_of_two_stays_exact_among_other_factors(mode, exponent):
    # a compiler may multiply constants first: no product may overflow on the way
    product = MODES[mode](lambda e, x: 2.0**12 * x * exp2(e) * 2.0**-12)
    assert float(product(*tensors(exponent, 3.0 * 2.0**-exponent))) == 3.0


def test_exponents_are_rounded_and_saturate():
    found = ops.convert_to_numpy(exp2(*tensors([2.4, 2.6, -0.4, -500.0, 500.0])))
    assert np.array_equal(found, [4.0, 8.0, 1.0, 2.0**LEAST, 2.0**MOST])


def test_gradient_is_that_of_the_exponential():
    found = gradients(lambda e: ops.sum(exp2(e)), [-3.0, 0.0, 2.25])[0]
    # floats: exp and log in float32
    assert found == pytest.approx(np.log(2) * np.exp2([-3.0, 0.0, 2.25]), rel=1e-5)
