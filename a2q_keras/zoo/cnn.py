"""Small convolutional classifiers: float, ReLU, averages over a power of two of values, logits at the end."""

from __future__ import annotations

import keras
from keras import layers


def lenet(input_shape=(28, 28, 1), classes=10, width=6) -> keras.Model:
    """Two convolutions with max pooling and three dense layers, about the size of LeNet-5 (LeCun et al., 1998)."""
    image = keras.Input(input_shape, name="image")
    x = layers.Conv2D(width, 5, padding="same", activation="relu", name="conv_1")(image)
    x = layers.MaxPooling2D(name="pool_1")(x)
    x = layers.Conv2D(round(width * 8 / 3), 5, activation="relu", name="conv_2")(x)
    x = layers.Flatten(name="flatten")(layers.MaxPooling2D(name="pool_2")(x))
    x = layers.Dense(20 * width, activation="relu", name="dense_1")(x)
    x = layers.Dense(14 * width, activation="relu", name="dense_2")(x)
    return keras.Model(image, layers.Dense(classes, name="head")(x), name="lenet")


# Channels in units of `width` and stride of the separable blocks of MobileNetV1, table 1, for images of 32x32
# (half the strides: the stem and the first reduction keep the size).
_MOBILENET = ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *((16, 1),) * 5, (32, 2), (32, 1))


def mobilenet_v1(input_shape=(32, 32, 3), classes=10, width=32) -> keras.Model:
    """MobileNetV1 (Howard et al., 2017): depthwise and pointwise convolutions, each with batch norm and ReLU.

    width: channels of the stem; 32 is the network of the paper.
    """
    image = keras.Input(input_shape, name="image")
    x = _normed(layers.Conv2D(width, 3, padding="same", use_bias=False, name="stem"), image)
    for i, (times, stride) in enumerate(_MOBILENET, start=1):
        depthwise = {"strides": stride, "padding": "same", "use_bias": False}
        x = _normed(layers.DepthwiseConv2D(3, **depthwise, name=f"block{i}_depthwise"), x)
        x = _normed(layers.Conv2D(times * width, 1, use_bias=False, name=f"block{i}_pointwise"), x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(image, layers.Dense(classes, name="head")(x), name="mobilenet_v1")


def _normed(layer, x):
    x = layers.BatchNormalization(name=f"{layer.name}_bn")(layer(x))
    return layers.ReLU(name=f"{layer.name}_relu")(x)
