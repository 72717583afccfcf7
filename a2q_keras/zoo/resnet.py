"""Residual networks for small images (He et al., CVPR 2016, section 4.2): float, batch norm behind each convolution."""

from __future__ import annotations

import keras
from keras import layers


def resnet8(input_shape=(32, 32, 3), classes=10, width=16) -> keras.Model:
    """A stem and three stages of one block, with width, 2 width and 4 width channels."""
    return _resnet(input_shape, classes, [(width, 1), (2 * width, 1), (4 * width, 1)], "resnet8")


def resnet18(input_shape=(32, 32, 3), classes=10, width=64) -> keras.Model:
    """A stem and four stages of two blocks, with width, 2, 4 and 8 width channels: the form used for CIFAR-10."""
    return _resnet(input_shape, classes, [(width * 2**stage, 2) for stage in range(4)], "resnet18")


def _resnet(input_shape, classes, stages, name):
    image = keras.Input(input_shape, name="image")
    x = _unit(image, stages[0][0], 3, 1, "stem")
    for i, (channels, blocks) in enumerate(stages):
        for j in range(blocks):
            x = _block(x, channels, 2 if i and not j else 1, f"stage{i + 1}_block{j + 1}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(image, layers.Dense(classes, name="head")(x), name=name)


def _block(x, channels, stride, name):
    """Two convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""
    y = _unit(x, channels, 3, stride, f"{name}_a")
    y = _unit(y, channels, 3, 1, f"{name}_b", relu=False)
    if stride > 1 or x.shape[-1] != channels:
        x = _unit(x, channels, 1, stride, f"{name}_shortcut", relu=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_sum")([x, y]))


def _unit(x, channels, kernel, stride, name, relu=True):
    x = layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x
