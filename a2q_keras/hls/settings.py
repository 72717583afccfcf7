"""How firmware is built: the record of what the user asks for, and the strategy and reuse factor that each layer gets.

hls4ml accepts strategies and reuse factors with which some layers compute wrong sums.  Here a layer gets the nearest
setting that is exact, and a notice says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf
from numbers import Real
from typing import NamedTuple

from a2q_keras.errors import ConfigurationError
from a2q_keras.hls.names import is_identifier

STRATEGIES = ("Latency", "Resource", "resource_unrolled", "distributed_arithmetic")
IO_TYPES = ("io_parallel", "io_stream")
OTHERS = "*"  # in a dict by layer name: all layers that it does not name


class Backend(NamedTuple):
    """What a backend of hls4ml computes exactly: strategies, averages, depthwise convolutions; ops that it has not or
    computes wrong, in io_stream by the number of axes, too; the fewest bits that it rounds and saturates to; whether
    every layer gets Resource."""

    strategies: tuple[str, ...]
    averages: bool = True
    depthwise: bool = True
    missing: tuple[str, ...] = ()
    missing_in_streams: tuple[tuple[str, int], ...] = ()
    least_bits: int = 1
    most_reused: float = inf  # weights of a convolution with a reuse factor above 1: its writer fails with more
    part: str = ""  # in place of the default part, which is another vendor's
    only_resource: bool = False
    simulated: bool = True  # whether g++ compiles its C simulation


# Quartus and Catapult add up averages in the type of the input, their depthwise convolutions are wrong or missing, and
# hls4ml writes their types of one bit with two
BACKENDS = {
    "Vitis": Backend(STRATEGIES),
    "Vivado": Backend(STRATEGIES),
    "Quartus": Backend(
        ("Latency", "Resource"),
        False,
        False,
        ("Crop",),
        (("Transpose", 3),),
        least_bits=2,
        most_reused=2048,
        only_resource=True,
    ),
    "Catapult": Backend(
        ("Latency", "Resource"),
        False,
        False,
        ("Crop",),
        (("Transpose", 2), ("Transpose", 3), ("Concatenate", 1)),
        least_bits=2,
    ),
    # nothing of it was run: what is doubtful in its kin Quartus and Catapult is not trusted here either
    "oneAPI": Backend(
        ("Latency", "Resource"),
        False,
        False,
        ("Crop",),
        (("Transpose", 2), ("Transpose", 3), ("Concatenate", 1)),
        least_bits=2,
        part="Agilex7",
        only_resource=True,
        simulated=False,
    ),
}


@dataclass(frozen=True)
class HlsConfig:
    """How hls4ml builds the firmware; the names are hls4ml's.

    strategy, reuse_factor: for all layers, or a dict by layer name ("*": the layers not named).  output_dir: None takes
    a fresh temporary directory.  trace: firmware reports every layer in C simulation.  options: further arguments of
    hls4ml's `create_config`, such as `clock_uncertainty` or `namespace`.  layer_options: further hls4ml settings by
    layer name, such as {"conv": {"ParallelizationFactor": 4}}; types, strategy and reuse factor are not among them.

    Raises ConfigurationError for what has not been shown to be exact.
    """

    backend: str = "Vitis"
    io_type: str = "io_parallel"
    strategy: str | Mapping[str, str] = "Latency"
    reuse_factor: int | Mapping[str, int] = 1
    part: str = "xcvu13p-flga2577-2-e"
    clock_period: float = 5
    output_dir: str | None = None
    project_name: str = "myproject"
    trace: bool = False
    options: Mapping[str, object] = field(default_factory=dict)
    layer_options: Mapping[str, Mapping] = field(default_factory=dict)

    def __post_init__(self):
        _allow("backend", [self.backend], BACKENDS)
        _allow("io_type", [self.io_type], IO_TYPES)
        _allow(f"strategy of {self.backend}", _each(self.strategy), BACKENDS[self.backend].strategies)
        for factor in _each(self.reuse_factor):
            if type(factor) is not int or factor < 1:
                raise ConfigurationError(f"reuse_factor is {factor!r}; give an integer of at least 1")
        if not isinstance(self.clock_period, Real) or not 0 < self.clock_period < inf:
            raise ConfigurationError(f"clock_period is {self.clock_period!r}; give nanoseconds above 0, such as 5")
        if not isinstance(self.part, str) or not re.fullmatch(r"[\w.-]+", self.part):
            raise ConfigurationError(f"part is {self.part!r}; give a name such as {HlsConfig.part!r}")
        if not is_identifier(self.project_name):
            raise ConfigurationError(f"project_name is {self.project_name!r}; give a C++ name such as 'myproject'")
        _check_layer_options(self.layer_options)

    @classmethod
    def of(cls, **settings) -> HlsConfig:
        """The config with these settings; what it has no field for are options."""
        own = {entry.name for entry in fields(cls)} - {"options"}
        options = {**settings.pop("options", {}), **{key: settings[key] for key in settings.keys() - own}}
        return cls(**{key: settings[key] for key in settings.keys() & own}, options=options)

    @property
    def parallel(self) -> bool:
        """Whether all values of a tensor are there at once."""
        return self.io_type == "io_parallel"

    @property
    def traceable(self) -> bool:
        """Whether C simulation can report layers: hls4ml's Quartus backend in io_stream reports the wrong streams."""
        return self.parallel or self.backend != "Quartus"

    def only(self, names) -> HlsConfig:
        """The same for a program that has only the layers `names`."""
        kept = {name: options for name, options in self.layer_options.items() if name in names}
        strategy, factor = (_only(part, names) for part in (self.strategy, self.reuse_factor))
        return replace(self, strategy=strategy, reuse_factor=factor, layer_options=kept)

    def named_layers(self) -> set[str]:
        """The layers that a setting names."""
        by_name = [part for part in (self.strategy, self.reuse_factor) if isinstance(part, Mapping)]
        return {name for part in (*by_name, self.layer_options) for name in part} - {OTHERS}


