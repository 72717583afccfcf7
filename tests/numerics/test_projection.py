import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2q_keras.errors import AccumulatorOverflowError, ConfigurationError, WeightError
from a2q_keras.numerics import bounds, projection
from tests.strategies import seeded

RANGES = {
    "unsigned": (0, 3),
    "signed": (-4, 3),
    "symmetric": (-3, 3),
    "narrow": (-1, 5),
    "negative": (-3, 0),
    "off": (0, 0),
}


def every_code(k, qmax):
    return np.array(list(itertools.product(range(-qmax, qmax + 1), repeat=k)))


def safe(codes, acc_bits, lo, hi, bias):
    """Which rows of codes (n, K) meet the exact condition, for biases (C,): a mask (n, C)."""
    ends = np.stack([codes * lo, codes * hi])
    top, bottom = ends.max(axis=0).sum(axis=1), ends.min(axis=0).sum(axis=1)
    fits_above = top[:, None] + np.maximum(bias, 0) < 2 ** (acc_bits - 1)
    return fits_above & (bottom[:, None] + np.minimum(bias, 0) >= -(2 ** (acc_bits - 1)))


def smallest_distance(u, codes, mask):
    """The least ||q - u||**2 over the safe codes, per column of u (K, C)."""
    distances = ((codes[:, :, None] - u) ** 2).sum(axis=1)
    return np.where(mask, distances, np.inf).min(axis=0)


def draws(kind, k, rng, channels=60):
    """Columns (K, C), all on a grid of 1/16 so that distances are exact."""
    if kind == "ties":
        return rng.integers(-6, 7, (k, channels)) / 2
    if kind == "equal":
        return np.tile(rng.integers(-80, 81, channels) / 16, (k, 1)) * rng.choice([-1, 1], (k, channels))
    return rng.integers(-90, 91, (k, channels)) / 16


@pytest.mark.parametrize("kind", ["random", "ties", "equal"])
@pytest.mark.parametrize("lo, hi", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("k, weight_bits", [(1, 4), (2, 3), (3, 3), (3, 2), (4, 2)])
def test_project_codes_is_the_minimiser(kind, lo, hi, k, weight_bits):
    rng = np.random.default_rng([k, weight_bits, hi, -lo])
    codes = every_code(k, 2 ** (weight_bits - 1) - 1)
    for acc_bits in range(2, 8):
        u = draws(kind, k, rng)
        bias = rng.integers(-(2 ** (acc_bits - 1)), 2 ** (acc_bits - 1), u.shape[1]) // rng.choice([1, 3, 10])
        mask = safe(codes, acc_bits, lo, hi, bias)
        q = projection.project_codes(u, weight_bits, acc_bits, lo, hi, bias)
        assert np.array_equal(((q - u) ** 2).sum(axis=0), smallest_distance(u, codes, mask))
        assert all(safe(q[:, [c]].T, acc_bits, lo, hi, bias[c]).all() for c in range(u.shape[1]))
        assert np.abs(q).max() <= 2 ** (weight_bits - 1) - 1


@pytest.mark.parametrize("lo, hi", [(0, 3), (-4, 3), (-1, 5), (-5, 1), (-2, 1)])
def test_among_equal_minimisers_fewer_units_then_positive_ones_then_lower_indices(lo, hi):
    rng = np.random.default_rng(5)
    codes = every_code(3, 3)
    for acc_bits in range(3, 8):
        u = draws("ties", 3, rng, 150)
        bias = rng.integers(-(2 ** (acc_bits - 1)), 2 ** (acc_bits - 1), u.shape[1])
        mask = safe(codes, acc_bits, lo, hi, bias)
        best = smallest_distance(u, codes, mask)
        q = projection.project_codes(u, 3, acc_bits, lo, hi, bias)
        for c in range(u.shape[1]):
            equal = codes[mask[:, c] & (((codes - u[:, c]) ** 2).sum(axis=1) == best[c])]
            assert q[:, c].tolist() == min(equal.tolist(), key=preference)


@pytest.mark.parametrize("lo, hi", [(0, 15), (-8, 7), (-7, 7)])
def test_many_ties_go_to_the_lower_indices(lo, hi):
    rng = np.random.default_rng(3)
    for k in (20, 300, 2000):
        u = rng.choice([0.75, 2.75, -1.75, 0.7], k)
        q = projection.project_codes(u[:, None], 4, 12, lo, hi)[:, 0]
        for value in np.unique(u):
            assert (np.diff(np.abs(q[u == value])) <= 0).all()


def preference(q):
    units = np.abs(q)
    return units.sum(), -np.maximum(q, 0).sum(), tuple(-units)


@pytest.mark.parametrize("lo, hi", RANGES.values(), ids=RANGES)
def test_channels_do_not_see_each_other(lo, hi):
    rng = np.random.default_rng(11)
    u = np.concatenate([draws(kind, 17, rng, 20) for kind in ("random", "ties", "equal")], axis=1)
    bias = rng.integers(-100, 100, u.shape[1])
    for acc_bits in (8, 9, 10, 12):
        together = projection.project_codes(u, 4, acc_bits, lo, hi, bias)
        for c in range(u.shape[1]):
            assert np.array_equal(together[:, [c]], projection.project_codes(u[:, [c]], 4, acc_bits, lo, hi, bias[c]))


@seeded(200)
@given(
    st.lists(st.floats(-40, 40), min_size=1, max_size=30),
    st.integers(2, 8),
    st.integers(2, 16),
    st.sampled_from([(0, 15), (0, 1), (-8, 7), (-7, 7), (-3, 12)]),
    st.floats(-1, 1),
)
def test_project_codes_meets_the_exact_condition_and_changes_nothing_without_need(u, weight_bits, acc_bits, ends, part):
    u, bias = np.array(u)[:, None], int(part * (2 ** (acc_bits - 1) - 1))
    q = projection.project_codes(u, weight_bits, acc_bits, *ends, bias)
    assert bounds.min_acc_bits(q, *ends, bias) <= acc_bits
    assert (np.sign(q) * np.sign(u) >= 0).all() and (np.abs(q) <= np.ceil(np.abs(u))).all()
    qmax = 2 ** (weight_bits - 1) - 1
    nearest = np.clip(np.sign(u) * np.ceil(np.abs(u) - 0.5), -qmax, qmax).astype(int)
    if bounds.min_acc_bits(nearest, *ends, bias) <= acc_bits:
        assert np.array_equal(q, nearest)


@pytest.mark.parametrize("acc_bits", [62, 63, 64])
def test_wide_accumulators(acc_bits):
    u = np.array([[2.0**30, 5.0], [-(2.0**30), -3.0]])
    q = projection.project_codes(u, 32, acc_bits, 0, 2**32 - 1, bias=np.array([7, -9]))
    assert (bounds.min_acc_bits(q, 0, 2**32 - 1, np.array([7, -9])) <= acc_bits).all()
    assert q[:, 1].tolist() == [5, -3]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**41])
