"""The row of RIGID: its sets by hand, its rule both ways, figures from rows, and a tiny run on pictures made here."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.papers.tiny import Tiny, untrained_cnn
from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.effects import Nested
from unshaken.papers.rows import Rows
from unshaken.papers.run import flat
from unshaken.store.run_dir import RunDir
from unshaken_papers.rigid import RIGIDPaper
from unshaken_papers.rigid.figures import Figures
from unshaken_papers.rigid.sets import corrupt
from unshaken_papers.rigid.upscaler import Upscaler


def make_blots(folder: Path) -> str:
    """Smooth pictures of random colours with some noise, as Parquet of which the split train is given; 60 of 80."""
    rng = np.random.default_rng(0)
    small = torch.rand(80, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(small, 32, mode="bilinear") * 255
    images = (images + torch.from_numpy(rng.normal(0, 8, images.shape))).clamp(0, 255).to(torch.uint8)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for i, image in enumerate(images):
        out = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(out, "PNG")
        row = (f"p{i}", out.getvalue(), i % 2, "train" if i < 60 else "test")
        for key, entry in zip(columns, row, strict=True):
            columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "blots.parquet")
    return f"parquet:{folder}/blots.parquet?split=train"


def untrained_upscaler(folder: Path) -> Upscaler:
    """A super-resolution network without training, in the place of npm's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Upscaler().eval()


TINY = Tiny(
    make=make_blots,
    parameters={"small": "parquet:{folder}/blots.parquet"},
    model=untrained_cnn(2),
    patches={
        "unshaken_papers.rigid.experiment.find_upscaler": Path,
        "unshaken_papers.rigid.experiment.load_upscaler": untrained_upscaler,
    },
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    sets = ("bicubic", "nearest", "low-rank", "auto-encoder")
    row = dict.fromkeys((*sets, "super-resolution", "spectrum", "small-edm", "small-edm-jpeg75"), figure(0.52))
    treated = dict.fromkeys((*sets, "super-resolution"), figure(0.52))
    flagged = dict.fromkeys(("real", "jpeg95"), figure(0.13)) | dict.fromkeys(sets, figure(0.52))
    return {
        "auroc": {"noise-0.05": row},
        "corrupted": {name: dict(treated) for name in ("jpeg90", "blur-1", "noisy-0.02")},
        "flagged": flagged,
        "false_alarms": {"smooth": figure(0.25), "drawings": figure(0.5)},
        "not_tied_at_0": 0,
        "order": 0.01,
    }


def outcomes(measured):
    paper = RIGIDPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def changed(measured, path, new):
    """The figures with the one at a path replaced."""
    *way, last = path
    place = measured = json.loads(json.dumps(measured))  # nothing shared
    for key in way:
        place = place[key]
    place[last] = new
    return measured


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"large-generators"}
    assert {*found.values()} == {"not tried", "shown"}
    assert outcomes(Nested(flat(measured))) == found


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("auroc", "noise-0.05", "bicubic"), 0.51, 0.4, "traces"),
        (("auroc", "noise-0.05", "nearest"), 0.51, 0.4, "traces"),
        (("auroc", "noise-0.05", "low-rank"), 0.51, 0.4, "traces"),
        (("auroc", "noise-0.05", "auto-encoder"), 0.51, 0.4, "traces"),
        (("auroc", "noise-0.05", "spectrum"), 0.51, 0.4, "drawn"),
        (("auroc", "noise-0.05", "small-edm"), 0.51, 0.4, "generated"),
        (("auroc", "noise-0.05", "small-edm-jpeg75"), 0.51, 0.4, "generated"),
        (("auroc", "noise-0.05", "super-resolution"), 0.51, 0.4, "trained-network"),
        (("corrupted", "jpeg90", "nearest"), 0.51, 0.4, "recompression"),
        (("corrupted", "jpeg90", "super-resolution"), 0.51, 0.4, "recompression"),
        (("corrupted", "blur-1", "low-rank"), 0.51, 0.4, "other-corruptions"),
        (("corrupted", "noisy-0.02", "super-resolution"), 0.51, 0.4, "other-corruptions"),
        (("flagged", "real"), 0.145, 0.2, "threshold"),
        (("flagged", "jpeg95"), 0.145, 0.2, "threshold"),
        (("flagged", "bicubic"), 0.4, 0.03, "threshold"),
    ],
)
def test_one_figure_decides_a_part_alone(measured, path, hidden, opposed, part):
    before = outcomes(measured)
    undecided = "short of its rule" if hidden == 0.4 else "not visible at this scale"
    assert outcomes(changed(measured, path, figure(hidden))) == {**before, part: undecided}
    assert outcomes(changed(measured, path, figure(opposed))) == {**before, part: "contradicted"}


