"""Fixed-point formats: how an integer code stands for a real value.

value = code * 2**-frac; the codes of a format are the integers lo..hi.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from a2q_keras.errors import ConfigurationError


@dataclass(frozen=True)
class FixedPoint:
    """A fixed-point format of `bits` bits, `frac` of them behind the binary point.

    `frac` may be negative or exceed `bits`, as in `ap_fixed`.  With `symmetric` the most negative code is left out,
    so that lo = -hi (QKeras `symmetric=1`, HLS `AP_SAT_SYM`).

    >>> FixedPoint(4, 2, signed=True).lo, FixedPoint(4, 2, signed=True).hi
    (-8, 7)
    >>> str(FixedPoint(4, 2, signed=False))
    'ufixed<4,2>'
    """

    bits: int
    frac: int
    signed: bool
    symmetric: bool = False

    def __post_init__(self):
        if self.bits < 1 or (self.signed and self.symmetric and self.bits < 2):
            raise ConfigurationError(f"a fixed-point format of {self.bits} bits has no codes; give it more bits")

    @property
    def lo(self) -> int:
        """The smallest code."""
        return (-(2 ** (self.bits - 1)) + self.symmetric) if self.signed else 0

    @property
    def hi(self) -> int:
        """The largest code."""
        return 2 ** (self.bits - self.signed) - 1

    @property
    def integer(self) -> int:
        """Bits before the binary point, sign included, as `ap_fixed<bits, integer>` counts them."""
        return self.bits - self.frac

    @property
    def step(self) -> float:
        """The value of code 1."""
        return 2.0**-self.frac

    def quantize(self, values) -> np.ndarray:
        """int64 codes nearest to `values`, ties to even, saturated (AP_RND_CONV, AP_SAT).

        Raises ConfigurationError where a value is NaN, which has no code, and for a format whose codes leave int64.
        """
        if self.bits - self.signed > 63:
            raise ConfigurationError(f"the codes of {self} do not fit 64 bits; use at most 63 bits, 64 if signed")
        scaled = np.asarray(values, np.float64) * 2.0**self.frac
        if np.isnan(scaled).any():
            raise ConfigurationError("an input value is NaN and has no fixed-point code; clean the data first")
        codes = np.rint(scaled)
        # beyond 53 bits lo and hi may lie between two floats: the floats within are clipped, the ends set as integers
        inside = np.clip(codes, self.lo, np.nextafter(self.hi + 1.0, 0)).astype(np.int64)
        return np.where(codes < self.hi, np.maximum(inside, self.lo), self.hi)

    def values(self, codes) -> np.ndarray:
        """float64 values of integer `codes`."""
        return np.asarray(codes, np.float64) * self.step

    def __str__(self):
        return f"{'' if self.signed else 'u'}fixed<{self.bits},{self.integer}>"


def format_for(lo: int, hi: int, frac: int) -> FixedPoint:
    """The smallest format with `frac` fractional bits whose codes include lo..hi, lo <= 0 <= hi.

    >>> str(format_for(0, 30, 0)), str(format_for(-8, 7, 2))
    ('ufixed<5,5>', 'fixed<4,2>')
    """
    if lo >= 0:
        return FixedPoint(max(int(hi).bit_length(), 1), frac, signed=False)
    bits = max(int(hi).bit_length(), int(-lo - 1).bit_length()) + 1
    symmetric = bits > 1 and lo > -(2 ** (bits - 1))
    return FixedPoint(bits, frac, signed=True, symmetric=symmetric)


def sum_format(*formats: FixedPoint) -> FixedPoint:
    """The smallest format that holds every sum of one value of each format, exactly.

    >>> str(sum_format(FixedPoint(4, 0, signed=False), FixedPoint(4, 2, signed=True)))
    'fixed<8,6>'
    """
    frac = max(format.frac for format in formats)
    lo = sum(format.lo << (frac - format.frac) for format in formats)
    hi = sum(format.hi << (frac - format.frac) for format in formats)
    return format_for(lo, hi, frac)


def union_format(*formats: FixedPoint) -> FixedPoint:
    """The smallest format that holds every value of each of the formats, exactly: that of a concatenation.

    >>> str(union_format(FixedPoint(4, 0, signed=False), FixedPoint(4, 2, signed=True)))
    'fixed<7,5>'
    """
    frac = max(format.frac for format in formats)
    lo = min(format.lo << (frac - format.frac) for format in formats)
    hi = max(format.hi << (frac - format.frac) for format in formats)
    return format_for(lo, hi, frac)


def mean_format(format: FixedPoint, count: int) -> FixedPoint:
    """The smallest format that holds every mean of `count` values of a format, exactly: the sum with a finer step.

    Raises ConfigurationError where `count` is no power of two, because no fixed-point format holds such means.

    >>> str(mean_format(FixedPoint(4, 2, signed=False), 4))
    'ufixed<6,2>'
    """
    if count < 1 or count & (count - 1):
        raise ConfigurationError(
            f"the mean of {count} values is no fixed-point number; use windows of 1, 2, 4, 8, ... values"
        )
    return format_for(format.lo * count, format.hi * count, format.frac + count.bit_length() - 1)
