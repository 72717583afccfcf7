from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from a2q_keras.cosim import csim
from a2q_keras.errors import ConfigurationError, ConversionError
from a2q_keras.hls.check import check
from a2q_keras.hls.project import build
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import Dense
from benchmarks.firmware.networks import NETWORKS
from tests.programs import mlp, needs_gxx


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    """Where projects without an output_dir go."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def graph(tmp_path):
    """A fresh graph to break."""
    return build(mlp(), HlsConfig(output_dir=str(tmp_path)))


def test_a_project_named_like_a_layer_is_refused():
    with pytest.raises(ConfigurationError, match="'logits' is also the name of a layer"):
        build(mlp(), HlsConfig(project_name="logits"))


def test_every_accumulator_is_as_wide_as_the_program_says(graph):
    widths = {name: str(graph.graph[name].get_attr("accum_t").precision) for name in ("fc_1", "FC_1_2", "logits")}
    program = mlp()
    assert widths == {
        name: f"fixed<{op.acc_bits},{program.formats[op.name].integer},TRN,WRAP,0>"
        for name, op in zip(widths, program.accumulator_ops)
    }


def test_settings_reach_hls4ml(tmp_path):
    graph = build(mlp(), HlsConfig(output_dir=str(tmp_path), clock_period=4, part="xc7z020clg400-1", reuse_factor=2))
    assert graph.config.get_config_value("ClockPeriod") == 4
    assert graph.config.get_config_value("Part") == "xc7z020clg400-1"
    assert graph.graph["fc_1"].get_attr("reuse_factor") == 2
    assert graph.graph["fc_1"].get_attr("strategy") == "latency"


def test_options_reach_hls4ml_or_are_refused(tmp_path):
    graph = build(mlp(), HlsConfig.of(output_dir=str(tmp_path), namespace="abc"))
    assert graph.config.config["WriterConfig"]["Namespace"] == "abc"
    with pytest.raises(ConfigurationError, match="'stratgy' is no setting here, nor an option of .*clock_uncertainty"):
        build(mlp(), HlsConfig.of(output_dir=str(tmp_path), stratgy="Resource"))


def test_without_output_dir_each_project_has_its_own():
    folders = {build(mlp()).config.get_output_dir() for _ in range(2)}
    assert len(folders) == 2 and all(Path(folder).is_dir() for folder in folders)


def test_hls4ml_is_quiet(capsys):
    build(mlp())
    assert capsys.readouterr().out == ""


def wrong_accumulator(graph):
    graph.graph["FC_1_2"].get_attr("accum_t").precision.width += 1


def saturating_accumulator(graph):
    graph.graph["FC_1_2"].get_attr("accum_t").precision.saturation_mode = "SAT"


def wrong_weight(graph):
    graph.graph["FC_1_2"].weights["weight"].data[3, 2] += 2


def wrong_bias(graph):
    graph.graph["FC_1_2"].weights["bias"].data[1] += 2.0**-4


def wrong_rounding(graph):
    graph.graph["n_w2"].get_output_variable().type.precision.rounding_mode = "TRN"


def wrong_input_type(graph):
    graph.graph["n_input"].get_output_variable().type.precision.saturation_mode = "WRAP"


def missing_requantization(graph):
    graph.remove_node(graph.graph["n_w2"])


@pytest.mark.parametrize(
    "fault, message",
    [
        (wrong_accumulator, "layer 'FC/1': accum_t is fixed<"),
        (saturating_accumulator, "layer 'FC/1': accum_t is .*SAT"),
        (wrong_weight, r"layer 'FC/1': weight code \(3, 2\) is"),
        (wrong_bias, r"layer 'FC/1': bias code \(1,\) is"),
        (wrong_rounding, "layer 'w2': result_t is .*TRN,SAT_SYM"),
        (wrong_input_type, "layer 'input': result_t is .*WRAP"),
        (missing_requantization, "the firmware: layers is"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_check_sees_a_changed_graph(graph, fault, message):
    check(graph, mlp())
    fault(graph)
    with pytest.raises(ConversionError, match=message):
        check(graph, mlp())


def test_check_compares_with_the_given_program(graph):
    program = mlp()
    narrower = program.with_acc_bits({"logits": program["logits"].acc_bits - 1})
    with pytest.raises(ConversionError, match="layer 'logits': result_t is"):
        check(graph, narrower)


def test_a_bias_that_no_double_holds_is_refused():
    program = mlp()
    op = program.ops[-1]
    assert isinstance(op, Dense)
    huge = replace(op, bias=np.full_like(op.bias, 2**62 + 1), acc_bits=64)
    with pytest.raises(ConversionError, match="layer 'logits': bias code"):
        build(replace(program, ops=(*program.ops[:-1], huge)))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    graph = build(mlp(), HlsConfig(output_dir=str(tmp_path_factory.mktemp("hls"))))
    graph.compile()
    return graph


class TestCompiled:
    pytestmark = needs_gxx

    def test_predict_is_the_golden_run(self, compiled):
        x = np.random.default_rng(0).normal(size=(300, 2, 8)) * 1.5
        assert np.array_equal(compiled.predict(x), mlp().run(x))

    def test_predict_takes_one_sample(self, compiled):
        x = np.random.default_rng(0).normal(size=(1, 2, 8))
        assert np.array_equal(compiled.predict(x), mlp().run(x)[0])

    def test_the_graph_is_unchanged_by_compiling(self, compiled):
        check(compiled, mlp())


@pytest.mark.filterwarnings("ignore:layer '")
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_oneapi_is_converted_and_checked_but_not_simulated(io_type, tmp_path):
    config = HlsConfig("oneAPI", io_type, output_dir=str(tmp_path))
    for name in ("cnn", "depthwise", "average"):
        graph = build(NETWORKS[name](), config)
        strategies = {node.get_attr("strategy").lower() for node in graph.get_layers() if "weight" in node.weights}
        assert strategies == {"resource"}
    assert graph.config.get_config_value("Part") == "Agilex7"
    with pytest.raises(ConfigurationError, match="C simulation of backend oneAPI needs its own compiler"):
        csim.compile_firmware(NETWORKS["mlp"](), config)
