"""The public names, and that importing the package is light."""

import subprocess
import sys

import pytest

import a2q_keras


def test_the_public_names():
    assert a2q_keras.__all__ == [
        "A2QActivation",
        "A2QConv1D",
        "A2QConv2D",
        "A2QConv2DBatchnorm",
        "A2QDense",
        "A2QDenseBatchnorm",
        "A2QDepthwiseConv1D",
        "A2QDepthwiseConv2D",
        "A2QDepthwiseConv2DBatchnorm",
        "A2QError",
        "A2QSeparableConv2D",
        "AccumulatorOverflowError",
        "Certificate",
        "IntegerProgram",
        "callbacks",
        "certify",
        "constraints",
        "convert",
        "correct_bias",
        "cosim",
        "cosim_many",
        "data",
        "errors",
        "export_project",
        "firmware_types",
        "integer_model",
        "load_integer_model",
        "load_model",
        "numerics",
        "polish",
        "print_accumulator_stats",
        "print_qstats",
        "quantize",
        "quantizers",
        "read_resources",
        "resources",
        "to_hls",
        "to_qkeras",
        "to_rtl",
        "zoo",
    ]


@pytest.mark.parametrize("name", a2q_keras.__all__)
def test_every_public_name_resolves(name):
    assert getattr(a2q_keras, name) is not None


def test_cosim_stays_the_function_when_its_package_is_imported():
    from a2q_keras.cosim import compare

    assert callable(a2q_keras.cosim) and compare.__name__ == "a2q_keras.cosim.compare"


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match="has no attribute 'A2QDenze'; it has A2QActivation"):
        a2q_keras.A2QDenze  # noqa: B018


def test_importing_the_package_starts_neither_keras_nor_tensorflow():
    code = "import sys, a2q_keras; print([m for m in ('keras', 'tensorflow', 'qkeras', 'hls4ml') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
