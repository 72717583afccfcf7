"""The README shows what runs."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_readme_example_is_the_example_script():
    shown = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    script = (ROOT / "examples" / "01_digits.py").read_text()
    assert script.endswith(shown), "copy the code of examples/01_digits.py into README.md"


def test_the_readme_names_only_files_that_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links and all((ROOT / link).exists() for link in links)


def test_the_readme_names_only_what_resolves_after_one_import():
    parts = "callbacks|constraints|data|numerics|quantizers|zoo"
    names = set(re.findall(rf"\b(?:{parts})\.\w+(?:\.\w+)*(?=[(`])", (ROOT / "README.md").read_text()))
    assert {"zoo.networks.build", "callbacks.AccumulatorLogger", "constraints.AccumulatorBound"} <= names
    code = f"import operator, a2q_keras\nfor name in {sorted(names)}: operator.attrgetter(name)(a2q_keras)"
    subprocess.run([sys.executable, "-c", code], check=True)
