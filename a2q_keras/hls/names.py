"""Layer names that are legal where hls4ml puts them: in C++ files, and in its table of types."""

from __future__ import annotations

import re

KEYWORDS_AND_MACROS = """
    alignas alignof and and_eq asm assert auto bitand bitor bool break case catch char class co_await co_return co_yield
    compl concept const const_cast consteval constexpr constinit continue decltype default delete do double dynamic_cast
    else enum eof errno explicit export extern false final float for friend goto if infinity inline int long main
    mutable namespace nan new noexcept not not_eq null nullptr operator or or_eq override private protected public
    register reinterpret_cast requires return short signed sizeof static static_assert static_cast std struct switch
    template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile while
    xor xor_eq
"""
HLS4ML = {"input", "nnet"}
RESERVED = HLS4ML.union(KEYWORDS_AND_MACROS.split())
MATHEMATICS = re.compile(r"M_[A-Z0-9_]+")  # macros of math.h: M_PI
# names that hls4ml generates: layer3_out, config3, w3, b3, fc_accum_t, x_ap
GENERATED = re.compile(r"(layer|config|w|b)\d.*|.*_t|.*_ap", re.IGNORECASE)


def is_identifier(name: str) -> bool:
    """Whether `name` can name a C++ variable or function."""
    legal = re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) and not MATHEMATICS.fullmatch(name)
    return bool(legal) and name.lower() not in RESERVED


def identifiers(names) -> dict[str, str]:
    """A C++ identifier for each name; distinct even where letter case is ignored, as hls4ml ignores it.

    >>> identifiers(["dense", "dense/1", "Dense", "1x1", "float"])
    {'dense': 'dense', 'dense/1': 'dense_1', 'Dense': 'Dense_2', '1x1': 'n_1x1', 'float': 'n_float'}
    """
    taken: set[str] = set()
    result: dict[str, str] = {}
    for name in names:
        result[name] = _free(_legal(name), taken)
        taken.add(result[name].lower())
    return result


def _legal(name):
    legal = re.sub(r"\W", "_", name, flags=re.ASCII)
    return legal if is_identifier(legal) and not GENERATED.fullmatch(legal) else f"n_{legal.strip('_')}"


def _free(name, taken):
    count, free = 1, name
    while free.lower() in taken:
        count += 1
        free = f"{name}_{count}"
    return free
