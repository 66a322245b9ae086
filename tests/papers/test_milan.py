"""The row's rule by hand, its marks and its grammar, and that what is taken out is what rows say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.papers.datasets import Split
from unshaken_papers.milan import MARK, MOST_ATTRIBUTES, MilanPaper
from unshaken_papers.milan.describing import best_labels
from unshaken_papers.milan.grammar import (
    KINDS,
    PLACES,
    Synthetic,
    attributes_named,
    drawn,
    reference,
    synthetic_units,
)
from unshaken_papers.milan.marks import glyphs, probing_set, random_marks, stamped, training_marks

TINY = Tiny(
    make=make_tints,
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def outcomes(cost=0.4, gain=0.1, over=0.05, spread=0.01, likeliest=0.05, label=0.05, labels=0.05):
    """The outcome of each part that is tried."""
    seed = {
        "cost_of_mark": figure(cost), "gain": figure(gain), "over_random": figure(over), "spread_of_random": spread,
        "count": 5,
    }  # fmt: skip
    words = {"over_likeliest": figure(likeliest), "over_label": figure(label), "over_labels": figure(labels)}
    paper = MilanPaper()
    judged = judge_parts(paper.parts, paper.judge({"seed0": seed, "seed1": seed, "words": words}))
    return {part.name: part.outcome for part in judged if not part.untried}


def test_the_rule_both_ways():
    assert set(outcomes().values()) == {Outcome.SHOWN}
    assert outcomes(gain=-0.1)["edit"] == Outcome.CONTRADICTED
    assert outcomes(over=-0.1)["random"] == Outcome.CONTRADICTED
    assert outcomes(spread=0.03)["random"] == Outcome.NOT_VISIBLE
    assert outcomes(likeliest=-0.1)["mutual-information"] == Outcome.CONTRADICTED
    assert outcomes(label=0.005)["open-ended"] == Outcome.NOT_VISIBLE
    assert outcomes(labels=0.005)["open-ended"] == Outcome.NOT_VISIBLE
    assert outcomes(labels=-0.05)["open-ended"] == Outcome.CONTRADICTED


def test_without_a_cue_nothing_is_judged():
    found = outcomes(cost=0.05)
    assert found["cue"] == Outcome.SHORT
    assert found["edit"] == found["random"] == Outcome.NOT_VISIBLE
    assert found["open-ended"] == Outcome.SHOWN


def test_marks_stand_at_the_top_left_alone():
    images = torch.full((3, 3, 12, 12), 100, dtype=torch.uint8)
    found = stamped(images, torch.tensor([1, -1, 0]), 2)
    assert torch.equal(found[1], images[1])
    assert torch.equal(found[0, :, :8, :8], glyphs(2)[1].expand(3, -1, -1))
    assert (found[0, :, 8:] == 100).all()
    assert (found[0, :, :, 8:] == 100).all()
    assert len({bytes(g.flatten().tolist()) for g in glyphs(10)}) == 10


def test_half_of_the_training_images_bear_the_mark_of_their_class():
    labels = torch.arange(2000) % 10
    marks = training_marks(labels, 0)
    assert set((marks - labels)[marks >= 0].tolist()) == {0}
    assert 0.45 < float((marks >= 0).float().mean()) < 0.55
    other = random_marks(2000, 10, 0)
    assert 0.05 < float((other == labels).float().mean()) < 0.15


def test_the_probing_set_knows_where_marks_are():
    images = torch.randint(0, 255, (20, 3, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    found = probing_set(Split.of(images, torch.arange(20) % 2), 12, 0)
    maps, number = found.maps, [c.name for c in found.concepts].index(MARK) + 1
    assert len(maps) == 12
    assert (maps[:6, 3, :8, :8] == number).all()
    assert (maps[:6, 3, 8:] == 0).all()
    assert (maps[6:, 3] == -1).all()
    pixels = found.dataset.images[:6, :, :8, :8]
    assert set(pixels.unique().tolist()) == {0, 255}


def test_exemplars_share_the_attributes_of_their_unit_and_masks_are_their_shapes():
    rng = np.random.default_rng(0)
    units = synthetic_units(40, rng)
    assert {len(unit.words) for unit in units} == {1, 2, 3}
    assert len({unit.attributes for unit in units}) == 40
    for unit in units:
        for i, a in enumerate(unit.attributes):
            assert a is None or set(unit.shown[:, i]) == {a}
        assert all(attributes_named(text) <= unit.words for text in unit.texts)
    shown = np.array([[0, 0, 0, 3]])  # a plain red square at the bottom right
    images, masks = drawn(shown, rng)
    assert masks[0, 18:30, 18:30].all()
    assert int(masks.sum()) == 144
    torch.testing.assert_close(images[0][:, masks[0]][:, 0], torch.tensor([0.85, 0.15, 0.15]))


def test_references_leave_attributes_out():
    rng = np.random.default_rng(1)
    named = [len(attributes_named(reference((0, 1, 2, 3), rng))) for _ in range(2000)]
    assert np.mean(named) / 4 == pytest.approx(0.6, abs=0.03)


def test_the_single_label_is_the_best_overlap_by_hand():
    """Of 4 exemplars all are red; 2 of the other unit's 4 are red too: 4/6 beats every other value."""
    one = Synthetic((0, None, None, None), np.array([[0, 0, 0, 0], [0, 1, 1, 1], [0, 2, 2, 2], [0, 3, 3, 3]]), ("",))
    other = Synthetic((None,) * 4, np.array([[0, 0, 0, 0], [0, 1, 1, 1], [1, 2, 2, 2], [2, 3, 3, 3]]), ("",))
    assert best_labels(one, [one, other], 1) == ["red"]
    assert KINDS[3] is PLACES


def test_the_control_names_as_many_attributes_as_a_unit_follows():
    """Units of one to three attributes among random ones: the best three labels hold all of them."""
    units = synthetic_units(100, np.random.default_rng(2))
    found = [set(best_labels(unit, units, MOST_ATTRIBUTES)) for unit in units]
    assert {len(words) for words in found} == {3}
    assert np.mean([unit.words <= words for unit, words in zip(units, found, strict=True)]) > 0.9
    assert all(words == unit.words for unit, words in zip(units, found, strict=True) if len(unit.words) == 3)


def test_what_is_taken_out_is_called_a_mark(finished):
    run = finished("milan")
    measured = run.result.measured
    for seed in ("seed0", "seed1"):
        assert measured[f"{seed}.count"] <= min(3, sum(measured[f"{seed}.marked.body.{i}"] for i in range(5)))
        assert measured[f"{seed}.units"] == 176
