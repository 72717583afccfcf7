"""Data: classes by scikit-learn, .npz files or tensorflow-datasets, and pairs of pictures for super-resolution."""

from a2q_keras.data.dataset import Dataset, digits, load
from a2q_keras.data.superresolution import SuperResolution, superresolution

__all__ = ["Dataset", "SuperResolution", "digits", "load", "superresolution"]
