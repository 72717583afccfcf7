"""Straight-through estimators: a value forward, the gradient of something else backward."""

from __future__ import annotations

from keras import ops


def straight_through(value, surrogate):
    """`value` exactly in the forward pass, the gradient of `surrogate` in the backward pass.

    The common x + stop_gradient(q - x) rounds twice and can miss the code; here the value is not touched at all.
    """
    value = ops.stop_gradient(value)
    return with_gradient(lambda surrogate: (value, lambda upstream: upstream), ops.convert_to_tensor(surrogate))


def with_gradient(forward, *inputs):
    """The value of `forward(*inputs)`, which returns (value, backward), for tensors (not variables) as inputs.

    backward(upstream): the gradients of the inputs, a tuple (or the gradient, for one input).
    """

    @ops.custom_gradient
    def wrapped(*inputs):
        value, backward = forward(*inputs)

        def gradient(*args, upstream=None):  # torch passes the inputs, and upstream by name; others upstream alone
            return backward(args[0] if upstream is None else upstream)

        return value, gradient

    return wrapped(*inputs)
