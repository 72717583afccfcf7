"""Post-training quantization: a float model and some inputs in, a network with P-bit accumulators out, no gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from a2q_keras.errors import ConfigurationError
from a2q_keras.model.absorb import absorbed
from a2q_keras.model.convert import START_SAMPLES, converted
from a2q_keras.model.graph import functional
from a2q_keras.model.post_training.choose import QuantizedLayer, choose_codes
from a2q_keras.model.record import samples as first_samples
from a2q_keras.model.settings import LayerSettings, Settings
from a2q_keras.numerics import bounds
from a2q_keras.numerics.fit import Recipe


def quantize(
    model,
    data,
    acc_bits=16,
    weight_bits=None,
    act_bits=8,
    method="gpfq",
    layers=None,
    first=None,
    last=None,
    recipe: Recipe | None = None,
    samples=1024,
    seed=0,
    tile=None,
    percentile=None,
    least_act_bits=None,
    on_layer: Callable[[QuantizedLayer], None] = lambda layer: None,
):
    """The accumulator-aware model for a float or QKeras one; see `pipeline.quantize`.  on_layer hears of each layer.

    Layers are quantized from the inputs on, each on what the quantized layers before it make of the samples.
    """
    _refuse_methods(layers, first, last)
    recipe = replace(recipe or Recipe(), method=method)
    graph = absorbed(functional(model))
    default = LayerSettings(acc_bits, weight_bits, act_bits, "exact", tile=tile, least_act_bits=least_act_bits)
    settings = Settings(default, layers or {}, first or {}, last or {})
    settings.check(graph.layers)
    seed = bounds.check_bits("seed", seed, 0, 2**32 - 1)
    inputs = first_samples(graph, data, bounds.check_bits("samples", samples, 1, 2**24))
    first_inputs = [x[:START_SAMPLES] for x in inputs]
    ours = converted(graph, model.name, settings, first_inputs, percentile=percentile, trained=False)
    choose_codes(ours, graph, inputs, recipe, seed, on_layer)
    return ours


def _refuse_methods(layers, first, last):
    for where, chosen in {"first": first or {}, "last": last or {}, **(layers or {})}.items():
        if "method" in chosen:
            raise ConfigurationError(
                f"{where!r} sets method={chosen['method']!r}; post-training quantization has one method for all "
                "layers, quantize(method=...)"
            )
