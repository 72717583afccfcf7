import re
from dataclasses import replace

import numpy as np
import pytest

from a2q_keras.cosim import csim
from a2q_keras.cosim import run as cosim_run
from a2q_keras.cosim.compare import port
from a2q_keras.cosim.run import cosim, golden, layer_traces
from a2q_keras.errors import ConfigurationError
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.export import export_with_tensors
from a2q_keras.model import forward
from tests.integer.test_export import deep_and_shallow
from tests.programs import mlp, needs_gxx


@pytest.fixture
def engines(monkeypatch):
    """Engines without a compiler: one computes as the golden run does, one flips a bit in one code of a layer."""

    def faulty(program, values, config):
        codes = golden(program, values, config)
        codes["FC/1"][-1, 2] ^= 1
        return codes

    monkeypatch.setitem(cosim_run.ENGINES, "exact", golden)
    monkeypatch.setitem(cosim_run.ENGINES, "faulty", faulty)


def test_all_groups_of_vectors_are_compared(engines):
    report = cosim(mlp(), x=np.zeros((7, 2, 8)), engines=("exact",), n_random=20)
    assert report.ok and report.digest == mlp().digest()
    assert {part.name: part.vectors for part in report.parts} == {
        "given inputs": 7,
        "random inputs": 20,
        "values between and beyond the codes": 20,
        "worst cases of the first layers": 24,
        "worst cases of every layer, alone": 65,
    }
    # five layers and the output port
    assert report.parts[0].codes == 7 * (12 + 12 + 8 + 8 + 5 + 5)


def test_a_single_wrong_code_is_found_and_located(engines):
    report = cosim(mlp(), engines=("exact", "faulty"), n_random=20)
    assert not report.ok
    assert (report.first.layer, report.first.index, report.first.differing) == ("FC/1", (2,), 1)
    assert [part.name for part in report.parts if not part.ok] == [
        "worst cases of the first layers",
        "worst cases of every layer, alone",
    ]
    assert {part.engine for part in report.parts if not part.ok} == {"faulty"}


def test_output_ports_are_compared_beside_their_layers(engines):
    assert port("logits") in golden(mlp(), [np.zeros((1, 2, 8))])


def test_engines_write_into_folders_of_their_own(monkeypatch, tmp_path):
    folders = []
    monkeypatch.setitem(
        cosim_run.ENGINES, "spy", lambda p, x, config: folders.append(config.output_dir) or golden(p, x)
    )
    cosim(mlp(), engines=("spy",), n_random=3, config=HlsConfig(output_dir=str(tmp_path)))
    assert folders == [str(tmp_path / "spy" / "network"), str(tmp_path / "spy" / "layers_alone")]


def test_keras_takes_the_inputs_in_the_order_of_the_program(engines):
    model = deep_and_shallow()
    program, tensors = export_with_tensors(model)
    references = {"keras": forward.reference(model, tensors, program.formats)}
    x = {"shallow": np.ones((3, 4)), "deep": np.zeros((3, 4))}
    report = cosim(program, x, engines=("exact",), n_random=9, references=references)
    assert report.ok and {part.engine for part in report.parts} == {"keras", "exact"}


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"engines": ("verilog",)}, "allowed engines are csim"),
        ({"engines": ()}, "allowed engines are csim"),
        ({"n_random": 0}, "n_random=0 is not allowed"),
        ({"config": HlsConfig(strategy={"zz": "Resource"})}, "no layer is called zz"),
        ({"config": HlsConfig(layer_options={"zz": {}})}, "no layer is called zz"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(wrong, words):
    with pytest.raises(ConfigurationError, match=words):
        cosim(mlp(), **wrong)


@pytest.mark.parametrize("x, message", [(np.zeros((3, 7)), "has shape"), (np.full((1, 2, 8), np.nan), "NaN")])
def test_bad_inputs_are_refused(x, message, engines):
    with pytest.raises(ConfigurationError, match=message):
        cosim(mlp(), x=x, engines=("exact",))


@pytest.mark.csim
@needs_gxx[1]
def test_csim_of_the_program_is_equal_and_of_a_narrower_one_is_not(monkeypatch):
    compiled = []
    compile_firmware = csim.compile_firmware
    monkeypatch.setattr(csim, "compile_firmware", lambda *a: compiled.append(a) or compile_firmware(*a))
    program = mlp()
    narrow = program.with_acc_bits({"FC/1": program["FC/1"].acc_bits - 1})
    report = cosim(program, n_random=50, firmware=narrow)
    assert not report.ok and report.first.layer == "FC/1"
    assert report.first.wanted_format != report.first.got_format
    layers = {layer.layer: layer for layer in layer_traces(report, program, firmware=narrow)}
    assert list(layers) == ["fc/1", "float", "FC/1", "w2", "logits"] and layers["fc/1"].mismatch is None
    assert layers["FC/1"].mismatch == report.first
    words = "FC/1 .*Dense Latency/1 .*the firmware has accum=fixed<.*DIFFERS in csim, .*sample .*, index"
    assert re.search(words, str(layers["FC/1"]), re.DOTALL)
    assert "layer by layer" in str(replace(report, layers=tuple(layers.values())))
    assert len(compiled) == 2
