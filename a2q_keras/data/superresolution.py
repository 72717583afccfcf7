"""Pairs of pictures for super-resolution: patches of luminance, and the same at a lower resolution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a2q_keras.data import tfds
from a2q_keras.errors import ConfigurationError, FileError

PHOTOGRAPHS = "photographs"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, of red, green and blue


@dataclass(frozen=True, eq=False)
class SuperResolution:
    """Luminance in [0, 1), float32: x low (samples, size, size, 1), y high resolution (samples, f size, f size, 1)."""

    name: str
    factor: int
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def superresolution(name: str = PHOTOGRAPHS, factor: int = 3, size: int = 16, data_dir=None) -> SuperResolution:
    """Patches of size * factor pixels side by side, and their means over factor x factor pixels, for training and test.

    name: "photographs" (the two that scikit-learn brings along; the last fifth of their columns is for tests); a folder
    `name` in `data_dir` with folders train and test of picture files, as BSD300 comes; `name`.npz there, with arrays
    uint8 (rows, columns[, 3]) or (pictures, rows, columns[, 3]) whose names begin with train and test; or else a name
    of tensorflow-datasets.  Raises FileError where there is nothing of it, ConfigurationError where no patch fits.
    """
    if not (isinstance(factor, int) and isinstance(size, int) and factor >= 2 and size >= 1):
        raise ConfigurationError(
            f"factor={factor}, size={size} is not allowed; give whole numbers, a factor from 2 and a size from 1"
        )
    train, test = _photographs() if name == PHOTOGRAPHS else _pictures(name, data_dir)
    parts = [part for pictures in (train, test) for part in _pairs(name, pictures, factor, size)]
    return SuperResolution(name, factor, *parts)


def luminance(picture: np.ndarray) -> np.ndarray:
    """uint8 (rows, columns), (rows, columns, 1) or (..., 3) as float32 (rows, columns) in [0, 1)."""
    grey = picture[..., :3] @ LUMINANCE if picture.ndim == 3 and picture.shape[-1] >= 3 else picture
    return (grey.reshape(picture.shape[:2]) / 256).astype(np.float32)


def smaller(patches: np.ndarray, factor: int) -> np.ndarray:
    """(samples, rows, columns, 1) as means over factor x factor pixels."""
    samples, rows, columns, _ = patches.shape
    return patches.reshape(samples, rows // factor, factor, columns // factor, factor, 1).mean(axis=(2, 4))


def _pairs(name, pictures: Iterable[np.ndarray], factor: int, size: int):
    side = factor * size
    tiles = [tile for picture in pictures for tile in _tiles(luminance(picture), side)]
    if not tiles:
        raise ConfigurationError(f"data set {name!r}: no patch of {side} x {side} pixels fits; give a smaller size")
    high = np.stack(tiles)[..., None]
    return smaller(high, factor), high


def _tiles(picture: np.ndarray, side: int):
    for row in range(0, picture.shape[0] - side + 1, side):
        for column in range(0, picture.shape[1] - side + 1, side):
            yield picture[row : row + side, column : column + side]


def _photographs():
    from sklearn.datasets import load_sample_images

    try:
        images = load_sample_images().images
    except ImportError as error:
        raise FileError(f"the photographs of scikit-learn need pillow to be read; {tfds.INSTALL}") from error
    edges = [image.shape[1] * 4 // 5 for image in images]
    pairs = [(image[:, :edge], image[:, edge:]) for image, edge in zip(images, edges)]
    return tuple(zip(*pairs))


def _pictures(name: str, data_dir):
    """(training, test) pictures from a folder, a file or tensorflow-datasets."""
    folder = Path(data_dir or ".") / name
    path = folder.parent / f"{name}.npz"
    if all((folder / part).is_dir() for part in ("train", "test")):
        return [_read(folder / part) for part in ("train", "test")]
    if path.is_file():
        return _from_npz(path)
    if tfds.available():
        return tfds.pictures(name, data_dir)
    raise FileError(
        f"{folder}: no folders train and test of pictures here, and no {path.name}; give the folder above, use "
        f"{PHOTOGRAPHS}, or install tensorflow-datasets ({tfds.INSTALL}) and give one of its names"
    )


def _read(folder: Path) -> list[np.ndarray]:
    try:
        from PIL import Image
    except ImportError as error:
        raise FileError(f"{folder}: reading pictures needs pillow; {tfds.INSTALL}") from error
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return [_decoded(Image, path) for path in paths]


def _decoded(image_module, path: Path) -> np.ndarray:
    try:
        with image_module.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:
        raise FileError(f"{path}: cannot be read as a picture ({error}); remove or replace it") from error


def _from_npz(path: Path):
    try:
        with np.load(path, allow_pickle=False) as arrays:
            parts = [[arrays[key] for key in arrays.files if key.startswith(part)] for part in ("train", "test")]
    except Exception as error:
        raise FileError(f"{path}: cannot be read as pictures ({error}); write it again with numpy.savez") from error
    return [[picture for array in part for picture in _stack(path, array)] for part in parts]


def _stack(path: Path, array: np.ndarray) -> np.ndarray:
    """(pictures, rows, columns[, channels]) of one picture or many."""
    if array.dtype != np.uint8 or array.ndim not in (2, 3, 4):
        raise FileError(f"{path}: holds {array.dtype} {array.shape}; pictures are uint8 (rows, columns[, 3]), or many")
    many = array.ndim == 4 or (array.ndim == 3 and array.shape[-1] not in (1, 3))
    return array if many else array[None]
