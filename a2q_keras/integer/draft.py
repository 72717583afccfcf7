"""An integer program being written: what `integer.export` and `integer.handlers` share."""

from __future__ import annotations

from dataclasses import dataclass, field

from a2q_keras.errors import UnsupportedLayerError
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.integer.ops import Input, Op, Quantize, Reshape
from a2q_keras.numerics.formats import FixedPoint


@dataclass(frozen=True)
class Raw:
    """A model input that nothing has quantized yet, perhaps reshaped."""

    name: str
    shape: tuple[int, ...]
    now: tuple[int, ...]


@dataclass(frozen=True)
class Codes:
    """A tensor of the program; float_tail names a float op that the model applies to it as its very last one."""

    name: str
    float_tail: str = ""


@dataclass
class Draft:
    """Inputs and ops so far, and what became of each Keras tensor, by its id."""

    tensors: dict[int, Raw | Codes] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)

    def add(self, op: Op) -> Codes:
        """Append an op.  Raises UnsupportedLayerError where its name is taken: a layer is used a second time."""
        if op.name in [known.name for known in (*self.inputs, *self.ops)]:
            raise UnsupportedLayerError(
                f"layer {op.name!r} is used more than once, or two layers are called so; make one layer for each use"
            )
        self.ops.append(op)
        return Codes(op.name)

    def format(self, tensor: Codes) -> FixedPoint:
        """The format of a tensor that the ops so far make."""
        return IntegerProgram("draft", tuple(self.inputs), tuple(self.ops), (tensor.name,)).formats[tensor.name]

    def quantize(self, name: str, tensor: Raw | Codes, format: FixedPoint) -> Codes:
        """Quantize a raw input on entry, or requantize codes."""
        if isinstance(tensor, Codes):
            return self.add(Quantize(name, tensor.name, format))
        entry = Input(tensor.name, tensor.shape, format)
        known = next((node for node in self.inputs if node.name == entry.name), None)
        if known not in (None, entry):
            raise UnsupportedLayerError(
                f"layer {name!r}: input {entry.name!r} is already quantized to {known.format}; "
                "use one QActivation for it"
            )
        if known is None:
            self.inputs.append(entry)
        return Codes(entry.name) if tensor.now == tensor.shape else self.add(Reshape(name, entry.name, tensor.now))

    def reshape(self, name: str, tensor: Raw | Codes, shape: tuple[int, ...]) -> Raw | Codes:
        """The same values in another shape."""
        if isinstance(tensor, Raw):
            return Raw(tensor.name, tensor.shape, shape)
        return self.add(Reshape(name, tensor.name, shape))
