"""Super-resolution networks: float; the resolution grows by nearest-neighbour resizing and a convolution."""

from __future__ import annotations

import keras
from keras import layers


def espcn(input_shape=(32, 32, 1), factor=3, width=64) -> keras.Model:
    """ESPCN (Shi et al., CVPR 2016) with nearest-neighbour resizing and a convolution in place of the pixel shuffle."""
    image = keras.Input(input_shape, name="image")
    x = _conv(image, width, 5, "conv_1")
    x = _conv(x, width, 3, "conv_2")
    x = _conv(x, max(width // 2, 1), 3, "conv_3")
    x = layers.UpSampling2D(factor, interpolation="nearest", name="resize")(x)
    x = layers.Conv2D(input_shape[-1], 3, padding="same", name="head")(x)
    return keras.Model(image, x, name="espcn")


def unet(input_shape=(32, 32, 1), factor=2, width=16) -> keras.Model:
    """A U-Net (Ronneberger et al., 2015) of two levels on the image enlarged by `factor`; it predicts the residual.

    The sides of the image times `factor` must be multiples of 4.
    """
    image = keras.Input(input_shape, name="image")
    enlarged = layers.UpSampling2D(factor, interpolation="nearest", name="enlarge")(image)
    fine = _conv(enlarged, width, 3, "down_1")
    middle = _conv(layers.MaxPooling2D(name="pool_1")(fine), 2 * width, 3, "down_2")
    coarse = _conv(layers.MaxPooling2D(name="pool_2")(middle), 4 * width, 3, "bottom")
    x = _joined(coarse, middle, 2 * width, "up_2")
    x = _joined(x, fine, width, "up_1")
    x = layers.Conv2D(input_shape[-1], 3, padding="same", name="head")(x)
    return keras.Model(image, layers.Add(name="residual")([x, enlarged]), name="unet")


def _joined(below, beside, channels, name):
    x = layers.UpSampling2D(interpolation="nearest", name=f"{name}_resize")(below)
    x = layers.Concatenate(name=f"{name}_join")([x, beside])
    return _conv(x, channels, 3, name)


def _conv(x, channels, kernel, name):
    return layers.Conv2D(channels, kernel, padding="same", activation="relu", name=name)(x)
