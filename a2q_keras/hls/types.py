"""Fixed-point formats in hls4ml's notation.

A type is a string such as `fixed<8,3,RND_CONV,SAT,0>`, exactly what hls4ml parses and what `str()` of its precision
objects gives back, so a plan can be printed and a finished graph compared with it by equality.
"""

from __future__ import annotations

from a2q_keras.numerics.formats import FixedPoint


def plain(format: FixedPoint) -> str:
    """The type of `format` that truncates and wraps: weights, biases, accumulators and what leaves them.

    Rounding or saturating accumulators are expensive in hardware, and the certificate makes them pointless.

    >>> plain(FixedPoint(12, 8, signed=True))
    'fixed<12,4,TRN,WRAP,0>'
    """
    return _type(format, "TRN", "WRAP")


def saturating(format: FixedPoint) -> str:
    """The type of `format` that rounds half to even and saturates: inputs and requantizations.

    >>> saturating(FixedPoint(4, 6, signed=False))
    'ufixed<4,-2,RND_CONV,SAT,0>'
    >>> saturating(FixedPoint(4, 2, signed=True, symmetric=True))
    'fixed<4,2,RND_CONV,SAT_SYM,0>'
    """
    # AP_SAT_SYM of an unsigned type is AP_SAT: there is no negative code to leave out
    return _type(format, "RND_CONV", "SAT_SYM" if format.symmetric and format.signed else "SAT")


def _type(format, rounding, overflow):
    return f"{'' if format.signed else 'u'}fixed<{format.bits},{format.integer},{rounding},{overflow},0>"
