"""The reference designs come out as their manifests say."""

import json
import shutil
from pathlib import Path

import pytest

import a2q_keras as a2q
from a2q_keras.cli import project
from a2q_keras.errors import ConfigurationError, FileError

DESIGNS = Path(__file__).parent.parent / "hls_projects"
WHOLE = {"network": "lenet", "data": "mnist", "acc_bits": 12, "weight_bits": 4, "act_bits": 4}
FOLDERS = sorted(path.parent for path in DESIGNS.glob("*/recipe.json"))
MLP = DESIGNS / "digits_mlp_w4a4_p10"


@pytest.fixture
def design(tmp_path) -> Path:
    """A copy of the MLP's folder that a test may change."""
    return Path(shutil.copytree(MLP, tmp_path / "design", ignore=shutil.ignore_patterns("output*")))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_design_keeps_a_program_of_its_recipe(folder):
    program, recipe = a2q.load_integer_model(folder / project.PROGRAM), project.read(folder)
    assert project.kept(folder)["program"] == program.digest()
    assert {op.acc_bits for op in program.accumulator_ops} == {recipe.acc_bits} and a2q.certify(program).ok


def test_a_rebuilt_design_is_as_its_manifest_says(tmp_path):
    manifest = project.rebuild(MLP, tmp_path / "output", quiet=True)
    assert project.differences(manifest, project.kept(MLP)) == []
    assert len(manifest["files"]) > 20 and (tmp_path / "output" / "check_cosim.py").exists()


def test_another_program_is_told_file_by_file(design, tmp_path):
    program = a2q.load_integer_model(design / project.PROGRAM)
    program.with_acc_bits({"dense_4": 11}).save(design / project.PROGRAM)
    recipe = json.loads((design / project.RECIPE).read_text())
    (design / project.RECIPE).write_text(json.dumps(recipe | {"acc_bits": 11}))
    wrong = project.differences(project.rebuild(design, tmp_path / "output", quiet=True), project.kept(design))
    assert wrong[0] == "program" and "firmware/defines.h" in wrong and "firmware/weights/w2.h" not in wrong


@pytest.mark.parametrize(
    "text, error, words",
    [
        ("{", FileError, "recipe.json: not JSON"),
        ("\udcff", FileError, "recipe.json: not JSON"),
        ('{"network": "lenet", "colour": 1}', ConfigurationError, "a recipe has network, data, acc_bits"),
        (json.dumps(WHOLE | {"firmware": "Vitis"}), ConfigurationError, "firmware is 'Vitis'; give settings of to_hls"),
    ],
)
def test_a_bad_recipe_is_refused(design, text, error, words):
    (design / project.RECIPE).write_text(text, errors="surrogateescape")
    with pytest.raises(error, match=words):
        project.read(design)


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_bad_manifest_is_refused(design, text):
    (design / project.MANIFEST).write_text(text)
    with pytest.raises(FileError, match="manifest.json: no manifest .*; build the design anew with --train"):
        project.kept(design)


def test_a_recipe_has_all_that_training_can_be_told(design, tmp_path):
    assert project.read(design).training(tmp_path / "m.keras").output == tmp_path / "m.keras"


def test_a_folder_without_recipe_is_refused(tmp_path):
    with pytest.raises(FileError, match="give a folder with a recipe"):
        project.read(tmp_path)
