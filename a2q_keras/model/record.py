"""The values of tensors inside a float model on calibration data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from a2q_keras.errors import ConfigurationError

SAMPLES = 512  # calibration inputs that are used
KEPT = 2**17  # values kept of each tensor
BATCH = 64


def record(model, tensors: dict, data) -> dict[str, np.ndarray]:
    """Float values (at most KEPT, spread over the data) of symbolic `tensors` by name.

    data: an array, a list of arrays (one per model input), a dict of them by the names of the inputs, or an iterable of
    batches x or (x, y), such as a tf.data.Dataset; its first SAMPLES samples are used.  Raises ConfigurationError for
    data of another shape, of unequal lengths, that are no numbers, or NaN.
    """
    if not tensors:
        return {}
    inner = keras.Model(model.inputs, list(tensors.values()))
    found: dict[str, list[np.ndarray]] = {name: [] for name in tensors}
    share = max(KEPT * BATCH // SAMPLES, 1)
    rng = np.random.default_rng(0)
    for batch in _batches(model, data):
        outputs = inner(batch, training=False)
        for name, output in zip(tensors, outputs if isinstance(outputs, (list, tuple)) else [outputs]):
            values = keras.ops.convert_to_numpy(output).ravel()
            found[name].append(values if len(values) <= share else rng.choice(values, share))
    return {name: _finite(name, np.concatenate(parts)) for name, parts in found.items()}


def samples(model, data, count: int = SAMPLES) -> list[np.ndarray]:
    """The first `count` samples of calibration data, one float32 array per model input; see `record`.

    No more of an iterable is read than that takes.
    """
    batches = list(_batches(model, data, count))
    return [np.concatenate(parts) for parts in zip(*batches)]


def _batches(model, data, count: int = SAMPLES):
    """Lists with one array per model input, BATCH of `count` samples at a time."""
    left = count
    for arrays in _chunks(model, data):
        shapes, found = ([tuple(part.shape[1:]) for part in parts] for parts in (model.inputs, arrays))
        if found != shapes:
            raise ConfigurationError(f"data of shapes {found} does not fit the inputs of {model.name!r}, {shapes}")
        lengths = [len(array) for array in arrays]
        if len(set(lengths)) > 1:
            raise ConfigurationError(f"the inputs of {model.name!r} are given {lengths} samples; give as many of each")
        for start in range(0, min(len(arrays[0]), left), BATCH):
            yield [array[start : start + min(BATCH, left - start)].astype(np.float32) for array in arrays]
        left -= len(arrays[0])
        if left <= 0:
            return
    if left == count:
        raise ConfigurationError("data is empty; give about a hundred inputs")


def _chunks(model, data):
    """Lists with one array per model input, as the data come."""
    by_input = isinstance(data, (list, tuple)) and len(data) == len(model.inputs) and hasattr(data[0], "shape")
    if by_input or hasattr(data, "shape") or isinstance(data, Mapping):
        yield _per_input(model, data)
    elif not isinstance(data, Iterable):
        raise ConfigurationError(f"data={data!r} for {model.name!r} are no inputs; give an array or batches")
    else:
        for batch in data:
            with_labels = isinstance(batch, (tuple, list)) and (
                len(model.inputs) == 1 or isinstance(batch[0], (tuple, list, Mapping))
            )
            yield _per_input(model, batch[0] if with_labels else batch)


def _per_input(model, x) -> list[np.ndarray]:
    """Arrays of numbers for the inputs of the model, from one, a list, or a dict by name."""
    if isinstance(x, Mapping):
        names = [tensor.name for tensor in model.inputs]
        missing = [name for name in names if name not in x]
        if missing:
            raise ConfigurationError(
                f"data has no input {missing[0]!r} of {model.name!r}; its inputs are {', '.join(names)}"
            )
        x = [x[name] for name in names]
    try:
        arrays = [np.asarray(part) for part in (x if isinstance(x, (tuple, list)) else [x])]
    except ValueError as error:
        raise ConfigurationError(f"data for {model.name!r} are no array ({error}); give arrays") from error
    wrong = [array.dtype for array in arrays if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16"]
    if wrong:
        raise ConfigurationError(f"data for {model.name!r} are {wrong[0]}; give arrays of real numbers")
    return arrays


def _finite(name, values):
    if not np.isfinite(values).all():
        raise ConfigurationError(
            f"layer {name!r} makes NaN or infinity on the calibration data; clean the data or the model"
        )
    return values
