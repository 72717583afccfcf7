"""The arithmetic in NumPy: formats, bounds, projections, and the search for codes."""

from a2q_keras.lazy import resolver

__all__ = ["axe", "bounds", "fit", "formats", "projection", "quantize", "tiles"]
__getattr__ = resolver(__name__, dict(zip(__all__, __all__)))
