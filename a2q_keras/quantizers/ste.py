"""Straight-through estimators: a value forward, the gradient of something else backward."""

from __future__ import annotations

from keras import ops


def straight_through(value, surrogate):
    """`value` exactly in the forward pass, the gradient of `surrogate` in the backward pass.

    Written so that the forward value is not touched by rounding: surrogate - surrogate is an exact zero, whereas the
    common x + stop_gradient(q - x) rounds twice and can miss the code.
    """
    return ops.stop_gradient(value) + (surrogate - ops.stop_gradient(surrogate))
