"""`a2q project`: a reference design rebuilt from its recipe, and compared with the manifest of what came out before.

A design is a folder with recipe.json (network, data, bits, firmware) and, once built, program.a2q and manifest.json.
Training is not the same on every processor, so the trained program is kept; all that follows from it is the same
everywhere, hash by hash.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from pathlib import Path

from a2q_keras.cli import train
from a2q_keras.errors import ConfigurationError, FileError

PROGRAM, MANIFEST, RECIPE = "program.a2q", "manifest.json", "recipe.json"
# what hls4ml and this package write for the design; hls4ml's own headers are not part of it
MADE = ("firmware/*.cpp", "firmware/*.h", "firmware/weights/*", "tb_data/*.dat", "golden.json", "certificate.json")


@dataclass(frozen=True)
class Recipe:
    """What recipe.json says: training as for `a2q train`, firmware as for `a2q convert`, and how many test vectors."""

    network: str
    data: str
    acc_bits: int
    weight_bits: int
    act_bits: int
    data_dir: str | None = None
    width: float | None = None
    input_bits: int | None = None
    method: str = "exact"
    start: str | None = None
    least_act_bits: int | None = None
    float_epochs: int = 20
    epochs: int = 20
    seed: int = 0
    vectors: int = 100
    firmware: dict = field(default_factory=dict)

    def training(self, output: Path) -> train.Settings:
        """The settings of `a2q train` for a model that is saved at `output`."""
        names = [entry.name for entry in fields(train.Settings) if entry.name not in ("output", "data_dir")]
        data_dir = Path(self.data_dir) if self.data_dir else None
        return train.Settings(**{name: getattr(self, name) for name in names}, output=output, data_dir=data_dir)


def read(folder: Path) -> Recipe:
    """The recipe of a design.  Raises FileError where there is none, ConfigurationError for what it must not say."""
    path = folder / RECIPE
    if not path.is_file():
        raise FileError(f"{path}: no such file; give a folder with a recipe, such as hls_projects/digits_mlp_w4a4_p10")
    try:
        recipe = Recipe(**json.loads(path.read_text()))
    except ValueError as error:  # also of bytes that are no text
        raise FileError(f"{path}: not JSON ({error})") from error
    except TypeError as error:
        known = ", ".join(entry.name for entry in fields(Recipe))
        raise ConfigurationError(f"{path}: {error}; a recipe has {known}") from error
    if not isinstance(recipe.firmware, dict):
        raise ConfigurationError(f"{path}: firmware is {recipe.firmware!r}; give settings of to_hls by name")
    return recipe


def rebuild(folder: Path, output: Path, anew: bool = False, quiet: bool = False) -> dict:
    """Make the project of a design in `output`; its manifest, beside the one that the folder keeps.

    anew: train, and keep the new program and manifest in the folder; also where it has no program yet.
    Raises what training and `export_project` raise.
    """
    from a2q_keras import pipeline

    recipe = read(folder)
    anew = anew or not (folder / PROGRAM).exists()
    if anew:
        scores = train.train(recipe.training(output.parent / f"{output.name}.keras"), quiet)
        program = pipeline.integer_model(pipeline.load_model(scores["settings"]["output"]))
        program.save(folder / PROGRAM)
        found = {"float": scores["float"], "integer": scores["integer"]}
    else:
        program, found = pipeline.load_model(folder / PROGRAM), kept(folder).get("scores", {})
    pipeline.export_project(program, output, recipe.acc_bits, n_random=recipe.vectors, **recipe.firmware)
    manifest = {"program": program.digest(), "scores": found, "files": hashes(output)}
    if anew:
        pipeline.write_json(folder / MANIFEST, manifest)
    return manifest


def kept(folder: Path) -> dict:
    """The manifest that a design keeps, or nothing.  Raises FileError where it cannot be read."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise FileError(f"{path}: no manifest ({error}); build the design anew with --train") from error


def hashes(output: Path) -> dict[str, str]:
    """SHA-256 of every file of a project that follows from its program."""
    files = sorted(path for pattern in MADE for path in output.glob(pattern))
    return {str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def differences(manifest: dict, wanted: dict) -> list[str]:
    """What of a manifest is not as in another: names of files, or "program"."""
    parts = ["program"] if manifest["program"] != wanted.get("program") else []
    old = wanted.get("files", {})
    return parts + sorted(name for name in {*manifest["files"], *old} if manifest["files"].get(name) != old.get(name))
