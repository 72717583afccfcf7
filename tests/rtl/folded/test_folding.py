import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.rtl.folded.folding import Fold, Folding, choose, choose_pooling
from a2q_keras.rtl.folded.geometry import sliding, vectors

CONV = sliding((8, 8, 4), (3, 3), (1, 1), ((0, 0), (0, 0)))


def test_cycles_are_those_of_the_products_or_of_the_inputs():
    assert choose("fc", vectors((64,)), 32, Folding(4, 8)) == Fold(4, 8, 8 * 8)
    assert choose("conv", CONV, 6, Folding(3, 2)) == Fold(3, 2, 36 * 2 * 9 * 2)
    strided = sliding((8, 8, 4), (1, 1), (4, 4), ((0, 0), (0, 0)))
    assert choose("conv", strided, 2, Folding(2, 4)).cycles == 64


def test_a_target_of_cycles_takes_the_fewest_multipliers():
    assert choose("fc", vectors((64,)), 32, Folding(cycles=64)) == Fold(1, 32, 64)
    assert choose("fc", vectors((64,)), 32, Folding(cycles=2048)) == Fold(1, 1, 2048)
    assert choose_pooling("pool", sliding((8, 8, 4), (2, 2), (2, 2), ((0, 0), (0, 0))), Folding(cycles=128)).pe == 2


def test_dicts_name_layers_and_a_star_the_others():
    folding = Folding(pe={"fc": 8, "*": 2})
    assert choose("fc", vectors((64,)), 32, folding).pe == 8
    assert choose("other", vectors((64,)), 32, folding).pe == 2
    assert choose("other", vectors((64,)), 32, Folding(pe={"fc": 8})).pe == 1


@pytest.mark.parametrize(
    ("folding", "told"),
    [
        (Folding(pe=3), "layer 'fc': pe=3 divides nothing there; allowed are 1, 2, 5, 10"),
        (Folding(simd=0), "layer 'fc': simd=0 divides nothing there; allowed are 1, 2, 3, 6"),
        (Folding(cycles=0), "layer 'fc': a sample in cycles=0 is out of reach; its fastest fold takes 1;"),
    ],
)
def test_errors_name_the_legal_values(folding, told):
    with pytest.raises(ConfigurationError) as error:
        choose("fc", vectors((6,)), 10, folding)
    assert told in str(error.value)


def test_a_beat_holds_products_of_one_tile():
    layer = vectors((24,))
    assert [choose("fc", layer, 4, Folding(simd=simd), tile=18).simd for simd in (1, 2, 3, 6)] == [1, 2, 3, 6]
    assert (
        choose("fc", layer, 4, Folding(simd=8), tile=24).simd == choose("fc", layer, 4, Folding(simd=8), 99).simd == 8
    )
    with pytest.raises(ConfigurationError) as error:
        choose("fc", layer, 4, Folding(simd=8), tile=18)
    assert "layer 'fc': simd=8 divides not both its 24 input channels and its tile of 18 products" in str(error.value)
    assert "allowed are 1, 2, 3, 6; give simd by layer" in str(error.value)
    assert choose("conv", CONV, 6, Folding(simd=2), tile=6) == Fold(1, 2, 36 * 6 * 9 * 2)


def test_a_target_of_cycles_takes_legal_simd_only():
    assert choose("fc", vectors((24,)), 4, Folding(cycles=12)) == Fold(1, 8, 12)
    assert choose("fc", vectors((24,)), 4, Folding(cycles=12), tile=18) == Fold(4, 2, 12)
    with pytest.raises(ConfigurationError, match="cycles=3 is out of reach; its fastest fold takes 4"):
        choose("fc", vectors((24,)), 4, Folding(cycles=3), tile=18)


def test_pooling_names_its_legal_values():
    with pytest.raises(ConfigurationError, match="pe=3 divides nothing there; allowed are 1, 2, 4"):
        choose_pooling("pool", CONV, Folding(pe=3))


def test_a_folding_of_some_layers_only():
    assert Folding({"a": 2, "b": 3, "*": 4}, 2).only(("a",)) == Folding({"a": 2, "*": 4}, 2)