def _only(setting, names):
    if not isinstance(setting, Mapping):
        return setting
    return {name: value for name, value in setting.items() if name in names or name == OTHERS}


def _each(setting) -> list:
    return list(setting.values()) if isinstance(setting, Mapping) else [setting]


def _allow(key: str, found, allowed):
    for value in found:
        if value not in allowed:
            raise ConfigurationError(f"{key} is {value!r}; supported are {', '.join(allowed)}")


def _check_layer_options(options):
    for name, settings in options.items():
        ours = {"Precision", "Strategy", "ReuseFactor", "Trace"} & set(settings)
        if ours:
            raise ConfigurationError(
                f"layer_options of {name!r} set {', '.join(sorted(ours))}; types follow from the integer program, "
                "strategy and reuse_factor are arguments of their own"
            )


class Product(NamedTuple):
    """The matrix product of a layer: K inputs, C outputs, whether it is repeated over places (a convolution), and
    whether each output reads one channel only (depthwise)."""

    inputs: int
    outputs: int
    places: bool = False
    pointwise: bool = False
    depthwise: bool = False


class Setting(NamedTuple):
    """What a layer gets, and why it is not what was asked for ("" if it is)."""

    strategy: str
    reuse_factor: int
    notice: str = ""


def setting(config: HlsConfig, layer: str, product: Product | None) -> Setting:
    """The strategy and reuse factor of a layer; product: None for a layer without multiplications."""
    strategy, factor = _asked(config.strategy, layer, "Latency"), _asked(config.reuse_factor, layer, 1)
    if product is None:
        return Setting("Latency", factor)
    usable, reason = _strategy(config, strategy, factor, product)
    legal = _legal(config, usable, product)
    nearest = min(legal, key=lambda value: (abs(value - factor), value)) if legal else factor
    if usable != strategy:
        notice = f"layer {layer!r} gets strategy {usable} in place of {strategy}: {reason}"
    elif nearest != factor:
        shown = ", ".join(map(str, legal))
        notice = f"layer {layer!r} gets reuse factor {nearest} in place of {factor}; with {usable} it can have {shown}"
    else:
        notice = ""
    return Setting(usable, nearest, notice)


def _asked(setting, layer: str, default):
    return setting.get(layer, setting.get(OTHERS, default)) if isinstance(setting, Mapping) else setting


def _strategy(config, strategy: str, factor: int, product: Product) -> tuple[str, str]:
    """The strategy with which hls4ml computes the layer exactly, and why it is another one than asked for."""
    if BACKENDS[config.backend].only_resource and strategy != "Resource":
        return "Resource", f"hls4ml's {config.backend} backend has no other"
    if product.depthwise and strategy != "Latency":
        return "Latency", "hls4ml has depthwise convolutions in Latency only"
    if strategy == "distributed_arithmetic" and product.pointwise:
        return "Latency", "hls4ml drops distributed_arithmetic for convolutions of one value"
    if strategy == "resource_unrolled":
        if product.places and (config.parallel or product.pointwise):
            return "Resource", "hls4ml unrolls convolutions in io_stream only, and none of one value"
        if factor == 1 or not _legal(config, strategy, product):
            return "Resource", "resource_unrolled needs a reuse factor between 1 and the number of weights"
    return strategy, ""


def _legal(config, strategy: str, product: Product) -> list[int]:
    """The reuse factors with which the layer is exact; empty: any.

    hls4ml's Resource needs a divisor of K, or K times a divisor of C; a convolution in io_parallel only the former.
    """
    if strategy == "Latency":
        return []
    too_many = product.places and product.inputs * product.outputs > BACKENDS[config.backend].most_reused
    if strategy == "distributed_arithmetic" or too_many:
        return [1]
    few = _divisors(product.inputs)
    legal = (
        few
        if product.places and config.parallel
        else sorted({*few, *(product.inputs * d for d in _divisors(product.outputs))})
    )
    return (
        legal
        if strategy == "Resource"
        else [factor for factor in legal if 1 < factor < product.inputs * product.outputs]
    )


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
