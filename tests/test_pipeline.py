"""The public functions, on small models."""

import subprocess
import sys

import numpy as np
import pytest

import a2q_keras as a2q
from a2q_keras import pipeline
from a2q_keras.errors import AccumulatorOverflowError, ConfigurationError, FileError, UnsupportedLayerError
from a2q_keras.layers import start
from tests.models import inputs, two_layers
from tests.programs import needs_gxx
from tests.strategies import mlp, tiled


def accum_widths(graph) -> dict:
    """The accum_t width of each dense node of a finished hls4ml graph."""
    nodes = [node for node in graph.get_layers() if node.class_name == "Dense"]
    return {node.name: node.get_attr("accum_t").precision.width for node in nodes}


@pytest.mark.parametrize(
    "acc_bits, widths",
    [(16, {"first": 16, "second": 16}), ({"first": 14, "second": 12}, {"first": 14, "second": 12})],
)
def test_to_hls_gives_every_accumulator_the_asked_width(acc_bits, widths):
    assert accum_widths(a2q.to_hls(two_layers(), acc_bits)) == widths


def test_the_trained_widths_are_those_the_layers_were_made_with():
    assert accum_widths(a2q.to_hls(two_layers(14), "trained")) == {"first": 14, "second": 14}
    model = two_layers(14)
    model.get_layer("second").acc_bits = 4
    model.get_layer("second").method = "none"
    assert a2q.certify(model).ok and not a2q.certify(model, "trained").ok
    with pytest.raises(AccumulatorOverflowError, match="second"):
        a2q.to_hls(model, "trained")


def test_to_hls_without_widths_takes_the_smallest_certified_ones():
    model = two_layers()
    assert accum_widths(a2q.to_hls(model, acc_bits=None)) == a2q.certify(model).acc_bits


@pytest.mark.parametrize("layer", ["first", "second"])
def test_to_hls_refuses_one_bit_less_than_needed(layer):
    model = two_layers()
    needed = a2q.certify(model).acc_bits[layer]
    words = f"layer '{layer}', channel .*needs {needed} bits and acc_bits grants {needed - 1}.*grant {needed} bits"
    with pytest.raises(AccumulatorOverflowError, match=words):
        a2q.to_hls(model, {layer: needed - 1})


@pytest.mark.parametrize("options", [{"backend": "Versal"}, {"io_type": "io_serial"}, {"strategy": "Fast"}])
def test_to_hls_refuses_what_it_does_not_know(options):
    ((key, value),) = options.items()
    with pytest.raises(ConfigurationError, match=f"{key}.* is '{value}'; supported are"):
        a2q.to_hls(two_layers(), **options)


def test_a_program_is_taken_where_a_model_is(tmp_path):
    model = two_layers()
    a2q.integer_model(model).save(tmp_path / "p.a2q")
    program = a2q.load_integer_model(tmp_path / "p.a2q")
    assert a2q.integer_model(program) is program
    assert a2q.certify(program).acc_bits == a2q.certify(model).acc_bits
    assert np.array_equal(program.run(inputs()), model.predict(inputs(), verbose=0))


def test_a_path_is_no_model():
    with pytest.raises(ConfigurationError, match="'model.keras' is a path; load it first"):
        a2q.integer_model("model.keras")


def test_load_reads_models_and_programs(tmp_path):
    model = two_layers()
    model.save(tmp_path / "m.keras")
    a2q.integer_model(model).save(tmp_path / "p.a2q")
    loaded = [pipeline.load_model(tmp_path / name) for name in ("m.keras", "p.a2q")]
    assert len({a2q.integer_model(part).digest() for part in (model, *loaded)}) == 1


