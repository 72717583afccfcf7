"""What a layer is converted to: bits and method, by layer name, class or place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from a2q_keras.errors import ConfigurationError


@dataclass(frozen=True)
class LayerSettings:
    """Bits and method of one converted layer.

    acc_bits, weight_bits, method: as in `A2QDense`.  act_bits: of the layer's own activation.  input_bits: of the
    quantizer that is put in front of the layer, if there is none; None: act_bits.  tile: products of an inner
    accumulator, as in `A2QDense`.
    """

    acc_bits: int = 16
    weight_bits: int = 8
    act_bits: int = 8
    method: str = "exact"
    input_bits: int | None = None
    tile: int | None = None

    @property
    def front_bits(self) -> int:
        """Bits of the quantizer that is put in front of the layer."""
        return self.act_bits if self.input_bits is None else self.input_bits


@dataclass(frozen=True)
class Settings:
    """The settings of every layer: a name beats a class, which beats first and last, which beat the default."""

    default: LayerSettings
    layers: Mapping
    first: Mapping
    last: Mapping

    def check(self, layers):
        """ConfigurationError for an unknown setting, or one for a layer that the model does not have."""
        known = {field.name for field in fields(LayerSettings)}
        names = {key for layer in layers for key in (layer.name, type(layer).__name__)}
        for where, chosen in (("first", self.first), ("last", self.last), *self.layers.items()):
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
