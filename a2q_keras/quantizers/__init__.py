"""Quantizers.  `a2q_bits` resolves on first use, so that importing this package does not start Keras."""

from importlib import import_module

__all__ = ["a2q_bits"]


def __getattr__(name):
    if name == "a2q_bits":
        return import_module("a2q_keras.quantizers.bits").a2q_bits
    raise AttributeError(f"module 'a2q_keras.quantizers' has no attribute {name!r}; it has {', '.join(__all__)}")
