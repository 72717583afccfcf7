"""What an accumulator-aware layer knows about its inputs: their fixed-point format."""

from __future__ import annotations

from a2q_keras.errors import InputRangeError
from a2q_keras.layers.upstream import Source, input_format, input_source
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers.activations import format_of
from a2q_keras.quantizers.serialize import get_quantizer


class ReadsInputs:
    """Mixin for a Keras layer that needs the format of its inputs: that of its input_quantizer, or found upstream."""

    def _set_input_quantizer(self, input_quantizer):
        self.input_quantizer = get_quantizer(input_quantizer, "input_quantizer")
        self._input_format = (
            None if input_quantizer is None else format_of(self.input_quantizer, f"layer {self.name!r}")
        )
        self._input_source: Source | None = None
        self._connected = False

    def __call__(self, inputs, *args, **kwargs):
        self._read_input_format(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def _read_input_format(self, inputs):
        """Learn the input format from the model being built; a layer used twice must see one format."""
        if self.input_quantizer is not None or not hasattr(inputs, "_keras_history"):
            return
        found, source = input_format(inputs, self.name), input_source(inputs, self.name)
        changed = self._connected and source != self._input_source
        if changed or (source is None and self._input_format not in (None, found)):
            raise InputRangeError(
                f"layer {self.name!r} is used on inputs of format {self._input_format} and on {found}; "
                "quantize both alike or give the layer an input_quantizer"
            )
        self._input_format, self._input_source, self._connected = found, source, True

    @property
    def input_format(self) -> FixedPoint:
        """The fixed-point format of the inputs, now.  Raises InputRangeError where it is not known."""
        built = self._built_format()
        return built if self._input_source is None else self._input_source.format

    def _built_format(self) -> FixedPoint:
        """The format found when the model was built; where its exponent trains, only bits and sign still hold."""
        if self._input_format is None:
            raise InputRangeError(
                f"layer {self.name!r}: the range of its inputs is unknown; give it an input_quantizer such as "
                '"quantized_relu(8, 3)", or build it in a model after a QActivation'
            )
        return self._input_format

    def get_build_config(self):
        """Keras builds a loaded layer before it is connected, so the format found upstream travels along."""
        return with_input_format(super().get_build_config(), self)

    def build_from_config(self, config):
        self._restore_input_format(config)
        super().build_from_config(config)

    def _restore_input_format(self, config):
        if self._input_format is None and "input_format" in config:
            self._input_format = FixedPoint(**config["input_format"])


def with_input_format(build_config, layer: ReadsInputs):
    """The build config of a layer with its input format; None before it is built."""
    return build_config and build_config | {"input_format": vars(layer.input_format)}
