from dataclasses import replace

import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.rtl.folded.folding import Fold, Folding, Work, choose, choose_pooling
from a2q_keras.rtl.folded.geometry import sliding, vectors

CONV = sliding((8, 8, 4), (3, 3), (1, 1), ((0, 0), (0, 0)))


def test_cycles_are_those_of_the_products_or_of_the_inputs():
    assert choose("fc", Work(vectors((64,)), 32), Folding(4, 8)) == Fold(4, 8, 8 * 8)
    assert choose("conv", Work(CONV, 6), Folding(3, 2)) == Fold(3, 2, 36 * 2 * 9 * 2)
    strided = sliding((8, 8, 4), (1, 1), (4, 4), ((0, 0), (0, 0)))
    assert choose("conv", Work(strided, 2), Folding(2, 4)).cycles == 64


def test_a_target_of_cycles_takes_the_fewest_multipliers():
    assert choose("fc", Work(vectors((64,)), 32), Folding(cycles=64)) == Fold(1, 32, 64)
    assert choose("fc", Work(vectors((64,)), 32), Folding(cycles=2048)) == Fold(1, 1, 2048)
    assert choose_pooling("pool", sliding((8, 8, 4), (2, 2), (2, 2), ((0, 0), (0, 0))), Folding(cycles=128)).pe == 2


def test_dicts_name_layers_and_a_star_the_others():
    folding = Folding(pe={"fc": 8, "*": 2})
    assert choose("fc", Work(vectors((64,)), 32), folding).pe == 8
    assert choose("other", Work(vectors((64,)), 32), folding).pe == 2
    assert choose("other", Work(vectors((64,)), 32), Folding(pe={"fc": 8})).pe == 1


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
        choose("fc", Work(vectors((6,)), 10), folding)
    assert told in str(error.value)


def test_a_beat_holds_products_of_one_tile():
    layer, one = Work(vectors((24,)), 4, tile=18), Work(vectors((24,)), 4, tile=24)
    assert [choose("fc", layer, Folding(simd=simd)).simd for simd in (1, 2, 3, 6)] == [1, 2, 3, 6]
    assert choose("fc", one, Folding(simd=8)).simd == choose("fc", replace(one, tile=99), Folding(simd=8)).simd == 8
    with pytest.raises(ConfigurationError) as error:
        choose("fc", layer, Folding(simd=8))
    assert "layer 'fc': simd=8 divides not both its 24 input channels and its tile of 18 products" in str(error.value)
    assert "allowed are 1, 2, 3, 6; give simd by layer" in str(error.value)
    assert choose("conv", Work(CONV, 6, tile=6), Folding(simd=2)) == Fold(1, 2, 36 * 6 * 9 * 2)


def test_a_target_of_cycles_takes_legal_simd_only():
    assert choose("fc", Work(vectors((24,)), 4), Folding(cycles=12)) == Fold(1, 8, 12)
    assert choose("fc", Work(vectors((24,)), 4, tile=18), Folding(cycles=12)) == Fold(4, 2, 12)
    with pytest.raises(ConfigurationError, match="cycles=3 is out of reach; its fastest fold takes 4"):
        choose("fc", Work(vectors((24,)), 4, tile=18), Folding(cycles=3))


def test_groups_are_folded_inside_or_several_at_a_time():
    """Of 8 input and 12 output channels in 4 groups: 2 and 3 in each."""
    work = Work(sliding((8, 8, 8), (3, 3), (1, 1), ((0, 0), (0, 0))), 12, groups=4)
    found = {(fold.pe, fold.simd): (fold.groups, fold.lanes, fold.cycles) for fold in work.folds()}
    inside = {(pe, simd): (1, simd, 36 * 9 * 24 // (pe * simd)) for pe in (1, 3) for simd in (1, 2)}
    assert found == inside | {(6, 2): (2, 4, 36 * 9 * 2), (12, 2): (4, 8, 36 * 9)}
    with pytest.raises(ConfigurationError, match="simd=1 is not all input .* pe=6 takes 2 groups; allowed are 2"):
        choose("conv", work, Folding(pe=6))
    with pytest.raises(ConfigurationError, match="pe=2 divides nothing there; allowed are 1, 3, 6, 12"):
        choose("conv", work, Folding(pe=2))
    assert {fold.pe for fold in replace(work, tile=3).folds()} == {1, 3}


def test_pooling_names_its_legal_values():
    with pytest.raises(ConfigurationError, match="pe=3 divides nothing there; allowed are 1, 2, 4"):
        choose_pooling("pool", CONV, Folding(pe=3))


def test_a_folding_of_some_layers_only():
    assert Folding({"a": 2, "b": 3, "*": 4}, 2).only(("a",)) == Folding({"a": 2, "*": 4}, 2)