@pytest.mark.parametrize(("name", "value"), [("not_tied_at_0", 3), ("not_tied_at_0", None), ("order", 0.02)])
def test_scores_that_hang_on_anything_else_show_nothing(measured, name, value):
    found = outcomes(changed(measured, (name,), value))
    assert found == {**outcomes(measured), "traces": "not visible at this scale"}


def test_without_a_generator_that_part_is_not_tried(measured):
    for name in ("small-edm", "small-edm-jpeg75"):
        del measured["auroc"]["noise-0.05"][name]
    assert outcomes(measured)["generated"] == "not tried"


def test_without_the_package_the_super_resolution_network_is_not_tried(measured):
    before = outcomes(measured)
    del measured["auroc"]["noise-0.05"]["super-resolution"]
    for row in measured["corrupted"].values():
        del row["super-resolution"]
    assert outcomes(measured) == {**before, "trained-network": "not tried"}


def test_the_remark_shows_what_is_below_one_half(measured):
    assert "move more" not in RIGIDPaper().remark(measured)
    remark = RIGIDPaper().remark(changed(measured, ("auroc", "noise-0.05", "spectrum"), figure(0.4)))
    assert remark.startswith("Photos move more than spectrum. ")
    assert "smooth 25%, drawings 50%" in remark


def test_figures_are_those_of_the_rows(finished):
    run = finished("rigid")
    result, rows = run.result, RunDir(run.out).rows("rigid_moves").to_pylist()

    def scores(name, how="noise-0.05", treatment="as-is"):
        return [
            r["score"]
            for r in rows
            if (r["set"], r["how"], r["treatment"]) == (name, how, treatment) and not r["condition"].endswith(".again")
        ]

    for how, name in (("noise-0.05", "bicubic"), ("noise-0.02", "drawings"), ("blur", "spectrum")):
        real, fake = np.array(scores("real", how)), np.array(scores(name, how))
        assert len(real) == len(fake) == 8
        expected = (fake[:, None] > real).mean() + (fake[:, None] == real).mean() / 2
        assert result.measured[f"auroc.{how}.{name}"]["value"] == pytest.approx(expected)
    real, fake = np.array(scores("small-real")), np.array(scores("small-edm"))
    assert result.measured["auroc.noise-0.05.small-edm"]["value"] == pytest.approx((fake[:, None] > real).mean())
    for treatment, name in (("jpeg90", "nearest"), ("blur-1", "super-resolution"), ("noisy-0.02", "low-rank")):
        real, fake = (np.array(scores(s, treatment=treatment)) for s in ("real", name))
        assert result.measured[f"corrupted.{treatment}.{name}"]["value"] == pytest.approx((fake[:, None] > real).mean())
    assert result.measured["wins.nearest"] == pytest.approx((np.array(scores("nearest")) > scores("real")).mean())
    assert scores("real", "noise-0") == [0.0] * 8
    assert result.measured["auroc.noise-0.bicubic"]["value"] == 0.5
    assert result.measured["not_tied_at_0"] == 0
    assert min(scores("real")) > 0
    assert result.measured["order"] < 0.01
    assert result.measured["false_alarms.smooth"]["n"] == 2
    assert {"s0", "s1"} == {k.removeprefix("stand_ins.") for k in result.measured if k.startswith("stand_ins.")}


