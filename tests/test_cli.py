"""The command line: what it prints, and that every bad input is one clear line and no traceback."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import a2q_keras as a2q
from a2q_keras import pipeline
from a2q_keras.cli.main import main
from a2q_keras.errors import FileError
from a2q_keras.tools import GXX
from tests.models import two_layers

pytestmark = pytest.mark.slow
gxx = pytest.mark.skipif(not GXX.available(), reason="g++ is not installed")


def a2q_command(*args, **environment) -> subprocess.CompletedProcess:
    """`python -m a2q_keras ARGS` in a process of its own, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "a2q_keras", *map(str, args)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        cwd=Path(__file__).parent.parent,
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A folder with a good model and program, and broken ones."""
    folder = tmp_path_factory.mktemp("files")
    model = two_layers()
    model.save(folder / "good.keras")
    a2q.integer_model(model).save(folder / "good.a2q")
    for name in ("good.keras", "good.a2q"):
        whole = (folder / name).read_bytes()
        (folder / name.replace("good", "cut")).write_bytes(whole[: len(whole) // 2])
    kernel = np.full((6, 5), np.nan, np.float32)
    model.get_layer("first").kernel.assign(kernel)
    model.save(folder / "nan.keras")
    plain = keras.Sequential([*two_layers().layers[:2], keras.layers.Dense(4, name="plain")])
    plain.build((None, 6))
    keras.Sequential([keras.Input((6,)), *plain.layers]).save(folder / "plain.keras")
    return folder


def test_stats_and_certify_from_a_model(files):
    done = a2q_command("stats", files / "good.keras", "--json")
    rows = json.loads(done.stdout)["layers"]
    assert [(row["layer"], row["acc_bits"]) for row in rows] == [("first", 12), ("second", 12)]
    done = a2q_command("certify", files / "good.a2q", "--output", files / "c.json")
    assert done.returncode == 0 and "proven: no accumulator of two_layers can overflow" in done.stdout
    assert a2q.Certificate.load(files / "c.json").verify().ok


def test_convert_writes_the_project_with_its_proof(files, tmp_path):
    done = a2q_command(
        "convert", files / "good.a2q", "--acc-bits", "13", "--output-dir", tmp_path / "project", "--json"
    )
    assert json.loads(done.stdout)["acc_bits"] == {"first": 13, "second": 13}
    written = {path.name for path in (tmp_path / "project").iterdir()}
    assert written >= {"firmware", "certificate.json", "program.a2q"}
    defines = (tmp_path / "project/firmware/defines.h").read_text()
    assert "ap_fixed<13," in defines


@gxx
@pytest.mark.csim
def test_cosim(files):
    done = a2q_command("cosim", files / "good.keras", "--n-random", "20", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["ok"] and {part["engine"] for part in report["parts"]} == {"keras", "csim"}


@gxx
@pytest.mark.csim
def test_demo_goes_the_whole_way(tmp_path):
    sizes = ("--acc-bits", "12", "--weight-bits", "4", "--act-bits", "4", "--epochs", "2")
    done = a2q_command("demo", *sizes, "--output-dir", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert "mismatches: 0" in done.stdout and "accum_t bits: dense_1 12, dense_2 12, dense_3 12" in done.stdout
    results = json.loads((tmp_path / "demo/results.json").read_text())
    assert results["cosim"]["ok"] and results["accuracy"]["firmware"] == results["accuracy"]["keras_a2q"]


@pytest.mark.parametrize(
    "network, data, measure, how",
    [
        ("resnet8", "digits", "accuracy", ("--method", "a2q+")),
        ("espcn", "photographs", "psnr", ("--method", "exact", "--start", "optq", "--least-act-bits", 3)),
    ],
)
def test_train_saves_a_proven_model(network, data, measure, how, tmp_path):
    bits = ("--acc-bits", 12, "--weight-bits", 4, "--act-bits", 4, "--input-bits", 6, "--width", 2, *how)
    short = ("--float-epochs", 1, "--epochs", 1, "--output", tmp_path / "m.keras")
    done = a2q_command("train", network, data, *bits, *short, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["proven"] and {measure} == set(found["float"]) == set(found["integer"])
    model = a2q.load_model(tmp_path / "m.keras")
    assert a2q.certify(model, 12).ok and model.get_layer("image_quantizer").activation.bits == 6


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("alexnet", "digits"), "no network 'alexnet' in the zoo; it has jet_tagger"),
        (("lenet", "digits"), "network 'lenet': "),
        (("lenet", "digits", "--start", "rtn"), "--start rtn is unknown; allowed are gpfq, optq"),
        (("lenet", "digits", "--least-act-bits", "1"), "--least-act-bits 1 is not allowed; give a number from 2 to 16"),
        (
            ("lenet", "digits", "--output", "model.h5"),
            "--output model.h5 is not allowed; give the name of a file that ends in .keras",
        ),
    ],
)
def test_train_refuses_in_one_clear_line(arguments, words, monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["a2q", "train", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    lines = capfd.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(lines) == 1 and words in lines[0]


BAD = {
    "a width too small": (("certify", "good.a2q", "--acc-bits", "5"), "layer 'first', channel .* needs .* grant"),
    "one bit": (("certify", "good.a2q", "--acc-bits", "1"), "acc_bits of layer 'first'=1 is not allowed"),
    "no number": (("certify", "good.a2q", "--acc-bits", "abc"), "--acc-bits 'abc' is not allowed; give a number"),
    "no file": (("stats", "none.keras"), "none.keras: no such file; give a model"),
    "a truncated model": (("stats", "cut.keras"), "cut.keras: not a whole .keras file"),
    "a truncated program": (("stats", "cut.a2q"), "cut.a2q is not a whole a2q_keras integer program"),
    "NaN weights": (("stats", "nan.keras"), "layer 'first': its kernel holds NaN or infinity"),
    "a float layer": (("stats", "plain.keras"), "layer 'plain' .Dense. has no exact integer meaning"),
    "vectors below zero": (("convert", "good.a2q", "--vectors", "-1"), "n_random=-1 is not allowed"),
    "an unknown part of convert": (("convert", "good.a2q", "--acc-bits", "6"), "AccumulatorOverflowError"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(files, case, tmp_path):
    (command, name, *rest), words = BAD[case]
    more = ("--output-dir", tmp_path / "never") if command == "convert" else ()
    done = a2q_command(command, files / name, *rest, *more)
    assert_one_line(done, words)
    assert not (tmp_path / "never").exists()


def test_no_compiler_is_one_clear_line(files):
    done = a2q_command("cosim", files / "good.a2q", A2Q_GXX="/nowhere/g++")
    assert_one_line(done, "ToolMissingError: g.. was not found in A2Q_GXX='/nowhere/g..'; install")


def assert_one_line(done, words):
    import re

    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 2 and len(lines) == 1, done.stderr
    assert lines[0].startswith("a2q: ") and re.search(words, lines[0]), lines[0]


@pytest.mark.parametrize(
    "option, value",
    [("acc-bits", 1), ("weight-bits", 17), ("act-bits", 0), ("epochs", 0), ("seed", -1), ("method", "x")],
)
def test_demo_refuses_bad_settings_before_it_trains(option, value, monkeypatch, capfd, tmp_path):
    folder = tmp_path / "never"
    monkeypatch.setattr(sys, "argv", ["a2q", "demo", f"--{option}", str(value), "--output-dir", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    lines = capfd.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(lines) == 1 and not folder.exists()
    assert lines[0].startswith(f"a2q: ConfigurationError: --{option} {value} is ")


@pytest.mark.parametrize(
    "command", ["demo", "convert good.a2q", "certify good.a2q --output", "train jet_tagger digits --output"]
)
def test_a_folder_that_cannot_be_written_is_one_clear_line(command, files, monkeypatch, capfd):
    name, *rest = command.replace("good.a2q", str(files / "good.a2q")).split()
    target = (
        ["/proc/never/a.keras"]
        if name == "train"
        else ["/proc/never"]
        if rest and rest[-1] == "--output"
        else ["--output-dir", "/proc/never"]
    )
    monkeypatch.setattr(sys, "argv", ["a2q", name, *rest, *target])
    with pytest.raises(SystemExit) as ended:
        main()
    lines = capfd.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(lines) == 1 and "/proc/never" in lines[0], lines


def test_an_error_of_ours_that_keras_wrapped_is_said(files, tmp_path):
    with zipfile.ZipFile(files / "good.keras") as good, zipfile.ZipFile(tmp_path / "odd.keras", "w") as odd:
        for name in good.namelist():
            odd.writestr(name, good.read(name).replace(b'"acc_bits": 12', b'"acc_bits": 1'))
    with pytest.raises(FileError, match=r"odd\.keras: Keras cannot load it \(acc_bits=1 is not allowed"):
        pipeline.load_model(tmp_path / "odd.keras")


def test_quantize_writes_a_proven_model(tmp_path):
    keras.utils.set_random_seed(0)
    layers = keras.layers.Dense(12, activation="relu", name="hidden"), keras.layers.Dense(3)
    keras.Sequential([keras.Input((6,)), *layers]).save(tmp_path / "float.keras")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 6)))
    bits = ("--acc-bits", 6, "--weight-bits", 4, "--act-bits", 4)
    output = ("--output", tmp_path / "out.keras", "--least-act-bits", 2)
    done = a2q_command("quantize", tmp_path / "float.keras", tmp_path / "x.npy", *bits, *output, "--json")
    rows = json.loads(done.stdout)["layers"]
    assert len(rows) == 2 and all(row["needed_bits"] <= 6 for row in rows)
    ours = a2q.load_model(tmp_path / "out.keras")
    assert a2q.certify(ours, 6).ok and ours.get_layer("hidden").activation.bits < 4


def test_quantize_refuses_what_is_no_data_in_one_line(tmp_path):
    two_layers().save(tmp_path / "m.keras")
    (tmp_path / "x.npy").write_text("no array")
    done = a2q_command("quantize", tmp_path / "m.keras", tmp_path / "x.npy")
    assert done.returncode == 2 and "x.npy: no array of inputs" in done.stderr.splitlines()[-1]
