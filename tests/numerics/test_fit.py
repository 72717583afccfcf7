"""The whole choice of codes, bias and scale of a layer: sound whatever the recipe, and better for each step."""

import numpy as np
import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics.fit import BUDGETS, METHODS, Group, Recipe, fit
from a2q_keras.numerics.moments import Moments
from a2q_keras.numerics.running import Target
from tests.numerics.test_running import check

FRAC = 4


def group(k=30, channels=8, rows=400, seed=0, signed=False):
    """Inputs of 4 bits for the quantized layer, the float ones they stand for, weights and biases."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, k)) @ rng.normal(size=(k, k)) / 6
    x = x if signed else np.maximum(x, 0)
    y = np.clip(np.rint(x * 2**FRAC), -7 if signed else 0, 15) / 2**FRAC
    w, moments = rng.normal(0, 0.2, (k, channels)), Moments(k, channels)
    for i in range(0, rows, 100):
        moments.add(y[i : i + 100], x[i : i + 100], x[i : i + 100] @ w)
    return Group(w, rng.normal(0, 0.5, channels), moments), y, x


def output_error(found, exponent, y, wanted):
    values = y @ (found.codes * 2.0**exponent) + found.bias * 2.0 ** (exponent - FRAC)
    return np.square(values - wanted).mean(axis=0)


@pytest.mark.parametrize("tile", [None, 7])
@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("method", METHODS)
def test_every_recipe_is_sound(method, budget, tile):
    for signed in (False, True):
        given, _, _ = group(signed=signed)
        for acc_bits in (6, 9, 12):
            target = Target(acc_bits, 4, -7 if signed else 0, 7 if signed else 15, tile)
            _, (found,) = fit([given], target, FRAC, Recipe(method, budget))
            check(found.codes, target, found.bias)


def test_the_error_that_is_reported_is_that_of_the_outputs():
    given, y, x = group()
    target = Target(9, 4, 0, 15)
    exponent, (found,) = fit([given], target, FRAC, Recipe(damping=0.0))
    measured = output_error(found, exponent, y, x @ given.w + given.bias)
    # floating-point moments against rows, by nature no codes
    assert np.allclose(found.error, measured, rtol=1e-6)


@pytest.mark.parametrize("acc_bits", [8, 9, 10])
def test_each_step_lowers_the_error(acc_bits):
    given, y, x = group(seed=acc_bits)
    target, wanted = Target(acc_bits, 4, 0, 15), x @ given.w + given.bias

    def error(recipe):
        exponent, (found,) = fit([given], target, FRAC, recipe)
        return output_error(found, exponent, y, wanted).sum()

    for method in ("gpfq", "optq"):
        plain, refined = error(Recipe(method, refine=False)), error(Recipe(method))
        assert refined <= plain < error(Recipe(method, "axe"))
        assert refined < error(Recipe("exact"))


def test_groups_share_a_scale():
    parts = [group(9, 1, seed=seed)[0] for seed in range(3)]
    exponent, found = fit(parts, Target(8, 4, 0, 15), FRAC, Recipe())
    assert len(found) == 3 and isinstance(exponent, int)


def test_a_layer_without_bias_keeps_none():
    given, _, _ = group()
    _, (found,) = fit([Group(given.w, None, given.moments)], Target(9, 4, 0, 15), FRAC, Recipe())
    assert not found.bias.any()


def test_unknown_choices_are_refused():
    with pytest.raises(ConfigurationError, match="method='gptq' is unknown; allowed are gpfq, optq, exact"):
        Recipe("gptq")
    with pytest.raises(ConfigurationError, match="budget='strict' is unknown; allowed are exact, axe"):
        Recipe(budget="strict")
