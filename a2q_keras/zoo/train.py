"""Train a classifier that ends in logits: the recipe of the demo and the benchmarks."""

from __future__ import annotations

import keras


def fit_classifier(model, data, epochs, learning_rate=2e-3, batch_size=128, callbacks=()):
    """Train with Adam, the learning rate falling to zero along a cosine; returns Keras' History."""
    steps = epochs * -(-len(data.x_train) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(schedule), loss=loss, metrics=["accuracy"])
    return model.fit(
        data.x_train, data.y_train, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=list(callbacks)
    )


def accuracy(outputs, labels) -> float:
    """Share of samples whose largest output (samples, classes) is the label."""
    return float((outputs.argmax(axis=1) == labels).mean())


class EpochProgress(keras.callbacks.Callback):
    """Call `advance(text)` after every epoch, for whatever shows progress."""

    def __init__(self, advance):
        super().__init__()
        self.advance = advance

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        self.advance(f"loss {logs.get('loss', float('nan')):.4f}  accuracy {logs.get('accuracy', float('nan')):.4f}")