def test_scores_that_move_or_are_not_tied_are_noticed(finished):
    """A score of the second pass is forged, and one without noise: the figures must say so."""
    figures = Figures(Rows(RunDir(finished("rigid").out), "rigid", 0), [0, 1])
    key = next(iter(figures.again))
    figures.again[key] *= 1.5
    assert figures.order() == pytest.approx(0.5, rel=0.05)
    next(iter(v for k, v in figures.rows.items() if k[3] == "noise-0")).update(p0=1e-9)
    assert figures.not_tied() == 1


def test_the_threshold_is_conformal_and_of_the_seeds_own_calibration_photos(finished):
    """Of 19 photos the largest score is the threshold: at it nothing is flagged, above it a photo is."""
    figures = Figures(Rows(RunDir(finished("rigid").out), "rigid", 0), [0, 1])
    calibration = figures.rows[0, "calibration", "as-is", "noise-0.05"]
    assert len(calibration) == 19
    real = figures.rows[0, "real", "as-is", "noise-0.05"]
    real.update(zip(real, [max(calibration.values())] * 4, strict=True))
    assert figures.hits("real", 0).tolist() == [False] * 4
    real.update(zip(real, [max(calibration.values()) * 1.0001] * 2, strict=False))
    assert figures.hits("real", 0).sum() == 2
    figures.rows[1, "calibration", "as-is", "noise-0.05"].clear()  # that of the other seed has no part in it
    assert figures.hits("real", 0).sum() == 2


def test_no_photo_serves_twice(finished):
    """What sets a seed's threshold is none of what is judged by it, and no two seeds share a photo."""
    figures = Figures(Rows(RunDir(finished("rigid").out), "rigid", 0), [0, 1])
    photos = [
        set(figures.rows[seed, name, "as-is", "noise-0.05"]) for seed in (0, 1) for name in ("real", "calibration")
    ]
    assert [len(one) for one in photos] == [4, 19, 4, 19]
    assert len(set.union(*photos)) == 46
    for seed in (0, 1):
        made = [set(row) for (s, name, _, _), row in figures.rows.items() if s == seed and name not in
                ("calibration", "small-real", "small-edm", "small-edm-jpeg75")]  # fmt: skip
        assert all(one == photos[2 * seed] for one in made)


def test_corruptions_are_those_that_they_are_named_after():
    images = (torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    batch = Batch(images, None, ("a", "b"))
    assert torch.equal(corrupt(batch, "as-is", 0).images, images)
    noisy, again = corrupt(batch, "noisy-0.02", 0).images, corrupt(batch, "noisy-0.02", 1).images
    assert (noisy - images)[(images > 0.1) & (images < 0.9)].std().item() == pytest.approx(0.02, rel=0.1)
    assert not torch.equal(noisy, again)
    assert torch.equal(corrupt(batch[1:], "noisy-0.02", 0).images, noisy[1:])
    blurred = corrupt(batch, "blur-1", 0).images
    assert blurred.std() < 0.5 * images.std()
    assert blurred.mean().item() == pytest.approx(images.mean().item(), abs=0.02)
    assert torch.equal((corrupt(batch, "jpeg90", 0).images * 255).round(), corrupt(batch, "jpeg90", 0).images * 255)


def test_data_that_does_not_do(finished, tmp_path):
    run = finished("rigid")
    with pytest.raises(DataError, match=r"60 photos; 9 seeds of 23 and 14 .* are 221"):
        run_paper(run.text.replace("seeds=2", "seeds=9"), out=tmp_path / "a", data=run.data, model=run.model)
    with pytest.raises(DataError, match="multiples of 8 are needed"):
        run_paper(run.text, out=tmp_path / "b", data=f"{run.data}&size=28", model=run.model)
