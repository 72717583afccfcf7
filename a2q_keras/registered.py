"""All that saved models may hold: importing this registers QKeras' classes and ours with Keras."""

import qkeras

from a2q_keras import constraints
from a2q_keras.layers import activation, batchnorm, conv, dense, separable
from a2q_keras.quantizers import bits

__all__ = ["activation", "batchnorm", "bits", "constraints", "conv", "dense", "qkeras", "separable"]
