"""Reference networks, and how they are trained: `networks.build(name)`, `recipe.train(...)`."""

from a2q_keras.lazy import resolver

__all__ = ["cnn", "mlp", "networks", "recipe", "resnet", "superresolution", "train"]
__getattr__ = resolver(__name__, dict(zip(__all__, __all__)))
