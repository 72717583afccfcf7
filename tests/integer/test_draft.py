import pytest

from a2q_keras.errors import UnsupportedLayerError
from a2q_keras.integer.draft import Codes, Draft, Raw
from a2q_keras.integer.ops import Input, Quantize, Reshape
from a2q_keras.numerics.formats import FixedPoint

FOUR, THREE = FixedPoint(4, 2, False), FixedPoint(3, 1, False)


def test_an_input_is_quantized_on_entry_and_its_codes_again_later():
    draft = Draft()
    entered = draft.quantize("q1", Raw("x", (6,), (6,)), FOUR)
    again = draft.quantize("q2", entered, THREE)
    assert (entered, again) == (Codes("x"), Codes("q2"))
    assert draft.inputs == [Input("x", (6,), FOUR)] and draft.ops == [Quantize("q2", "x", THREE)]
    assert draft.format(again) == THREE


def test_an_input_reshaped_before_it_is_quantized_enters_in_its_own_shape():
    draft = Draft()
    raw = draft.reshape("r", Raw("x", (6,), (6,)), (2, 3))
    assert draft.quantize("q", raw, FOUR) == Codes("q")
    assert draft.inputs == [Input("x", (6,), FOUR)] and draft.ops == [Reshape("q", "x", (2, 3))]


def test_an_input_has_one_format():
    draft = Draft()
    raw = Raw("x", (6,), (6,))
    assert draft.quantize("a", raw, FOUR) == draft.quantize("b", raw, FOUR)
    with pytest.raises(UnsupportedLayerError, match="layer 'c': input 'x' is already quantized to .*; use one QActiv"):
        draft.quantize("c", raw, THREE)


def test_a_name_is_used_once():
    draft = Draft()
    codes = draft.quantize("q", Raw("x", (6,), (6,)), FOUR)
    draft.reshape("r", codes, (2, 3))
    with pytest.raises(UnsupportedLayerError, match="layer 'r' is used more than once"):
        draft.reshape("r", codes, (3, 2))
