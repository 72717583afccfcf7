import numpy as np
import pytest
from keras import ops

from a2q_keras.quantizers.sums import column_sum


@pytest.mark.parametrize("rows", [1, 2, 7, 11, 16, 27, 784])
def test_column_sum_adds_every_row(rows):
    x = np.random.default_rng(rows).integers(-9, 9, (rows, 3)).astype("float32")  # whole numbers: no rounding
    np.testing.assert_array_equal(ops.convert_to_numpy(column_sum(x)), x.sum(0))
