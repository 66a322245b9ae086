"""The row of verification: its rule both ways, figures from rows, and a tiny run on images made here."""

import io
import types
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.papers.tiny import Tiny
from unshaken.core.classifier import Classifier
from unshaken.core.errors import MissingExtra
from unshaken.models.networks.convolutions import perceptron
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.papers.rows import Rows
from unshaken.store.run_dir import RunDir
from unshaken_papers.smt_verification import SMTVerificationPaper
from unshaken_papers.smt_verification.figures import Figures


def make_halves(folder: Path) -> str:
    """Grey noise that is brighter above or below, two classes, as Parquet with 200 training and 40 test images."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 200), ("test", 40)):
        for i in range(n):
            pixels, label = rng.integers(0, 120, (6, 6)).astype(np.uint8), i % 2
            pixels[3 * label : 3 * label + 3] += 100
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i}", out.getvalue(), label, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "halves.parquet")
    return f"parquet:{folder}/halves.parquet"


def small_perceptron(width: int) -> dict[str, float]:
    """How the perceptrons of `smt-verification` are trained quickly."""
    return {"width": width, "epochs": 5, "lr": 2e-2, "batch_size": 32, "eps": 0.05}


TINY = Tiny(
    make=make_halves,
    parameters={"layer_steps": "2"},
    patches={
        **{f"unshaken_papers.smt_verification.{file}.PIXELS": (2, 10) for file in ("experiment", "figures")},
        "unshaken_papers.smt_verification.experiment.GRID": 1100,
        "unshaken_papers.smt_verification.nets.DIGITS": small_perceptron(6),
        "unshaken_papers.smt_verification.nets.OTHERS": small_perceptron(6),
    },
    wall_times=("seconds.median", "seconds.most", "slowest_at_10"),
    needs=("sklearn", "z3"),
)
"""How the battery runs the row, beside its tiny sizes."""

SHOWN, CONTRADICTED, NOT_VISIBLE = Outcome.SHOWN, Outcome.CONTRADICTED, Outcome.NOT_VISIBLE


def figure(value, low, high):
    return {"value": value, "low": low, "high": high}


def part(
    contradicted=0, missed=0, decided=(1.0, 0.91, 1.0), grid_missed=0, regions=20, wrong_layer=0,
    hidden=(0.8, 0.6, 0.9), more=(0.0, -0.05, 0.05), farther=(1.0, 0.5, 1.5),
):  # fmt: skip
    grid = {"missed": grid_missed, "looked_at": 4, "found": 2}
    return {
        "cells": {"5": {"0.2": {"found": {"grid": grid, "pgd": grid}}}, "20": {"1": {"found": {"pgd": grid}}}},
        "contradicted": contradicted,
        "missed_by_exact": missed,
        "decided_at_10": figure(*decided),
        "layers": {"regions": regions, "contradicted": wrong_layer, "found": {"hidden": figure(*hidden)}},
        "distances": {
            "more_often": {"fgsm": figure(0.0, -0.05, 0.05), "jsma": figure(*more)},
            "farther": {"fgsm": figure(1.0, 0.5, 1.5)} | ({"jsma": figure(*farther)} if farther else {}),
        },
    }


def outcomes(measured):
    judged = judge_parts(SMTVerificationPaper.parts, SMTVerificationPaper().judge(measured))
    return {part.name: part.outcome for part in judged if not part.untried}


def test_every_part_is_shown():
    measured = {"digits": part(), "fashion-mnist": part(), "networks_from_cache": True}
    assert set(outcomes(measured).values()) == {SHOWN}
    assert len(SMTVerificationPaper().judge(measured)) == 20


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"contradicted": 1, "missed": 1}, {"sound": CONTRADICTED, "found": CONTRADICTED}),
        ({"missed": 1}, {"found": NOT_VISIBLE}),  # the solver ran out of time
        ({"decided": (0.95, 0.9, 0.99)}, {"decided": NOT_VISIBLE}),
        ({"decided": (0.8, 0.7, 0.89)}, {"decided": CONTRADICTED}),
        ({"grid_missed": 1}, {"exhaustive": NOT_VISIBLE}),
        ({"hidden": (0.6, 0.4, 0.8)}, {"layer-by-layer": NOT_VISIBLE}),
        ({"hidden": (0.3, 0.2, 0.4)}, {"layer-by-layer": CONTRADICTED}),
        ({"regions": 0}, {"layer-by-layer": NOT_VISIBLE}),
        ({"wrong_layer": 1}, {"layer-by-layer": CONTRADICTED}),
        ({"more": (-0.1, -0.2, 0.0)}, {"distances": NOT_VISIBLE}),
        ({"more": (-0.3, -0.4, -0.2)}, {"distances": CONTRADICTED}),
        ({"farther": (0.1, -0.1, 0.3)}, {"distances": NOT_VISIBLE}),
        ({"farther": (-1.0, -1.5, -0.5)}, {"distances": CONTRADICTED}),
        ({"farther": ()}, {"distances": NOT_VISIBLE}),
    ],
)
@pytest.mark.parametrize("name", ["digits", "fashion-mnist"])
def test_one_data_set_is_enough_to_fail(name, options, expected):
    measured = {"digits": part(), "fashion-mnist": part(), "networks_from_cache": True}
    found = outcomes({**measured, name: part(**options)})
    assert {key: outcome for key, outcome in found.items() if outcome != SHOWN} == expected


def test_a_grid_that_was_never_searched_shows_nothing():
    found = part()
    del found["cells"]["5"]
    assert outcomes({"digits": found})["exhaustive"] == NOT_VISIBLE


@pytest.fixture
def small(finished):
    return finished("smt-verification")


def test_figures_come_from_rows(small):
    result, run = small.result, RunDir(small.out)
    rows = run.rows("verifications").to_pylist()
    for name in ("digits", "halves"):
        for pixels in (2, 10):
            for eps in (0.2, 0.5, 1.0):
                mine = [r for r in rows if r["condition"] == f"s0.{name}.plain.exact-{pixels}-linf-{eps:.6g}"]
                assert len(mine) == 3
                for verdict in ("safe_general", "adversarial", "unknown"):
                    expected = sum(r["verdict"] == verdict for r in mine)
                    assert result.measured[f"{name}.cells.{pixels}.{eps:g}.verdicts.{verdict}"] == expected
        assert result.measured[f"{name}.contradicted"] == 0
        assert result.measured[f"{name}.decided_at_10"]["n"] == 9
        counts = {
            net: [
                r["pixels"]
                for r in run.rows("smt_verification_verified_pixels").to_pylist()
                if r["condition"] == f"s0.{name}.{net}.verified"
            ]
            for net in ("plain", "at")
        }
        for net, values in counts.items():
            assert result.measured[f"{name}.verified_pixels.{net}"] == pytest.approx(np.mean(values), abs=0.01)
    decided = [result.measured[f"{name}.decided_at_10"]["low"] for name in ("digits", "halves")]
    (judged,) = (found for found in result.parts if found.name == "decided")
    assert (judged.outcome == SHOWN) == (min(decided) > 0.9)
    assert {r["verdict"] for r in rows} >= {"safe_general", "adversarial", "safe_on_grid"}


def test_searches_by_layers_and_attacks_come_from_rows(small):
    run, measured = RunDir(small.out), small.result.measured
    verdicts = {(r["condition"], r["id"]): r["verdict"] for r in run.rows("verifications").to_pylist()}
    for name in ("digits", "halves"):
        hard = [
            (c, i) for (c, i), v in verdicts.items() if c.startswith(f"s0.{name}.deep.exact") and v == "adversarial"
        ]
        assert measured[f"{name}.layers.regions"] == len(hard)
        assert measured[f"{name}.layers.contradicted"] == 0
        hits = [
            any(verdicts[c.replace("exact", f"layer-{depth}"), i] == "adversarial" for depth in (1, 2)) for c, i in hard
        ]
        assert measured[f"{name}.layers.found.hidden"]["value"] == pytest.approx(np.mean(hits))
        rows = run.rows("smt_verification_distances").to_pylist()
        for way in ("fgsm-0.1", "fgsm-0.4", "jsma"):
            fooled = [r["fooled"] for r in rows if r["condition"] == f"s0.{name}.plain.{way}"]
            assert measured[f"{name}.distances.success.{way}"] == pytest.approx(np.mean(fooled), abs=1e-4)
        steps = [r for r in rows if r["condition"] == f"s0.{name}.plain.fgsm-0.4" and r["fooled"]]
        assert all(r["l1"] <= 0.4 * 64 + 1e-4 for r in steps)


def test_a_contradiction_in_the_rows_is_counted(small):
    """The certificate of one attacked region is forged: the figures must say so."""
    found = Figures(Rows(RunDir(small.out), "smt-verification", 0))
    name = "s0.digits.plain"
    hit = next(i for i in found.ids(name) if found.fooled[f"{name}.pgd-10-linf-1", i])
    row = found.row(name, "exact", 10, 1.0, hit)
    assert row["verdict"] == "adversarial"
    row["verdict"] = "safe_general"
    assert found.of([name])["contradicted"] == 1


@pytest.mark.long
def test_a_model_of_ones_own_is_verified_alone(small, tmp_path, monkeypatch):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Classifier(perceptron(2, 1, 6, dims=36, hidden=(4,)))
    monkeypatch.setattr("unshaken.papers.context.load_model", lambda *args, **options: model)
    measured = run_paper("smt-verification:images=1", out=tmp_path / "run", data=small.data, model="mine").measured
    assert {k.partition(".")[0] for k in measured} == {"own"}
    assert measured["own.decided_at_10"]["n"] == 3
    assert measured["own.accuracy.own"]["n"] == 40


def _absent(module):
    raise ModuleNotFoundError(f"No module named {module!r}", name=module.partition(".")[0])


def test_a_package_that_is_absent(small, tmp_path, monkeypatch):
    monkeypatch.setattr("unshaken.core.imports.importlib", types.SimpleNamespace(import_module=_absent))
    with pytest.raises(MissingExtra, match="scikit-learn"):
        run_paper("smt-verification", out=tmp_path / "run", data=small.data)
