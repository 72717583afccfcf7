import numpy as np
import pytest
import qkeras

from a2q_keras.errors import A2QError, UnsupportedLayerError
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers.activations import format_of

# 1/128 steps: exact in float32, with ties and overflow for every format below
X = (np.arange(-1300, 1301) / 128).astype(np.float32)

QUANTIZERS = [
    f"{name}({bits},{integer}{options})"
    for bits in (1, 2, 3, 4, 6, 8)
    for integer in (-1.0, 0, 2)  # a float, because QKeras cannot raise 2 to the integer -1
    for name, options in [
        ("quantized_relu", ""),
        ("quantized_relu", ",relu_upper_bound=0.3"),  # of no effect, as QKeras clips at the largest code
        ("quantized_bits", ",alpha=1"),
        ("quantized_bits", ",alpha=1,symmetric=1"),
        ("quantized_bits", ",alpha=1,keep_negative=0"),
    ]
    if bits > 1 or name == "quantized_relu" or "keep_negative" in options
]


@pytest.mark.parametrize("text", QUANTIZERS)
def test_the_format_has_the_values_that_qkeras_produces(text):
    quantizer = qkeras.get_quantizer(text)
    format = format_of(quantizer)
    assert np.array_equal(np.asarray(quantizer(X)), format.values(format.quantize(X)))


@pytest.mark.parametrize(
    "text, format",
    [
        ("quantized_bits(4,1,alpha=1)", FixedPoint(4, 2, signed=True)),
        ("quantized_bits(4,1,alpha=1,symmetric=1)", FixedPoint(4, 2, signed=True, symmetric=True)),
        ("quantized_bits(4,1,alpha=1,keep_negative=0)", FixedPoint(4, 3, signed=False)),
        ("quantized_bits(4,1)", FixedPoint(4, 2, signed=True)),
        ("quantized_relu(4,1)", FixedPoint(4, 3, signed=False)),
        ("quantized_relu(4,-2.0)", FixedPoint(4, 6, signed=False)),
        ("quantized_relu(3,6)", FixedPoint(3, -3, signed=False)),
    ],
)
def test_the_format_itself(text, format):
    assert format_of(qkeras.get_quantizer(text)) == format


REFUSED = {
    "quantized_bits(4,0,alpha='auto')": "alpha='auto'",
    "quantized_bits(4,0,alpha='auto_po2')": "alpha='auto_po2'",
    "quantized_bits(4,0,alpha=0.5)": r"alpha=0\.5",
    "quantized_bits(4,0,alpha=1,use_stochastic_rounding=True)": "use_stochastic_rounding=True",
    "quantized_bits(4,0,alpha=1,qnoise_factor=0.5)": r"qnoise_factor=0\.5",
    "quantized_bits(1,0,alpha=1)": "binary",
    "quantized_relu(4,0,use_sigmoid=1)": "use_sigmoid=1",
    "quantized_relu(4,0,negative_slope=0.25)": r"negative_slope=0\.25",
    "quantized_relu(4,0,use_stochastic_rounding=True)": "use_stochastic_rounding=True",
    "quantized_relu(4,0,is_quantized_clip=False,relu_upper_bound=0.3)": "is_quantized_clip=False",
    "quantized_tanh(4)": "quantized_tanh",
    "quantized_sigmoid(4)": "quantized_sigmoid",
    "ternary(alpha=1)": "ternary",
    "binary(alpha=1)": "binary",
    "quantized_po2(4)": "quantized_po2",
    "quantized_ulaw(6)": "quantized_ulaw",
}


@pytest.mark.parametrize("text", REFUSED)
def test_other_arithmetic_is_refused_with_the_option_and_what_is_allowed(text):
    with pytest.raises(UnsupportedLayerError, match=f"(?s){REFUSED[text]}.*allowed are quantized_bits") as caught:
        format_of(qkeras.get_quantizer(text), "layer 'act'")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["quantized_relu(4,1.5)", "quantized_bits(4,0.5,alpha=1)", "quantized_relu(4.5,1)"])
def test_parts_of_bits_are_refused(text):
    with pytest.raises(UnsupportedLayerError, match=r"layer 'act': .*=\d\.5 is no fixed point; give whole numbers"):
        format_of(qkeras.get_quantizer(text), "layer 'act'")


def test_a_negative_int_that_qkeras_cannot_compute_is_refused():
    words = r"layer 'act': QKeras cannot raise 2 to an int below 0, here integer=-1 .*; write integer=-1\.0$"
    with pytest.raises(UnsupportedLayerError, match=words):
        format_of(qkeras.get_quantizer("quantized_relu(4,-1)"), "layer 'act'")
    assert format_of(qkeras.get_quantizer("quantized_bits(4,-1,alpha=1)")) == FixedPoint(4, 4, signed=True)


def test_the_place_is_named():
    with pytest.raises(A2QError, match="^layer 'act': the quantizer function has no exact integer format here"):
        format_of(lambda x: x, "layer 'act'")
