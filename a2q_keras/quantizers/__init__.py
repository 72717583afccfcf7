"""Quantizers: `a2q_bits` for plain QKeras layers."""

import keras  # noqa: F401  before the modules here, which are imported once it is there: see `a2q_keras`

from a2q_keras.lazy import resolver

__all__ = ["a2q_bits"]
__getattr__ = resolver(__name__, {"a2q_bits": "bits"})
