"""Quantizers: `a2q_bits` for plain QKeras layers."""

from a2q_keras.lazy import resolver

__all__ = ["a2q_bits"]
__getattr__ = resolver(__name__, {"a2q_bits": "bits"})
