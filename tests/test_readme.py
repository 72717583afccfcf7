"""The README shows what runs, and what the documents link to is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]
LINK = r"\]\((?!http)([^)#]*)#?([^)]*)\)"  # (file or folder, heading) within the project


def test_the_readme_example_is_the_example_script():
    shown = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    script = (ROOT / "examples" / "01_digits.py").read_text()
    assert script.endswith(shown), "copy the code of examples/01_digits.py into README.md"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_link_only_to_what_exists(document):
    links = re.findall(LINK, document.read_text())
    targets = [(document.parent / name if name else document, heading) for name, heading in links]
    assert [target for target in targets if not there(*target)] == []


def there(path, heading):
    """Whether there is such a file or folder, with such a heading where a link names one."""
    if not heading or not path.is_file():
        return path.exists() and not heading
    titles = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
    return heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_broken_link_is_seen():
    assert re.search(LINK, (ROOT / "README.md").read_text())
    assert not there(ROOT / "no.md", "") and not there(ROOT / "README.md", "no-such-heading")
    assert there(ROOT / "README.md", "in-short")


def test_the_readme_names_only_what_resolves_after_one_import():
    parts = "callbacks|constraints|data|numerics|quantizers|zoo"
    names = set(re.findall(rf"\b(?:{parts})\.\w+(?:\.\w+)*(?=[(`])", (ROOT / "README.md").read_text()))
    assert {"zoo.networks.build", "callbacks.AccumulatorLogger", "constraints.AccumulatorBound"} <= names
    code = f"import operator, a2q_keras\nfor name in {sorted(names)}: operator.attrgetter(name)(a2q_keras)"
    subprocess.run([sys.executable, "-c", code], check=True)
