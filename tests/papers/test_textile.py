"""The row `textile`: its rule on figures by hand, its rows, and textures of the user's."""

import pytest
import torch

from tests.papers.tiny import Tiny
from unshaken.core.errors import DataError
from unshaken.papers.datasets import Split
from unshaken.store.run_dir import RunDir
from unshaken_papers.textile import TextilePaper
from unshaken_papers.textile.textures import cut_from, made, usable_planes

TINY = Tiny(
    make=lambda folder: "made-textures",
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def judged(**changed):
    measured = {
        "auroc": {"seen": {"textile": figure(changed.get("auroc", 0.95))}},
        "tiling": figure(changed.get("tiling", 0.3)),
        "attention": figure(0.0),
        "gain": {"seen": figure(0.04), "unseen": figure(-0.04)},
        "loss": {"other": figure(changed.get("other", 0.3)), "half": figure(0.5 - changed.get("left", 0.3))},
    }
    parts = {}
    for check in TextilePaper().judge(measured):
        shown, opposed = parts.get(check.part, (True, False))
        parts[check.part] = shown and check.holds, opposed or check.opposed
    return parts


def test_the_rule():
    assert judged() == {
        "measures": (True, False),
        "tiling": (True, False),
        "loss": (True, False),
        "closed-form": (True, False),
        "attention": (False, False),
        "unseen": (False, True),
    }


@pytest.mark.parametrize(
    ("changed", "part", "outcome"),
    [
        ({"auroc": 0.9}, "measures", (False, False)),
        ({"auroc": 0.4}, "measures", (False, True)),
        ({"tiling": 0.1}, "tiling", (False, False)),
        ({"tiling": -0.1}, "tiling", (False, True)),
        ({"other": 0.0}, "loss", (False, False)),
        ({"other": -0.1}, "loss", (False, True)),
        ({"left": 0.6}, "loss", (False, False)),
        ({"left": 1.1}, "loss", (False, True)),
    ],
    ids=str,
)
def test_what_is_not_shown_and_what_is_contradicted(changed, part, outcome):
    assert judged(**changed)[part] == outcome


def test_rows_of_the_optimised_textures_and_the_closed_forms(finished):
    run = finished("textile")
    rows = RunDir(run.out)
    seams = rows.rows("textile_seams").to_pylist()
    assert {row["condition"] for row in seams} == {f"seed{s}.{place}" for s in (0, 1) for place in ("seen", "unseen")}
    assert all(row["tileable"] == ("-whole-" in row["id"]) for row in seams)
    optimised = rows.rows("textile_optimised").to_pylist()
    assert len(optimised) == 4
    assert all(row["change"] > 0 and "-whole-" not in row["id"] for row in optimised)
    assert 0 < run.result.measured["loss.ratio"]["value"] < 2


def test_made_textures_are_half_broken_and_differ_between_seeds():
    one, other = made(("noise", "bricks"), 8, 16, 0), made(("noise", "bricks"), 8, 16, 1)
    assert one.labels.tolist() == [1, 0] * 4
    assert [name.split("-")[0] for name in one.ids] == ["noise", "noise", "bricks", "bricks"] * 2
    assert not torch.equal(one.images, other.images)


def test_the_user_s_textures_that_tile_are_cut():
    whole = made(("noise",), 40, 32, 0)
    given = Split.of(whole.images.expand(-1, 3, -1, -1), whole.labels)
    planes = usable_planes(given, 16)
    assert all(plane.shape == (32, 32) for plane in planes)
    cuts = cut_from(planes, 12, 16, 0)
    assert cuts.images.shape == (12, 1, 16, 16)
    assert cuts.labels.tolist() == [1, 0] * 6
    with pytest.raises(DataError, match=r"of 20 textures have a seam ratio from 2/3 to 1.5; give at least 8"):
        usable_planes(given[given.labels == 0], 16)
