import keras
import numpy as np
import pytest
from keras import ops

from a2q_keras.numerics import projection as numeric
from a2q_keras.quantizers import projection as trained

SHAPES = {
    "k1_2bits": (1, 1),
    "k3_4bits": (3, 7),
    "k17_2bits": (17, 1),
    "k200_4bits": (200, 7),
    "k300_8bits": (300, 127),
}
CHANNELS = 24
SEEDS = range(3)


def compiled(function):
    """The function as the backend compiles it into a training step, with XLA where that is another path."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    pytest.skip(f"no compiler is used under {keras.backend.backend()}")


MODES = {"eager": lambda function: function, "compiled": compiled}


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
    elif kind == "zeros":
        u = rng.normal(size=(k, CHANNELS)) * (rng.random((k, CHANNELS)) < 0.2)
    else:
        u = rng.normal(size=(k, CHANNELS)) * rng.uniform(0.2, 9, CHANNELS)
    return u.astype(np.float32)


KINDS = ["random", "halves", "equal", "few values", "tiny and large", "zeros"]


def all_draws(k: int, seed: int) -> np.ndarray:
    """Columns of every kind side by side."""
    return np.concatenate([draws(kind, k, seed) for kind in KINDS], axis=1)


def budgets(u, qmax: int, seed: int) -> np.ndarray:
    """Units per channel, from none to more than wanted, with exactly what is wanted among them."""
    rng = np.random.default_rng(seed)
    wanted = np.minimum(np.ceil(np.abs(u) - 0.5), qmax).sum(axis=0)
    budget = np.floor(wanted * rng.uniform(0, 1.2, u.shape[1]))
    for start in range(0, u.shape[1], CHANNELS):
        budget[start : start + 3] = 0, wanted[start + 1], max(wanted[start + 2] - 1, 0)
    return budget.astype(np.int64)


def tensors(*arrays):
    return [ops.convert_to_tensor(array, "float32") for array in arrays]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k, qmax", SHAPES.values(), ids=SHAPES)
def test_take_units_gives_the_codes_of_numerics(k, qmax, mode):
    take = MODES[mode](lambda magnitude, budget: trained.take_units(magnitude, float(qmax), budget))
    for seed in SEEDS:
        magnitude = np.abs(all_draws(k, seed))
        budget = budgets(magnitude, qmax, seed)
        wanted = numeric.take_units(magnitude.astype(np.float64), qmax, budget)
        assert np.array_equal(ops.convert_to_numpy(take(*tensors(magnitude, budget))), wanted)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k, qmax", SHAPES.values(), ids=SHAPES)
def test_take_signed_gives_the_codes_of_numerics(k, qmax, mode):
    take = MODES[mode](lambda u, p, n: trained.take_signed(u, float(qmax), p, n))
    for seed in SEEDS:
        u = all_draws(k, seed)
        sides = [np.maximum(u, 0).astype(np.float64), np.maximum(-u, 0).astype(np.float64)]
        room = [budgets(side, qmax, seed + i) for i, side in enumerate(sides)]
        p, n = (numeric.take_units(side, qmax, budget) for side, budget in zip(sides, room))
        assert np.array_equal(ops.convert_to_numpy(take(*tensors(u, *room))), p - n)


@pytest.mark.parametrize("hi", [15, 1])
def test_take_signed_with_the_room_of_an_accumulator_is_project_codes(hi):
    u = draws("random", 200, 9)
    for acc_bits in (5, 8, 10, 12):
        up, down = ([units] * CHANNELS for units in ((2 ** (acc_bits - 1) - 1) // hi, 2 ** (acc_bits - 1) // hi))
        values, *room = tensors(u, up, down)
        found = ops.convert_to_numpy(trained.take_signed(values, 7.0, *room))
        assert np.array_equal(found, numeric.project_codes(u, 4, acc_bits, 0, hi))
