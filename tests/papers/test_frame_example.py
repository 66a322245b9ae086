"""The complete row in the docstring of `unshaken.papers` runs, word for word."""

import importlib
import re
import sys
import textwrap

import pytest

import unshaken.papers
from unshaken import papers as frame
from unshaken import run_paper
from unshaken.core.registry import unregister
from unshaken.papers.run import figures_of


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The three files of the docstring as a package of `unshaken.papers`."""
    folder = tmp_path / "rows" / "noisy_labels"
    folder.mkdir(parents=True)
    blocks = re.findall(r"```python\n(.*?)```", frame.__doc__, re.DOTALL)
    for name, text in zip(("__init__", "experiment", "figures"), blocks, strict=True):
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.setattr(unshaken.papers, "__path__", [*unshaken.papers.__path__, str(tmp_path / "rows")])
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "cache"))
    yield importlib.import_module("unshaken.papers.noisy_labels")
    unregister("noisy-labels")
    for name in [m for m in sys.modules if m.startswith("unshaken.papers.noisy_labels")]:
        del sys.modules[name]


def test_the_example_runs_and_its_figures_come_from_rows(example, tints, tmp_path):
    text = "noisy-labels:images=90,attacked=12,epochs=2,seeds=1"
    result = run_paper(text, out=tmp_path / "run", data=tints)
    figures = figures_of(tmp_path / "run")
    assert {k: v for k, v in result.measured.items() if k != "networks_from_cache"} == figures
    assert figures["seed0.labels"] == 90
    assert figures["seed0.clean.pgd"]["n"] == 12
    assert result.measured["networks_from_cache"] is False
    again = run_paper(text, out=tmp_path / "other", data=tints)
    assert again.measured["networks_from_cache"] is True
    assert "came from the cache" in again.note
    assert "resumed" not in again.note
