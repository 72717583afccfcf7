"""What the codes of a QKeras activation quantizer are: its fixed-point format, or a clear refusal."""

from __future__ import annotations

from numbers import Integral

from a2q_keras.errors import UnsupportedLayerError
from a2q_keras.numerics.formats import FixedPoint

ALLOWED = "allowed are quantized_bits(bits, integer, alpha=1) with 2 bits or more and quantized_relu(bits, integer)"


def format_of(quantizer, where: str = "activation") -> FixedPoint:
    """The format whose values a QKeras quantizer produces; rounding is half to even, overflow saturates.

    quantized_bits: signed (or unsigned with keep_negative=0), frac = bits - keep_negative - integer;
    quantized_relu: unsigned, frac = bits - integer.
    Raises UnsupportedLayerError, naming `where`, for any quantizer or option with other arithmetic.
    """
    name = type(quantizer).__name__
    reader = _READERS.get(name)
    if reader is None:
        raise UnsupportedLayerError(f"{where}: the quantizer {name} has no exact integer format here; {ALLOWED}")
    wrong = [f"{key}={value!r}" for key, value, allowed in _options(quantizer) if value not in allowed]
    if wrong:
        raise UnsupportedLayerError(
            f"{where}: {name} with {', '.join(wrong)} has no exact integer format here; {ALLOWED}"
        )
    parts = [f"{key}={getattr(quantizer, key)}" for key in ("bits", "integer") if getattr(quantizer, key) % 1]
    if parts:
        raise UnsupportedLayerError(f"{where}: {name} with {', '.join(parts)} is no fixed point; give whole numbers")
    if name == "quantized_relu" and isinstance(quantizer.integer, Integral) and quantizer.integer < 0:
        raise UnsupportedLayerError(
            f"{where}: QKeras cannot raise 2 to an int below 0, here integer={quantizer.integer} of quantized_relu; "
            f"write integer={quantizer.integer}.0"
        )
    return reader(quantizer)


def _options(quantizer):
    """(name, found, allowed) of every option that would change the arithmetic, where the quantizer has it."""
    allowed = {
        "alpha": (None, 1, 1.0),
        "use_stochastic_rounding": (False, 0),
        "qnoise_factor": (1, 1.0),
        "use_sigmoid": (0, False),
        "negative_slope": (0, 0.0),
        "is_quantized_clip": (True, 1),
    }
    return [
        (key, _plain(getattr(quantizer, key)), values) for key, values in allowed.items() if hasattr(quantizer, key)
    ]


def _plain(value):
    return value if value is None or isinstance(value, (str, bool, int)) else float(value)


def _read_bits(quantizer) -> FixedPoint:
    signed = bool(quantizer.keep_negative)
    if quantizer.bits - signed < 1:
        raise UnsupportedLayerError(f"quantized_bits with 1 bit is binary (-1, +1), not fixed point; {ALLOWED}")
    frac = int(quantizer.bits) - signed - int(quantizer.integer)
    return FixedPoint(int(quantizer.bits), frac, signed, symmetric=signed and bool(quantizer.symmetric))


def _read_relu(quantizer) -> FixedPoint:
    return FixedPoint(int(quantizer.bits), int(quantizer.bits) - int(quantizer.integer), signed=False)


_READERS = {"quantized_bits": _read_bits, "quantized_relu": _read_relu}