def test_weights_without_codes_are_refused(value):
    with pytest.raises(WeightError, match=r"weight 1 of channel 2 is .*check the training"):
        projection.project_codes(np.array([[0, 0, 0], [0, 0, value]]), 4, 8, 0, 15)


def test_weights_of_the_wrong_shape_are_refused():
    with pytest.raises(WeightError, match=r"an array \(K, C\).*got shape \(3,\)"):
        projection.project_codes(np.zeros(3), 4, 8, 0, 15)


def test_a_bias_that_does_not_fit_is_refused():
    with pytest.raises(AccumulatorOverflowError, match="channel 0: the bias code 200"):
        projection.project_codes(np.zeros((2, 1)), 4, 8, 0, 15, bias=200)


def by_bisection(w, radius):
    """The L1 projection of one column from the threshold found by bisection."""
    below, above = 0.0, np.abs(w).max()
    for _ in range(200):
        middle = (below + above) / 2
        small = np.maximum(np.abs(w) - middle, 0).sum() <= radius
        below, above = (below, middle) if small else (middle, above)
    return np.sign(w) * np.maximum(np.abs(w) - above, 0) if np.abs(w).sum() > radius else w


@pytest.mark.parametrize("radius", [0.0, 0.3, 1.0, 4.0, 1000.0])
def test_project_l1_is_the_soft_threshold_of_that_norm(radius):
    rng = np.random.default_rng(2)
    w = np.concatenate([rng.normal(size=(20, 30)), np.ones((20, 1)), np.zeros((20, 1)), -np.eye(20)[:, :2]], axis=1)
    projected = projection.project_l1(w, radius)
    wanted = np.stack([by_bisection(column, radius) for column in w.T], axis=1)
    assert np.abs(projected - wanted).max() < 1e-12
    assert np.array_equal(projected[:, np.abs(w).sum(axis=0) <= radius], w[:, np.abs(w).sum(axis=0) <= radius])


def test_project_l1_per_column_and_closest():
    """No point of the ball is nearer, by the variational inequality (w - w')(z - w') <= 0 at the vertices z."""
    rng = np.random.default_rng(4)
    w, radius = rng.normal(size=(6, 40)), rng.uniform(0.1, 3, 40)
    projected = projection.project_l1(w, radius)
    for sign in (1, -1):
        vertices = sign * radius * np.eye(6)[:, :, None]  # (vertex, K, C)
        assert (((w - projected) * (vertices - projected)).sum(axis=1) <= 1e-12).all()


def test_project_l1_refuses_a_negative_radius():
    with pytest.raises(ConfigurationError, match=r"radius=-1\.0 is negative"):
        projection.project_l1(np.ones((2, 1)), -1)
