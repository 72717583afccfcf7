"""What `exact` and `none` look for now and then in training: a better scale, and the thresholds of the projection."""

from __future__ import annotations

import numpy as np
from keras import ops

from a2q_keras.quantizers import weights

SEARCH_EVERY = 64  # training steps for which the thresholds of the projection are held
SCALE_STEPS = 1024  # in which the scale may move
SCALE_STAYS = 0.5  # what the number of the step has beyond a whole one where it may not


def held_shape(k, channels, method, spec: weights.Accumulator) -> tuple[int, int, int]:
    """The shape of what a training step holds for the next: the thresholds of `weights.exact`, and in a last row the
    number of the step.  One variable, because to a step of a small layer each costs as much as a sum."""
    rows, *row = weights.thresholds_shape(k, channels, spec) if method == "exact" else (0, 1, 1)
    return rows + 1, *row


def only_rounding(shape) -> np.ndarray:
    """What to hold, of `held_shape`, for a training step that rounds, pays for no budget and looks for nothing."""
    return _at_step(shape, SEARCH_EVERY + 1)


def nothing_held(shape, scale_may_move) -> np.ndarray:
    """What to hold, of `held_shape`, before the first training step."""
    return _at_step(shape, 0 if scale_may_move else SCALE_STAYS)


def _at_step(shape, number) -> np.ndarray:
    held = np.zeros(shape, np.float32)
    held[-1] = number
    return held


def search_when_due(latent, scale_log2, held, method, spec: weights.Accumulator):
    """(scale_log2, held) for the training step that `held` counts, found anew where it is time.

    latent: as `layers.base.Latent`, the bias quantized.  The scale is looked at in steps 0, 1, 2, 4, ..., SCALE_STEPS:
    a fresh network finds it early, and late in training the weights can no longer follow.  Behind a batch norm, whose
    statistics need hundreds of steps to settle, it is looked at whenever the thresholds are.  SCALE_STAYS keeps it.
    """
    number = held[-1, 0, 0]
    step = ops.cast(number, "int32")
    doubled = ops.logical_and(ops.equal(ops.bitwise_and(step, step - 1), 0), step <= SCALE_STEPS)
    due = ops.logical_or(doubled, ops.equal(step % SEARCH_EVERY, 0))
    adapt = ops.logical_and(doubled if latent.gain is None else due, ops.equal(ops.floor(number), number))
    columns = ops.stop_gradient(latent.columns)
    bias = ops.zeros((columns.shape[1],)) if latent.bias is None else ops.stop_gradient(latent.bias)
    scale_log2, found = ops.cond(
        due,
        lambda: weights.found_anew(columns, bias, scale_log2, held[:-1], adapt, method, spec),
        lambda: (scale_log2, held[:-1]),
    )
    return scale_log2, ops.concatenate([found, _counted(held[-1:])])


def _counted(steps):
    """The next step; those past SCALE_STEPS come again, so that a float32 can count them."""
    return ops.where(steps < 2 * SCALE_STEPS, steps, steps - SCALE_STEPS) + 1.0
