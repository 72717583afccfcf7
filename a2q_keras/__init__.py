"""Neural networks for FPGAs whose accumulators are narrow and cannot overflow.

Names resolve on first use, so that importing the package starts neither Keras nor TensorFlow.  Once Keras is imported,
before or after, our layers are registered with it: saved models load without custom_objects.
"""

import sys
from importlib import import_module
from types import ModuleType

import wrapt

from a2q_keras.lazy import resolver

__version__ = "0.1.0"

_WHERE = {
    "A2QActivation": "layers.activation",
    "A2QConv1D": "layers.conv",
    "A2QConv2D": "layers.conv",
    "A2QConv2DBatchnorm": "layers.batchnorm",
    "A2QDense": "layers.dense",
    "A2QDenseBatchnorm": "layers.batchnorm",
    "A2QDepthwiseConv1D": "layers.conv",
    "A2QDepthwiseConv2D": "layers.conv",
    "A2QDepthwiseConv2DBatchnorm": "layers.batchnorm",
    "A2QSeparableConv2D": "layers.separable",
    "convert": "model.convert",
    "correct_bias": "model.bias_correction",
    "export_project": "pipeline",
    "firmware_types": "pipeline",
    "cosim": "pipeline",
    "cosim_many": "pipeline",
    "certify": "pipeline",
    "integer_model": "pipeline",
    "load_integer_model": "pipeline",
    "load_model": "pipeline",
    "print_accumulator_stats": "pipeline",
    "print_qstats": "model.to_qkeras",
    "to_qkeras": "model.to_qkeras",
    "polish": "model.polish",
    "quantize": "pipeline",
    "read_resources": "pipeline",
    "resources": "pipeline",
    "to_hls": "pipeline",
    "to_rtl": "pipeline",
    "Certificate": "integer.certificate",
    "IntegerProgram": "integer.graph",
    "A2QError": "errors",
    "AccumulatorOverflowError": "errors",
}
_MODULES = ("callbacks", "constraints", "data", "errors", "numerics", "quantizers", "zoo")

__all__ = sorted([*_WHERE, *_MODULES])


__getattr__ = resolver(__name__, _WHERE | dict(zip(_MODULES, _MODULES)))


class _Package(ModuleType):
    """Keeps a public function its name where a subpackage is called the same (`cosim`).

    Importing a subpackage sets it as an attribute here; `a2q_keras.cosim` must stay the function.  The subpackage is
    reached by `from a2q_keras.cosim import ...`.
    """

    def __setattr__(self, name, value):
        if not (name in _WHERE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


@wrapt.when_imported("qkeras")
def _register(module):
    import_module("a2q_keras.registered")


@wrapt.when_imported("keras")
def _register_unless_qkeras_will(module):
    if "qkeras" not in sys.modules:
        _register(module)


def __dir__():
    return sorted([*globals(), *__all__])
