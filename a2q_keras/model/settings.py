"""What a layer is converted to: bits and method, by layer name, class or place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics import bounds
from a2q_keras.quantizers.weights import LEARNED_NORM


@dataclass(frozen=True)
class LayerSettings:
    """Bits and method of one converted layer.

    acc_bits, weight_bits, method: as in `A2QDense`; weight_bits None: those of a QKeras layer's kernel quantizer, 8 for
    other layers.  act_bits: of the layer's own activation.  input_bits: of the quantizer that is put in front of the
    layer, if there is none; None: as an activation.  tile: products of an inner accumulator, as in `A2QDense`.
    least_act_bits: None, or how few bits (2 to 16) an activation may have instead of act_bits, where these suit the
    accumulators behind it better.
    """

    acc_bits: int = 16
    weight_bits: int | None = None
    act_bits: int = 8
    method: str = "exact"
    input_bits: int | None = None
    tile: int | None = None
    least_act_bits: int | None = None

    def __post_init__(self):
        bounds.check_bits("act_bits", self.act_bits, 1, 32)
        if self.input_bits is not None:
            bounds.check_bits("input_bits", self.input_bits, 1, 32)

    def activation_bits(self, wanted: int | None) -> int:
        """Bits of an activation for which `wanted` would be best; None: as many as it may have."""
        if self.least_act_bits is None or wanted is None:
            return self.act_bits
        return min(max(wanted, self.least_act_bits), self.act_bits)


@dataclass(frozen=True)
class Settings:
    """The settings of every layer: a name beats a class, which beats first and last, which beat the default."""

    default: LayerSettings
    layers: Mapping
    first: Mapping
    last: Mapping

    def check(self, layers):
        """ConfigurationError for what is no setting or an unknown one, or for a layer that the model does not have."""
        known = {field.name for field in fields(LayerSettings)}
        names = {key for layer in layers for key in (layer.name, type(layer).__name__)}
        if not isinstance(self.layers, Mapping):
            raise ConfigurationError(f"layers={self.layers!r}; give settings by layer, {{'conv1': {{'acc_bits': 14}}}}")
        for where, chosen in (("first", self.first), ("last", self.last), *self.layers.items()):
            if not isinstance(chosen, Mapping):
                raise ConfigurationError(f"{_key(where)!r} is set to {chosen!r}; give settings, {{'acc_bits': 14}}")
            wrong = sorted(set(chosen) - known)
            if wrong:
                raise ConfigurationError(
                    f"{_key(where)!r} sets {wrong[0]!r}, which is unknown; allowed are {', '.join(sorted(known))}"
                )
        for key in self.layers:
            if _key(key) not in names:
                raise ConfigurationError(
                    f"layers= names {_key(key)!r}, which the model does not have; "
                    f"its layers are {', '.join(sorted(layer.name for layer in layers))}"
                )

    def widths(self) -> range:
        """The bits that activations may have by any of these settings, where these leave a choice; else none.

        Raises ConfigurationError for what is no number of bits.
        """
        given = (vars(self.default), self.first, self.last, *self.layers.values())
        least = [chosen["least_act_bits"] for chosen in given if chosen.get("least_act_bits") is not None]
        if not least:
            return range(0)
        least = [bounds.check_bits("least_act_bits", bits, 2, 16) for bits in least]
        most = [bounds.check_bits("act_bits", chosen["act_bits"], 1, 32) for chosen in given if "act_bits" in chosen]
        return range(min(least), max(most) + 1)

    def by_exact_condition(self) -> Settings:
        """The same with method "exact" for "a2q" and "a2q+"."""

        def exact(chosen):
            return {**chosen, "method": "exact"} if chosen.get("method") in LEARNED_NORM else chosen

        default = replace(self.default, **exact({"method": self.default.method}))
        layers = {key: exact(chosen) for key, chosen in self.layers.items()}
        return Settings(default, layers, exact(self.first), exact(self.last))

    def of(self, layer, is_first=False, is_last=False) -> LayerSettings:
        """The settings of a layer."""
        by_class = {_key(key): chosen for key, chosen in self.layers.items()}
        found = self.default
        for chosen in (
            self.first if is_first else {},
            self.last if is_last else {},
            by_class.get(type(layer).__name__, {}),
            by_class.get(layer.name, {}),
        ):
            found = replace(found, **chosen)
        return found


def _key(key) -> str:
    return key.__name__ if isinstance(key, type) else str(key)
