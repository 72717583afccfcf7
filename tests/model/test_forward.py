import numpy as np
import pytest

from a2q_keras.errors import ConversionError
from a2q_keras.integer.export import export_with_tensors
from a2q_keras.integer.run import trace
from a2q_keras.model import forward
from a2q_keras.numerics.formats import FixedPoint
from tests.integer.test_export import deep_and_shallow
from tests.models import inputs, two_layers


def test_every_layer_of_keras_is_the_golden_run():
    model = two_layers()
    program, tensors = export_with_tensors(model)
    codes = forward.reference(model, tensors, program.formats)([inputs()])
    golden = trace(program, [program.inputs[0].format.quantize(inputs())])
    assert set(codes) == {"x", "first", "relu", "second"} <= set(golden)
    assert all(np.array_equal(codes[name], golden[name]) for name in codes)


def test_inputs_in_the_order_of_the_model():
    model = deep_and_shallow()
    program, tensors = export_with_tensors(model)
    values = [inputs(9, 4, seed=1), inputs(9, 4, seed=2)]
    codes = forward.reference(model, tensors, program.formats)
    golden = trace(program, [node.format.quantize(array) for node, array in zip(program.inputs, values)])
    assert all(np.array_equal(made, golden[name]) for name, made in codes(values).items())


def test_a_value_between_codes_is_an_error():
    with pytest.raises(ConversionError, match=r"layer 'fc': Keras computed .*0\.3.* at \(0, 1\), which is no code"):
        forward._codes("fc", np.array([[0.5, 0.3]]), FixedPoint(4, 2, signed=True))
