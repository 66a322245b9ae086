"""The notebooks are run when the documentation is built; here is what must hold of the files that are committed."""

import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))


def cells_of(path, kind):
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path):
    cells = cells_of(path, "code")
    assert cells
    assert [cell["outputs"] for cell in cells] == [[] for _ in cells]
    assert {cell["execution_count"] for cell in cells} == {None}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_write_to_a_temporary_folder(path):
    first = "".join(cells_of(path, "code")[0]["source"])
    assert "os.chdir(tempfile.mkdtemp())" in first


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_notebooks_lead_somewhere(path):
    prose = "".join("".join(cell["source"]) for cell in cells_of(path, "markdown"))
    links = re.findall(r"\]\(([^)#]+)\)", prose)
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_notebook_is_a_page():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) == 5
    assert [path.stem for path in NOTEBOOKS if f"\ntutorials/{path.stem}\n" not in index] == []
