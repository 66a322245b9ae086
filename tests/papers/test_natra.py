"""The rule by hand, the shifts against direct formulas, and the row on tints."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.rng import SampleRng
from unshaken.papers.claim import judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.natra import ARMS, SHIFTS, STATISTICS, NaTraPaper
from unshaken_papers.natra.figures import edited_statistics
from unshaken_papers.natra.shifts import APPLY, NOISE, affine

TINY = Tiny(
    make=make_tints,
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    gains = {"clean": -0.005, "edits": 0.2, "shifts": 0.02, "random": 0.015, "rebuilt": 0.02}
    return {
        "gain": {name: figure(value) for name, value in gains.items()},
        "counted": 3,
        "not_counted": "dark bright",
        "inversion_falls": {stage: figure(0.02) for stage in ("shift", "codes", "offset")},
    }


def outcomes(measured):
    paper = NaTraPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"faces", "diffusion"}
    assert {*found.values()} == {"not tried", "shown"}


@pytest.mark.parametrize(
    ("name", "hidden", "opposed", "part"),
    [
        ("clean", -0.015, -0.04, "clean"),
        ("edits", 0.005, -0.02, "edits"),
        ("shifts", 0.005, -0.02, "shifts"),
        ("random", 0.0, -0.02, "adversarial"),
        ("rebuilt", 0.0, -0.02, "rebuilt"),
    ],
)
def test_one_figure_decides_a_part(measured, name, hidden, opposed, part):
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        other = copy.deepcopy(measured)
        other["gain"][name] = figure(value)
        assert outcomes(other)[part] == outcome


def test_where_every_shift_is_like_an_edit_nothing_is_shown_of_shifts(measured):
    for name in ("shifts", "random", "rebuilt"):
        del measured["gain"][name]
    found = outcomes(measured)
    for part in ("shifts", "adversarial", "rebuilt"):
        assert found[part] == "not visible at this scale"
    assert found["clean"] == "shown"


def test_an_error_that_rises_at_a_part_contradicts(measured):
    measured["inversion_falls"]["offset"] = figure(-0.02)
    assert outcomes(measured)["inversion"] == "contradicted"


@pytest.fixture
def images():
    return torch.rand(2, 1, 9, 9, generator=torch.Generator().manual_seed(0))


def test_affine_maps_against_exact_ones(images):
    assert torch.allclose(affine(images, (1, 0, 0, 1)), images, atol=1e-6)
    assert torch.allclose(affine(images, (0, -1, 1, 0)), images.rot90(1, (2, 3)), atol=1e-5)
    assert torch.allclose(affine(images, (1, 0, 0, -1)), images.flip(2), atol=1e-5)


def test_every_shift_is_another_image_that_hangs_on_the_sample_alone(images):
    rng = SampleRng.of(0, "natra", ["a", "b"])
    assert set(APPLY) == set(SHIFTS)
    assert set(SHIFTS.values()) == set(STATISTICS)
    for shift in APPLY.values():
        changed = shift(images, rng)
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
        assert float((changed - images).abs().mean()) > 0.01
        assert torch.allclose(shift(images[1:], rng[1:2]), changed[1:], atol=1e-6)


def test_shifts_of_brightness_by_hand(images):
    rng = SampleRng.of(0, "natra", ["a", "b"])
    assert torch.equal(APPLY["dark"](images, rng), images / 2)
    assert torch.equal(APPLY["bright"](images, rng), (images * 1.5).clamp(max=1))
    low = APPLY["low-contrast"](images, rng)
    assert torch.allclose(low.mean((2, 3)), images.mean((2, 3)))
    assert torch.allclose(low.std((2, 3)), images.std((2, 3)) / 2)
    noise = APPLY["noise"](torch.full((1, 1, 64, 64), 0.5), rng[:1]) - 0.5
    assert float(noise.std()) == pytest.approx(NOISE, rel=0.1)
    assert bool((APPLY["thickening"](images, rng) >= images).all())
    shrunk = APPLY["scale"](torch.ones(1, 1, 20, 20), rng[:1])
    assert float(shrunk.mean()) == pytest.approx(0.8**2, abs=0.02)


class Kept:
    """Rows of directions of which the second is not edited."""

    def table(self, name, label):
        return self

    def to_pylist(self):
        flat = dict.fromkeys(STATISTICS, 0.1)
        return [{**flat, "kept": True, "slant": -0.8}, {**flat, "kept": False, "area": 0.9}]


def test_only_directions_that_are_edited_take_a_shift_out():
    assert edited_statistics(Kept()) == ["slant"]


def test_each_network_is_shown_all_shifts_and_its_own_worst_edits(finished):
    run = finished("natra")
    rows = RunDir(run.out)
    conditions = set(rows.rows("outcomes")["condition"].to_pylist())
    for seed in range(2):
        wanted = {f"seed{seed}.{arm}.{label}" for arm in ARMS for label in ("clean", "edited", *SHIFTS)}
        assert wanted <= conditions
    table = rows.rows("natra_directions").to_pylist()
    assert {row["condition"] for row in table} == {"seed0.edits", "seed1.edits"}
    assert run.result.measured["seed0.directions"] == sum(
        row["kept"] for row in table if row["condition"] == "seed0.edits"
    )
    errors = rows.rows("natra_inversions").to_pylist()
    assert len(errors) == 4
    mean = sum(row["codes"] for row in errors) / 4
    assert run.result.measured["inversion.codes"]["value"] == pytest.approx(mean)
