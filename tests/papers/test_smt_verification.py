"""The row of verification: its rule both ways, figures from rows, and a tiny run on images made here."""

import copy
import io
import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from unshaken.attack.engine.ball import Ball
from unshaken.certify.smt.smt import most_extreme
from unshaken.core.errors import DataError, MissingExtra
from unshaken.core.rng import SampleRng
from unshaken.papers import run_paper
from unshaken.papers._smt_figures import Figures
from unshaken.papers._smt_run import PixelPGD
from unshaken.papers.smt_verification import SMTVerificationPaper
from unshaken.run.store import RunDir

TINY = "smt-verification:images=3,seeds=1,train=150,seconds=2,seconds_many=1,most=8"


def part(contradicted=0, decided=0.9):
    found = {"missed": 1, "looked_at": 4, "found": 2}
    cell = {"verdicts": {"safe_general": 3, "adversarial": 1, "unknown": 0}, "found": {"grid": found, "pgd": found}}
    return {
        "cells": {"5": {"0.2": cell}},
        "contradicted": contradicted,
        "missed_by_exact": 0,
        "decided_at_10": {"value": decided},
        "slowest_at_10": 1.5,
    }


def failed(measured):
    return [c.words for c in SMTVerificationPaper().judge(measured) if not c.holds]


def test_the_rule_holds_and_each_part_fails_alone():
    measured = {"digits": part(), "fashion-mnist": part(), "networks_from_cache": True}
    assert failed(measured) == []
    assert len(SMTVerificationPaper().judge(measured)) == 4
    worse = copy.deepcopy(measured)
    worse["fashion-mnist"]["contradicted"] = 1
    assert failed(worse) == ["fashion-mnist: 1 regions proved safe have an adversarial example"]
    worse = copy.deepcopy(measured)
    worse["digits"]["decided_at_10"]["value"] = 0.89
    assert failed(worse) == ["digits: 89.0% of regions with 10 free pixels decided within 60 s"]


def test_the_remark_has_the_table_and_what_is_missed():
    remark = SMTVerificationPaper().remark({"own": part()})
    assert "own, safe/adversarial/unknown: 5 pixels 3/1/0 at 0.2" in remark
    assert "missed by corners 0 of 0 regions, grid 1 of 4 regions, pgd 1 of 4 regions" in remark


def test_pgd_stays_in_the_free_pixels():
    clean = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    rng = SampleRng.of(0, "pgd", ["a", "b"])
    ball = PixelPGD(pixels=3).ball(clean, torch.tensor([0.3, 0.3]), "linf", rng)
    assert isinstance(ball, Ball)
    for i in range(2):
        free = most_extreme(clean[i], 3)
        width = (ball.upper - ball.lower)[i].flatten()
        assert set(width.nonzero().flatten().tolist()) == set(free.tolist())
    x = ball.random_point(rng)
    assert int((x != clean).sum()) == 6
    assert bool(ball.contains(x).all())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two classes of 6 x 6 images, bright above or below; a run of the row over them, and its result."""
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    pytest.importorskip("z3", reason="the row verifies with z3")
    folder, rng = tmp_path_factory.mktemp("smt"), np.random.default_rng(0)
    rows = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 200), ("test", 40)):
        for i in range(n):
            image, label = rng.integers(0, 120, (6, 6)).astype(np.uint8), i % 2
            image[3 * label : 3 * label + 3] += 100
            rows["id"].append(f"{split}{i}")
            rows["image"].append(_png(image))
            rows["label"].append(label)
            rows["split"].append(split)
    pq.write_table(pa.table(rows), folder / "halves.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNSHAKEN_CACHE", str(folder / "cache"))
        patch.setattr("unshaken.papers._smt_nets.DIGITS", _quick(16))
        patch.setattr("unshaken.papers._smt_nets.OTHERS", _quick(8))
        patch.setattr("unshaken.papers._smt_run.PIXELS", (2, 10))
        patch.setattr("unshaken.papers._smt_figures.PIXELS", (2, 10))
        patch.setattr("unshaken.papers._smt_run.GRID", 1100)
        yield folder, run_paper(TINY, out=folder / "run", data=f"parquet:{folder}/halves.parquet")


def _quick(width):
    return {"width": width, "epochs": 12, "lr": 1e-2, "batch_size": 32, "eps": 0.05}


def _png(image):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def test_figures_come_from_rows(small):
    folder, result = small
    run = RunDir(folder / "run")
    rows = run.rows("verifications").to_pylist()
    for name in ("digits", "halves"):
        for pixels in (2, 10):
            for eps in (0.2, 0.5, 1.0):
                mine = [r for r in rows if r["condition"] == f"s0.{name}.plain.exact-{pixels}-{eps:.4g}"]
                assert len(mine) == 3
                for verdict in ("safe_general", "adversarial", "unknown"):
                    expected = sum(r["verdict"] == verdict for r in mine)
                    assert result.measured[f"{name}.cells.{pixels}.{eps:g}.verdicts.{verdict}"] == expected
        assert result.measured[f"{name}.contradicted"] == 0
        assert result.measured[f"{name}.decided_at_10"]["n"] == 9
        counts = {
            net: [
                r["pixels"]
                for r in run.rows("verified_pixels").to_pylist()
                if r["condition"] == f"s0.{name}.{net}.verified"
            ]
            for net in ("plain", "at")
        }
        for net, values in counts.items():
            assert result.measured[f"{name}.verified_pixels.{net}"] == pytest.approx(np.mean(values), abs=0.01)
    decided = [result.measured[f"{name}.decided_at_10"]["value"] for name in ("digits", "halves")]
    assert result.reproduced == (min(decided) >= 0.9)
    assert {r["verdict"] for r in rows} >= {"safe_general", "adversarial", "safe_on_grid"}


def test_a_contradiction_in_the_rows_is_counted(small):
    """The certificate of one attacked region is forged: the figures must say so."""
    folder, _ = small
    figures = Figures(RunDir(folder / "run"), 60.0)
    name, where = "s0.digits.plain", ("pgd", 10, 1.0)
    hit = next(i for i in figures.ids(name) if figures.fooled[figures.condition(name, *where), i])
    row = figures.row(name, "exact", 10, 1.0, hit)
    assert row["verdict"] == "adversarial"
    row["verdict"] = "safe_general"
    assert figures.of([name])["contradicted"] == 1


def test_it_goes_on_where_it_was(small):
    folder, result = small
    one = next(iter(sorted((folder / "run" / "rows" / "verified_pixels").iterdir())))
    one.unlink()
    again = run_paper(TINY, out=folder / "run", data=f"parquet:{folder}/halves.parquet")
    assert one.is_file()
    same = {k for k in result.measured if not k.endswith("networks_from_cache")}
    assert {k: again.measured[k] for k in same} == {k: result.measured[k] for k in same}


def _absent(module):
    raise ModuleNotFoundError(f"No module named {module!r}", name=module.partition(".")[0])


def test_data_or_package_that_is_absent(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="mnist"):
        run_paper(TINY, out=tmp_path / "run", data="mnist")
    absent = types.SimpleNamespace(import_module=_absent)
    monkeypatch.setattr("unshaken.core.extras.importlib", absent)
    with pytest.raises(MissingExtra, match="scikit-learn"):
        run_paper(TINY, out=tmp_path / "other")