def test_loading_fits_no_scale_that_the_file_gives(tmp_path, monkeypatch):
    model = two_layers()
    model.save(tmp_path / "m.keras")
    monkeypatch.setattr(start.quantize, "search_scale_log2", lambda *args: pytest.fail("it searched"))
    assert a2q.integer_model(pipeline.load_model(tmp_path / "m.keras")).digest() == a2q.integer_model(model).digest()
    with pytest.raises(pytest.fail.Exception, match="it searched"):  # a layer that is built otherwise does
        two_layers()


def test_a_model_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "m.keras"
    pipeline.save_model(two_layers(), path)
    before = path.read_bytes()

    def fails(self, part):
        part.write_bytes(b"half")
        raise OSError("disk full")

    model = two_layers(seed=1)
    monkeypatch.setattr(type(model), "save", fails)
    with pytest.raises(FileError, match=r"m.keras: cannot be written \(disk full\)"):
        pipeline.save_model(model, path)
    assert path.read_bytes() == before and [found.name for found in path.parent.iterdir()] == ["m.keras"]


@pytest.mark.parametrize("name, words", [("none.keras", "no such file"), ("bad.keras", "not a whole .keras file")])
def test_load_refuses_by_name(tmp_path, name, words):
    (tmp_path / "bad.keras").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(FileError, match=f"{name}: {words}"):
        pipeline.load_model(tmp_path / name)


def test_print_accumulator_stats_shows_asked_and_needed(capsys):
    proof = a2q.print_accumulator_stats(two_layers(acc_bits=13))
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("first", "second", "asked", "needed", "hls4ml auto"))
    assert proof.acc_bits == {"first": 13, "second": 13} and proof.ok


class TestCosim:
    pytestmark = needs_gxx

    def test_keras_firmware_and_program_agree(self):
        report = a2q.cosim(two_layers(), inputs(), n_random=20)
        assert report.ok and {part.engine for part in report.parts} == {"keras", "csim"}

    def test_keras_that_computes_something_else_is_caught(self, monkeypatch):
        """Break the Keras side on purpose: a weight one code up, after the program was exported."""
        model = two_layers()
        reference = pipeline._with_references

        def changed(model):
            program, references = reference(model)
            layer = model.get_layer("first")
            kernel = layer.kernel.numpy()
            kernel[0, 0] += 1.0 if kernel[0, 0] < 0 else -1.0
            layer.kernel.assign(kernel)
            return program, references

        monkeypatch.setattr(pipeline, "_with_references", changed)
        report = a2q.cosim(model, inputs(), n_random=20)
        assert not report.ok and report.first.layer == "first" and report.parts[0].engine == "keras"

    def test_unproven_widths_are_refused_before_anything_runs(self):
        with pytest.raises(AccumulatorOverflowError, match="layer 'first'"):
            a2q.cosim(two_layers(method="none", acc_bits=4))


def test_a_trace_that_hls4ml_has_no_layers_for_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr(pipeline.cosim_run, "cosim", lambda *args: pytest.fail("it ran"))
    with pytest.raises(UnsupportedLayerError, match="layer 'fc1' sums tiles of 4 products .* hls4ml has one"):
        pipeline.cosim(tiled(mlp(), 4), engines=("rtl",), trace=True)


ORDERS = ["import a2q_keras, keras", "import keras, a2q_keras", "import a2q_keras, qkeras, keras"]


@pytest.mark.parametrize("imports", [*ORDERS, "from a2q_keras.layers.conv import A2QConv1D; import keras"])
def test_keras_loads_our_layers_once_the_package_is_imported(imports, tmp_path):
    two_layers().save(tmp_path / "m.keras")
    code = f"{imports}; print(keras.saving.load_model({str(tmp_path / 'm.keras')!r}).name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "two_layers\n", done.stderr[-2000:]


def test_load_model_needs_no_other_import(tmp_path):
    two_layers().save(tmp_path / "m.keras")
    code = f"import a2q_keras; print(type(a2q_keras.load_model({str(tmp_path / 'm.keras')!r}).layers[1]).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "A2QDense", done.stderr
