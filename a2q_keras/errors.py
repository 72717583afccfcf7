"""Every error a user can meet, in one hierarchy.

    A2QError
    ├── ConfigurationError        an argument outside what is allowed (also a ValueError)
    │   └── InputRangeError       a layer does not know the range of its inputs
    ├── UnsupportedLayerError     a Keras layer or quantizer that has no exact integer meaning here
    ├── WeightError               NaN or infinite weights, weights of the wrong shape
    ├── AccumulatorOverflowError  an accumulator of the asked width is not proven safe
    ├── FileError                 a file that is missing, truncated, altered or of another version
    ├── ToolError
    │   ├── ToolMissingError      a program (g++, ...) is not on PATH
    │   └── ToolFailedError       a program ran and failed, or did not finish in time
    └── ConversionError           the finished firmware graph is not what was asked for

Each message names the layer or file, says what was found and what is allowed, and ends with the next step.
"""


class A2QError(Exception):
    """Base of all errors raised on purpose by a2q_keras."""


class ConfigurationError(A2QError, ValueError):
    """An argument has a value that is not allowed."""


class InputRangeError(ConfigurationError):
    """The range of a layer's inputs is unknown, so no bound on its accumulator exists."""


class UnsupportedLayerError(A2QError):
    """A layer or quantizer has no exact integer meaning here."""


class WeightError(A2QError):
    """Weights are NaN, infinite or of the wrong shape."""


class AccumulatorOverflowError(A2QError):
    """An accumulator of the asked width can overflow for some input."""


class FileError(A2QError):
    """A file is missing, truncated, altered or of another version."""


class ToolError(A2QError):
    """A program outside Python gave no result."""


class ToolMissingError(ToolError):
    """A program is not installed or not on PATH."""


class ToolFailedError(ToolError):
    """A program failed or did not finish in time."""


class ConversionError(A2QError):
    """The finished firmware graph differs from the integer program."""
