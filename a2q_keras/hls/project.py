"""Integer program -> hls4ml ModelGraph: plan it, make it, and check what hls4ml made of it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import tempfile
import warnings
from copy import deepcopy
from dataclasses import fields
from inspect import Parameter, signature

from a2q_keras.errors import ConfigurationError, ToolMissingError
from a2q_keras.hls.check import check_plan
from a2q_keras.hls.layers import FirmwarePlan, layer_config, plan
from a2q_keras.hls.settings import BACKENDS, HlsConfig
from a2q_keras.integer.graph import IntegerProgram


def build(program: IntegerProgram, config: HlsConfig | None = None):
    """An hls4ml ModelGraph that computes `program`; its `compile()`, `predict()` and `build()` are hls4ml's own.

    Give `predict()` float64 inputs: float32 rounds values of more than 24 bits before the firmware sees them.
    Warns where a layer gets another strategy or reuse factor than asked for.  Raises ConversionError where the finished
    graph is not the program (see `check.check`), ToolMissingError where distributed_arithmetic lacks da4ml.
    """
    config = config or HlsConfig()
    firmware = plan(program, config)
    if config.project_name in {layer.name for layer in firmware.layers}:
        raise ConfigurationError(f"project_name {config.project_name!r} is also the name of a layer; choose another")
    _check_da4ml(firmware)
    for notice in firmware.notices:
        warnings.warn(notice, stacklevel=2)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hls4ml warns of attributes that it overrides itself; `check` sees each
        graph = model_graph(firmware, config)
    check_plan(graph, firmware)
    return graph


def _check_da4ml(firmware: FirmwarePlan):
    wanted = any(layer.strategy == "distributed_arithmetic" for layer in firmware.layers)
    if wanted and importlib.util.find_spec("da4ml") is None:
        raise ToolMissingError(
            "strategy distributed_arithmetic needs da4ml, which is not installed: pip install 'da4ml>=0.5.2,<0.6'"
        )


def model_graph(firmware: FirmwarePlan, config: HlsConfig, bit_exact: bool = False):
    """hls4ml's ModelGraph of a plan, unchecked; bit_exact: let that pass of hls4ml choose types, accumulators, too."""
    from hls4ml.model.graph import ModelGraph

    layers = [deepcopy(layer.layer) for layer in firmware.layers]  # hls4ml writes into them, and `check` reads them
    settings = _hls4ml_config(firmware, config)
    settings["HLSConfig"]["Model"]["BitExact"] = bit_exact
    return ModelGraph.from_layer_list(settings, layers, list(firmware.inputs), list(firmware.outputs))


def _hls4ml_config(firmware, config) -> dict:
    from hls4ml.utils.config import create_config

    _check_options(config)
    common = create_config(
        output_dir=str(config.output_dir or tempfile.mkdtemp(prefix="a2q_hls_")),
        project_name=config.project_name,
        backend=config.backend,
        part=(config.part == HlsConfig.part and BACKENDS[config.backend].part) or config.part,
        clock_period=config.clock_period,
        io_type=config.io_type,
        **config.options,
    )
    common["TraceOutput"] = config.trace
    common["HLSConfig"] = {
        "Model": {
            # hls4ml asks for a default; every type is given by layer, and `check` looks at each
            "Precision": {"default": "fixed<16,6>"},
            "Strategy": "Latency",
            "ReuseFactor": 1,
        },
        "LayerName": _layer_configs(firmware, config),
    }
    return common


def _check_options(config):
    """ConfigurationError for options that hls4ml would ignore."""
    from hls4ml.backends import get_backend
    from hls4ml.utils.config import create_config

    takes = (create_config, get_backend(config.backend).create_initial_config)
    known = {
        name
        for call in takes
        for name, part in signature(call).parameters.items()
        if part.kind != Parameter.VAR_KEYWORD
    }
    unknown = sorted(config.options.keys() - known)
    if unknown:
        raise ConfigurationError(
            f"{unknown[0]!r} is no setting here, nor an option of hls4ml's {config.backend} backend; those are "
            f"{', '.join(sorted(known - {entry.name for entry in fields(HlsConfig)}))}"
        )


def _layer_configs(firmware, config) -> dict:
    traced = set(firmware.computed.values())
    options = config.layer_options
    return {
        layer.name: layer_config(layer, layer.name in traced, options.get(layer.owner, {})) for layer in firmware.layers
    }
