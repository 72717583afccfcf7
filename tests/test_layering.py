"""Which module may import which: a table, held against every import in the package."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import a2q_keras

ROOT = Path(a2q_keras.__file__).parent
KERAS = ("keras", "qkeras")
RECORDS = (
    *("integer.graph", "integer.certificate", "hls.layers", "hls.project", "cosim.report", "cosim.compare"),
    *("resources.usage", "rtl.design"),
)
EVERYTHING = ("model", "layers", "quantizers", "numerics", "integer", "hls", "rtl", "cosim", "resources", "report")
NEEDING_KERAS = ("integer.export", "integer.handlers", "integer.qkeras_layers")
BLOCKED = ("keras", "tensorflow", "qkeras", "tf_keras", "jax", "torch")


@dataclass(frozen=True)
class Row:
    """What the modules of one part may import besides the standard library, `errors`, `lazy`, `tools` and that part.

    own: parts of this package; other: other packages; inside: those of both that only functions may import.
    """

    own: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()


TABLE = {
    "errors": Row(),
    "lazy": Row(),
    "tools": Row(),
    "numerics": Row(other=("numpy",)),
    "quantizers": Row(("numerics",), ("numpy", *KERAS)),
    # the one place that looks behind keras.ops
    "quantizers.compiled": Row(other=("keras", "jax", "tensorflow"), inside=("jax", "tensorflow")),
    "layers": Row(("quantizers", "numerics"), ("numpy", *KERAS)),
    "constraints": Row(("quantizers", "numerics"), ("numpy", *KERAS)),
    "callbacks": Row(("layers", "quantizers", "numerics"), ("numpy", *KERAS)),
    "model": Row(("layers", "quantizers", "numerics"), ("numpy", *KERAS)),
    "data": Row(
        other=("numpy", "sklearn", "tensorflow_datasets", "PIL"), inside=("sklearn", "tensorflow_datasets", "PIL")
    ),
    "zoo": Row(("model", "layers", "quantizers", "numerics"), ("numpy", *KERAS)),
    "integer": Row(("numerics",), ("numpy",)),
    "integer.export": Row(("model", "layers", "quantizers", "numerics"), ("numpy", *KERAS)),
    "integer.handlers": Row(("layers", "quantizers", "numerics"), ("numpy", *KERAS)),
    "integer.qkeras_layers": Row(("quantizers", "numerics"), ("numpy", *KERAS)),
    "hls": Row(
        ("integer.graph", "integer.checks", "numerics"), ("numpy", "hls4ml", "da4ml"), inside=("hls4ml", "da4ml")
    ),
    "rtl": Row(("integer.graph", "integer.storage", "numerics"), ("numpy", "da4ml", "amaranth"), inside=("da4ml",)),
    # reports of the tools that an engine runs come back with what it computed
    "cosim": Row(("integer", "numerics", "hls", "rtl", "resources.usage", "resources.vendor"), ("numpy",)),
    "resources": Row(("integer", "numerics", "hls", "rtl"), ("numpy",)),
    "report": Row(("numerics", *RECORDS), ("numpy", "rich", "matplotlib"), inside=("matplotlib",)),
    "pipeline": Row(
        (*EVERYTHING, "constraints", "data", "zoo"),
        ("numpy", *KERAS),
        inside=("model", "layers", "constraints", "integer.export", *KERAS),
    ),
    "sweep": Row(("pipeline", "report", "data", "zoo"), ("numpy", "rich")),
    "cli": Row(
        ("pipeline", "sweep", "report", "data", "zoo"),
        ("numpy", "typer", "rich", *KERAS),
        inside=("pipeline", "sweep", "data", "zoo", *KERAS),
    ),
    "__main__": Row(("cli",)),
    "registered": Row(("constraints", "layers", "quantizers"), KERAS),
    "__init__": Row(other=("wrapt",), inside=("pipeline",)),
}


@dataclass(frozen=True)
class Import:
    """One imported module, with `a2q_keras.` left off where it is ours, and whether a function imports it."""

    target: str
    ours: bool
    inside: bool
    line: int


def modules() -> dict[str, Path]:
    """Every module of the package by its name without `a2q_keras.`."""
    paths = sorted(ROOT.rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths)}


def imports(source: str) -> list[Import]:
    """The imports in a module's text, those for type checkers only left out."""
    return list(_walk(ast.parse(source), inside=False))


def _walk(node, inside: bool):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield from (_import(name, inside, child.lineno) for name in _targets(child))
        yield from _walk(child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))


