"""The graph of layers inside a Keras model."""

from __future__ import annotations

import keras

from a2q_keras.errors import ConfigurationError


def functional(model):
    """The functional model with the layers of a Sequential or functional one.

    Raises ConfigurationError for anything else, and for a model that is not built.
    """
    graph = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if not isinstance(graph, keras.Model) or not getattr(graph, "outputs", None):
        raise ConfigurationError(
            f"{getattr(model, 'name', model)!r} is not a built Sequential or functional Keras model; "
            "start it with keras.Input(shape), or call it on data once"
        )
    return graph
