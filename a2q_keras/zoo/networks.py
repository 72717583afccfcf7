"""The reference networks by name: float Keras models, to be trained and then given to `a2q_keras.convert`."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from numbers import Real

import keras

from a2q_keras.errors import ConfigurationError
from a2q_keras.zoo import cnn, mlp, resnet, superresolution


def _mlp(features, classes, hidden):
    """A builder of an MLP for tables; width stretches the hidden layers, 1 is the reference."""

    def build(input_shape=(features,), classes=classes, width=1):
        widths = tuple(max(round(width * units), 1) for units in hidden)
        return mlp.float_mlp(input_shape[0], (*widths, classes))

    return build


NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "jet_tagger": _mlp(16, 5, (64, 32, 32)),  # Duarte et al., JINST 2018, section 2
    "magic_gamma": _mlp(10, 2, (64, 32)),
    "dry_bean": _mlp(16, 7, (64, 32)),
    "lenet": cnn.lenet,
    "mobilenet_v1": cnn.mobilenet_v1,
    "resnet8": resnet.resnet8,
    "resnet18": resnet.resnet18,
    "espcn": superresolution.espcn,
    "unet": superresolution.unet,
}


TABLES = ("jet_tagger", "magic_gamma", "dry_bean")
SUPERRESOLUTION = ("espcn", "unet")


def kind(name: str) -> str:
    """What a network reads: "table" (columns of numbers), "picture" or "superresolution" (pictures of low resolution).

    Raises ConfigurationError for an unknown name.
    """
    _check(name)
    return "table" if name in TABLES else "superresolution" if name in SUPERRESOLUTION else "picture"


def _check(name: str):
    if name not in NETWORKS:
        raise ConfigurationError(f"no network {name!r} in the zoo; it has {', '.join(NETWORKS)}")


def build(name: str, **arguments) -> keras.Model:
    """The untrained float network `name`; arguments: input_shape, width, and classes, or factor for super-resolution.

    width: of an MLP for tables what its hidden layers are stretched by, of others the filters of the first layer.

    Raises ConfigurationError for an unknown name or argument, and for inputs too small for the network.
    """
    _check(name)
    if "width" in arguments:
        arguments["width"] = _width(name, arguments["width"])
    try:
        return NETWORKS[name](**arguments)
    except (TypeError, ValueError, IndexError) as error:
        raise ConfigurationError(
            f"network {name!r}: {_first_line(error)}; allowed are input_shape, width, classes, factor"
        ) from error


def _width(name: str, width):
    """`width`, whole where it counts filters."""
    stretches = name in TABLES
    if not isinstance(width, Real) or not 0 < width < inf or not (stretches or width == int(width)):
        kind = "positive number" if stretches else "positive whole number"
        raise ConfigurationError(f"network {name!r}: width={width!r} is not allowed; give a {kind}")
    return width if stretches else int(width)


def _first_line(error) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
