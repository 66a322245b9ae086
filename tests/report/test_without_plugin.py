"""A run made with a plug-in's methods has the same report where the plug-in is not installed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import unshaken
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.registry import register, unregister
from unshaken.report import write_report
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir
from unshaken.stress.corruptions.fog import Fog

NAMES = ("toy-haze", "toy-pgd", "toy-energy")


@pytest.fixture
def plugin() -> Iterator[None]:
    """A stressor of a family, an attack and a detector, as a plug-in would bring them."""
    from unshaken.detect.scores.energy import Energy

    class ToyHaze(Fog):
        """Fog by another name."""

    class ToyPGD(PGD):
        """PGD by another name."""

    class ToyEnergy(Energy):
        """Energy by another name."""

    marks = ({"group": "weather"}, {"title": "ToyPGD"}, {})
    for name, cls, more in zip(NAMES, (ToyHaze, ToyPGD, ToyEnergy), marks, strict=True):
        register(name, reference="none", **more)(cls)
    yield
    remove()


def remove() -> None:
    for name in NAMES:
        unregister(name)


def remade(run: RunDir) -> dict[str, Any]:
    return copy.deepcopy(write_report(run)[0])


def test_stressor_and_attack(plugin: None, tmp_path: Path) -> None:
    plan = [
        Entry(method="toy-haze", severities=(3,)),
        Entry(method="toy-pgd", params={"steps": 2}, eps=("8/255",)),
        Entry(method="crop-selection", severities=(1,)),
    ]
    run = unshaken.audit("demo:standard", "demo", plan, limit=8, out=tmp_path / "run", save_examples=0).run
    before = remade(run)
    groups = {c["condition"]: c["group"] for c in before["conditions"]}
    assert (groups["toy-haze-3"], groups["toy-pgd-linf-0.0313725"]) == ("weather", "attack")
    page = run.read("report.md")
    remove()
    assert remade(run) == before
    assert run.read("report.md") == page
    assert b"ToyPGD L" in page
    assert b"unknown-method" not in page
    titles = {name: method["title"] for name, method in run.read_json("run.json")["methods"].items()}
    assert titles == {"toy-haze": None, "toy-pgd": "ToyPGD", "crop-selection": None}


def test_detector(plugin: None, tmp_path: Path) -> None:
    from unshaken.detect import fit

    fit("demo:standard", "demo", ["toy-energy"], limit=200).save(tmp_path / "detectors")
    run = unshaken.detect(
        "demo:standard", "demo", tmp_path / "detectors", shifts="fog-3", attacked=False, limit=20, out=tmp_path / "run"
    ).run
    before = remade(run)
    assert [d["method"] for d in before["detection"]] == ["toy-energy"]
    remove()
    assert remade(run) == before


def test_an_older_run_says_which_rows_it_cannot_group(plugin: None, tmp_path: Path) -> None:
    run = unshaken.audit(
        "demo:standard", "demo", [Entry(method="toy-haze", severities=(3,))], limit=8, out=tmp_path / "run"
    ).run
    config = run.read_json("run.json")
    run.write_json({k: v for k, v in config.items() if k not in ("methods", "steps")}, "run.json")
    with_it = remade(run)
    assert (with_it["conditions"][0]["group"], with_it["flags"]) == ("weather", [])
    assert with_it["aggregates"]["worst_natural"]["value"] == with_it["conditions"][0]["accuracy"]["value"]
    remove()
    without = remade(run)
    assert without["conditions"][0]["group"] == "unknown"
    assert without["aggregates"]["worst_natural"] is None
    (flag,) = without["flags"]
    assert flag["name"] == "unknown-method"
    assert flag["detail"].startswith("rows of toy-haze could not be grouped")
    text = run.read("report.md").decode()
    assert "toy haze, severity 3" in text
    assert "unknown\\-method" in text or "unknown-method" in text
    assert json.loads(run.read("summary.json")) == without
