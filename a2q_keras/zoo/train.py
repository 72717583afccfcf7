"""Train a classifier that ends in logits, or a super-resolution network: the recipe of demo, examples, benchmarks."""

from __future__ import annotations

import keras
import numpy as np


def fit(model, data, epochs, learning_rate=2e-3, batch_size=128, callbacks=()):
    """`fit_classifier` for a `Dataset`, `fit_superresolution` for a `SuperResolution`."""
    chosen = fit_classifier if hasattr(data, "classes") else fit_superresolution
    return chosen(model, data, epochs, learning_rate, batch_size, callbacks)


def score(model, data) -> dict[str, float]:
    """How good a Keras model or an integer program is on the test data: {"accuracy": share} or {"psnr": dB}."""
    outputs = model.predict(data.x_test, verbose=0) if hasattr(model, "predict") else model.run(data.x_test)
    if hasattr(data, "classes"):
        return {"accuracy": accuracy(outputs, data.y_test)}
    return {"psnr": psnr(outputs, data.y_test)}


def fit_classifier(model, data, epochs, learning_rate=2e-3, batch_size=128, callbacks=()):
    """Train with Adam, the learning rate falling to zero along a cosine; returns Keras' History."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return _fit(model, data, (loss, "accuracy"), (epochs, learning_rate, batch_size), callbacks)


def fit_superresolution(model, data, epochs, learning_rate=2e-3, batch_size=16, callbacks=()):
    """Train for least squared error, otherwise like `fit_classifier`; each epoch's PSNR in dB is in the History."""
    return _fit(model, data, ("mse", "mse"), (epochs, learning_rate, batch_size), [_Psnr(), *callbacks])


def _fit(model, data, aims, pace, callbacks):
    (loss, metric), (epochs, learning_rate, batch_size) = aims, pace
    steps = max(epochs, 1) * -(-len(data.x_train) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    model.compile(optimizer=keras.optimizers.Adam(schedule), loss=loss, metrics=[metric])
    return model.fit(
        data.x_train, data.y_train, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=list(callbacks)
    )


def accuracy(outputs, labels) -> float:
    """Share of samples whose largest output (samples, classes) is the label."""
    return float((outputs.argmax(axis=1) == labels).mean())


def psnr(outputs, targets) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(1 / mean squared error) over all pixels, outputs clipped to [0, 1]."""
    error = np.square(np.clip(np.asarray(outputs, np.float64), 0, 1) - targets).mean()
    return float(-10 * np.log10(error)) if error else np.inf


def enlarged(x, factor: int, interpolation: str = "bicubic") -> np.ndarray:
    """Pictures (samples, rows, columns, 1) enlarged without a network: the baseline of super-resolution."""
    size = x.shape[1] * factor, x.shape[2] * factor
    return keras.ops.convert_to_numpy(keras.ops.image.resize(x, size, interpolation=interpolation))


class _Psnr(keras.callbacks.Callback):
    """Adds psnr to the logs.  A metric of our own would be needed to load the trained model."""

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["psnr"] = -10 * np.log10(max(logs["mse"], 1e-30))


class EpochProgress(keras.callbacks.Callback):
    """Call `advance(text)` after every epoch, for whatever shows progress."""

    def __init__(self, advance):
        super().__init__()
        self.advance = advance

    def on_epoch_end(self, epoch, logs=None):
        self.advance("  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items() if "/" not in name))