def _targets(node) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, "relative imports hide the layer; write the whole name"
    is_package = (ROOT.parent / node.module.replace(".", "/")).is_dir() and node.module.startswith("a2q_keras")
    return [f"{node.module}.{alias.name}" for alias in node.names] if is_package else [node.module]


def _import(name: str, inside: bool, line: int) -> Import:
    return Import(name.removeprefix("a2q_keras."), name.split(".")[0] == "a2q_keras", inside, line)


def under(name: str, parts) -> bool:
    """Whether a module is one of `parts` or in one of them."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def row_of(module: str) -> Row:
    return TABLE[module] if module in TABLE else TABLE[module.split(".")[0]]


def complaint(module: str, found: Import) -> str | None:
    """Why `module` may not import this, or None."""
    row, part = row_of(module), module.split(".")[0]
    if found.target == "subprocess" and module != "tools":
        return "only `tools` may start programs"
    if not found.ours and found.target.split(".")[0] in sys.stdlib_module_names:
        return None
    aside = found.target in NEEDING_KERAS and module not in NEEDING_KERAS
    if found.ours and under(found.target, ("errors", "lazy", "tools", part)) and not aside:
        return None
    if not under(found.target, row.own if found.ours else row.other):
        return f"the table allows {', '.join(row.own if found.ours else row.other) or 'nothing'}"
    if under(found.target, row.inside) and not found.inside:
        return "only inside functions"
    return None


@pytest.mark.parametrize("module", modules())
def test_imports_follow_the_table(module):
    found = imports(modules()[module].read_text())
    complaints = [(one.line, one.target, why) for one in found if (why := complaint(module, one))]
    assert complaints == []


def test_every_part_has_a_row():
    assert {name.split(".")[0] for name in modules()} <= set(TABLE)


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        ("numerics.bounds", "import keras", "the table allows numpy"),
        ("numerics.bounds", "from a2q_keras.integer import run", "the table allows nothing"),
        ("integer.run", "from a2q_keras import layers", "the table allows numerics"),
        ("integer.run", "from a2q_keras.integer.export import export", "the table allows numerics"),
        (
            "hls.project",
            "from a2q_keras.integer.run import run",
            "the table allows integer.graph, integer.checks, numerics",
        ),
        ("hls.project", "import hls4ml.model", "only inside functions"),
        ("cosim.csim", "def f():\n import subprocess", "only `tools` may start programs"),
        ("cli.main", "from a2q_keras import pipeline", "only inside functions"),
        ("hls.project", "def f():\n from hls4ml.model.graph import ModelGraph", None),
        ("integer.export", "from a2q_keras.layers.dense import A2QDense", None),
        ("report.tables", "from a2q_keras.integer.certificate import Certificate", None),
        ("numerics.bounds", "if TYPE_CHECKING:\n import keras", None),
    ],
)
def test_the_test_itself(module, source, why):
    assert [complaint(module, found) for found in imports(source)] == ([why] if why or "TYPE" not in source else [])


def run_python(script: str) -> str:
    """Output of a fresh interpreter; fails with its error."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT.parent, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


BLOCK = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {BLOCKED}:
            raise ImportError(f'{{name}} is blocked')
sys.meta_path.insert(0, Blocked())
"""

WITHOUT_KERAS = ("numerics", "integer", "hls", "rtl", "cosim", "resources", "report", "errors", "tools")


def test_what_follows_the_program_imports_without_keras():
    names = [name for name in modules() if under(name, WITHOUT_KERAS) and name not in NEEDING_KERAS]
    assert len(names) > 15
    run_python(
        BLOCK + "import importlib\n" + "\n".join(f"importlib.import_module('a2q_keras.{name}')" for name in names)
    )


def test_program_golden_run_and_certificate_work_without_keras(tmp_path):
    script = f"""
import numpy as np
from tests.strategies import input_codes, mlp
from a2q_keras.integer import file
from a2q_keras.integer.certificate import Certificate, certify
mlp().save({str(tmp_path / "net")!r})
program = file.load({str(tmp_path / "net")!r})
assert program.run(program.inputs[0].format.values(input_codes(program, 4))).shape == (4, 3)
certify(program, 16).raise_if_unsafe().save({str(tmp_path / "cert")!r})
print(Certificate.load({str(tmp_path / "cert")!r}).verify().ok)
"""
    assert run_python(BLOCK + script) == "True\n"


def test_importing_the_package_starts_neither_keras_nor_tensorflow():
    script = f"import sys, a2q_keras; dir(a2q_keras); print([name for name in {BLOCKED} if name in sys.modules])"
    assert run_python(script) == "[]\n"
