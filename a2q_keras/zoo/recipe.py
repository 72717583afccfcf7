"""From a float network to a trained accumulator-aware one in one call: the recipe of the papers."""

from __future__ import annotations

from a2q_keras.model.convert import convert
from a2q_keras.zoo.train import fit


def train(float_model, data, epochs=10, learning_rate=2e-3, batch_size=128, callbacks=(), **settings):
    """The accumulator-aware model that starts from a trained `float_model`, trained on `data`.

    `convert(float_model, **settings)` calibrates activations on the training inputs and projects the weights; `fit`
    trains for `epochs`, Adam, the learning rate falling along a cosine.  data: a `Dataset` or `SuperResolution`.

    The papers correct biases before they train: bias_correction=True.  It is off, because training finds the biases
    itself, and in the narrowest accumulators larger biases leave the weights less room.  To narrow the accumulators
    step by step, give the first width as acc_bits and `AccumulatorSchedule` among the callbacks.
    """
    model = convert(float_model, **{"data": data.x_train} | settings)
    fit(model, data, epochs, learning_rate, batch_size, callbacks)
    return model
