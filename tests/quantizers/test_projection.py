import numpy as np
import pytest
from keras import ops

from a2q_keras.numerics import projection as numeric
from a2q_keras.quantizers import projection as trained
from tests.backend import MODES, tensors

SHAPES = {
    "k1_2bits": (1, 1),
    "k3_4bits": (3, 7),
    "k17_2bits": (17, 1),
    "k200_4bits": (200, 7),
    "k300_8bits": (300, 127),
}
CHANNELS = 24
SEEDS = range(3)


def draws(kind: str, k: int, seed: int) -> np.ndarray:
    """Weights over scale (K, C), float32, of one kind per call."""
    rng = np.random.default_rng([k, seed])
    if kind == "halves":
        u = rng.integers(-20, 21, (k, CHANNELS)) / 2
    elif kind == "equal":
        u = np.tile(rng.normal(size=CHANNELS) * 5, (k, 1)) * rng.choice([-1, 1], (k, CHANNELS))
    elif kind == "few values":
        u = rng.choice(rng.normal(size=3) * 4, (k, CHANNELS))
    elif kind == "tiny and large":
        u = rng.normal(size=(k, CHANNELS)) * 10.0 ** rng.integers(-6, 3, (k, CHANNELS))
    elif kind == "mostly zeros":
        u = rng.normal(size=(k, CHANNELS)) * (rng.random((k, CHANNELS)) < 0.2)
    else:
        u = rng.normal(size=(k, CHANNELS)) * rng.uniform(0.2, 9, CHANNELS)
    return u.astype(np.float32)


KINDS = ["random", "halves", "equal", "few values", "tiny and large", "mostly zeros"]


def all_draws(k: int, seed: int) -> np.ndarray:
    """Columns of every kind side by side."""
    return np.concatenate([draws(kind, k, seed) for kind in KINDS], axis=1)


def budgets(u, qmax: int, seed: int) -> np.ndarray:
    """Units per channel, from none to more than wanted, with none, exactly what is wanted and 2**24 among them."""
    rng = np.random.default_rng(seed)
    wanted = np.minimum(np.ceil(np.abs(u) - 0.5), qmax).sum(axis=0)
    budget = np.floor(wanted * rng.uniform(0, 1.2, u.shape[1]))
    for start in range(0, u.shape[1], CHANNELS):
        budget[start : start + 4] = 0, wanted[start + 1], max(wanted[start + 2] - 1, 0), 2**24
    return budget.astype(np.int64)


def reference(u, qmax, budget) -> np.ndarray:
    """The codes of `numerics.projection.take_units`, for both signs together or each for itself."""
    u = u.astype(np.float64)
    if len(budget) == 1:
        return np.where(u < 0, -1, 1) * numeric.take_units(np.abs(u), qmax, budget[0])
    above, below = (numeric.take_units(np.maximum(side, 0), qmax, room) for side, room in zip((u, -u), budget))
    return above - below


def both_budgets(u, qmax, seed) -> dict[str, np.ndarray]:
    """Budgets of both signs together (1, C), and of each sign (2, C)."""
    sides = [budgets(np.maximum(side, 0), qmax, seed + i) for i, side in enumerate((u, -u))]
    return {"together": budgets(u, qmax, seed)[None], "each sign": np.stack(sides)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k, qmax", SHAPES.values(), ids=SHAPES)
def test_take_units_gives_the_codes_of_numerics(k, qmax, mode):
    take = MODES[mode](lambda u, budget: trained.take_units(u, float(qmax), budget))
    for seed in SEEDS:
        u = all_draws(k, seed)
        for budget in both_budgets(u, qmax, seed).values():
            found = ops.convert_to_numpy(take(*tensors(u, budget)))
            assert np.array_equal(found, reference(u, qmax, budget))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("value", [0.0, 0.5, -2.5, 3.25, -7.0], ids=lambda value: f"all_{value}")
def test_ties_of_constant_weights_are_filled_from_the_first_weight_on(value, rows):
    u = np.full((11, 40), value, np.float32)
    budget = np.tile(np.arange(40), (rows, 1))
    found = ops.convert_to_numpy(trained.take_units(*tensors(u)[:1], 7.0, *tensors(budget)))
    assert np.array_equal(found, reference(u, 7, budget))
    wanted = 11 * np.ceil(abs(value) - 0.5)
    assert np.array_equal(np.abs(found).sum(axis=0), np.minimum(budget[0], max(wanted, 0)))


@pytest.mark.parametrize("rows", [1, 2])
def test_without_room_there_are_only_zeros(rows):
    u, budget = tensors(all_draws(17, 0), np.zeros((rows, CHANNELS * len(KINDS))))
    assert not ops.convert_to_numpy(trained.take_units(u, 7.0, budget)).any()


@pytest.mark.parametrize("rows", [1, 2])
def test_with_room_for_all_units_the_codes_are_the_nearest(rows):
    u = all_draws(200, 0)
    found = trained.take_units(*tensors(u), 7.0, *tensors(np.full((rows, u.shape[1]), 2**24)))
    nearest = np.sign(u) * np.clip(np.ceil(np.abs(u.astype(np.float64)) - 0.5), 0, 7)
    assert np.array_equal(ops.convert_to_numpy(found), nearest)


@pytest.mark.parametrize("hi", [15, 1])
def test_with_the_room_of_an_accumulator_it_is_project_codes(hi):
    u = draws("random", 200, 9)
    for acc_bits in (5, 8, 10, 12):
        room = [[units] * CHANNELS for units in ((2 ** (acc_bits - 1) - 1) // hi, 2 ** (acc_bits - 1) // hi)]
        found = ops.convert_to_numpy(trained.take_units(*tensors(u), 7.0, *tensors(room)))
        assert np.array_equal(found, numeric.project_codes(u, 4, acc_bits, 0, hi))


@pytest.mark.parametrize("rows", [1, 2])
def test_thresholds_without_ties_alone_give_the_codes(rows):
    u = draws("random", 200, 4)
    budget = np.stack([budgets(u, 7, seed) for seed in range(rows)])
    values, room = tensors(u, budget)
    found = trained.thresholds(values, 7.0, room)
    level, cut, missing, drawing, full = ops.convert_to_numpy(found)
    codes = ops.convert_to_numpy(trained.shrink(values, 7.0, found[0] + found[1]))
    assert not missing.any() and np.array_equal(codes, reference(u, 7, budget))
    for row, side in enumerate([np.abs(u)] if rows == 1 else [u, -u]):
        assert np.array_equal(drawing[row], (side > level[row] + cut[row] + np.float32(0.5)).sum(axis=0))
        wanted = np.clip(np.ceil(side - 0.5), 0, 7).sum(axis=0)
        assert np.array_equal(full[row], wanted > budget[row])


@pytest.mark.parametrize("large", [1e8, 1e30, np.inf, np.nan])
def test_huge_and_impossible_weights_end_the_search(large):
    u, budget = np.array([[large], [2.0]], np.float32), np.array([[3.0]], np.float32)
    codes = ops.convert_to_numpy(trained.take_units(*tensors(u), 7.0, *tensors(budget)))
    assert np.isnan(large) or codes.ravel().tolist() == [3.0, 0.0]
