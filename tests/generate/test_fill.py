"""Filling a set: which numbers, what is drawn again, and when it gives up."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError, RunError
from unshaken.generate.class_gaussian import fit_class_gaussian
from unshaken.generate.fill import HeldOut, Photos, fill_set, is_flat

LABELS = torch.tensor([0, 1, 0, 1, 0])
OPTIONS = {"steps": None, "seed": 3, "guidance": 1.0, "batch_size": 2}


@pytest.fixture(scope="module")
def model():
    pixels = torch.randint(0, 256, (40, 1, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return fit_class_gaussian(pixels, torch.arange(40) % 2)


def filled(model, checks, copies=None):
    return fill_set(model, LABELS, "label", None, 0.5, checks, copies, OPTIONS)


def test_without_refusals_image_i_is_sample_i(model):
    made = filled(model, {"flat": is_flat})
    want = model.sample(5, labels=LABELS, seed=3)
    assert torch.equal(made.images.mul(255).round(), want.mul(255).round())
    assert (made.numbers, made.drawn, made.refused) == ((0, 1, 2, 3, 4), 5, {"flat": 0})


def test_what_is_refused_is_drawn_again_under_the_next_number(model):
    calls = []

    def second(images, labels):
        calls.append(len(images))
        return torch.tensor([len(calls) == 1 and i == 1 for i in range(len(images))])

    made = filled(model, {"second": second})
    assert (made.numbers, made.drawn, made.refused) == ((0, 5, 2, 3, 4), 6, {"second": 1})
    again = model.sample(1, labels=LABELS[1:2], seed=3, first=5)
    assert torch.equal(made.images[1:2].mul(255).round(), again.mul(255).round())


def test_a_planted_copy_is_found_counted_and_replaced(model):
    plain = filled(model, {})
    apart = torch.randint(0, 256, (60, 1, 6, 6), generator=torch.Generator().manual_seed(9)).to(torch.uint8)
    apart[17] = plain.images[3].mul(255).round().byte()
    made = filled(model, {}, HeldOut(apart, [f"t{i}" for i in range(60)]))
    assert made.leaked == ((3, "t17"),)
    assert (made.refused, made.numbers[3]) == ({"leakage": 1}, 5)
    assert not torch.equal(made.images[3], plain.images[3])


def test_it_gives_up_with_the_counts(model):
    with pytest.raises(RunError, match=r"5 of 5 places are empty after 10 rounds \(refused: never 50; class 0"):
        filled(model, {"never": lambda images, _: torch.ones(len(images), dtype=torch.bool)})


def test_images_of_one_shade_are_flat():
    assert is_flat(torch.stack([torch.zeros(1, 2, 2), torch.eye(2)[None]]), LABELS[:2]).tolist() == [True, False]


def test_photos_of_a_class_are_taken_in_turn_by_their_ids():
    images, given, ids = torch.zeros(6, 1, 2, 2).byte(), torch.tensor([0, 0, 0, 1, 1, 1]), list("abcdef")
    places = Photos.of(images, given, ids, torch.tensor([1, 0, 1, 1, 1, 0]), 0).places
    assert sorted(places[[0, 2, 3]].tolist()) == [3, 4, 5]
    assert places[4] == places[0]
    assert len({*places[[1, 5]].tolist()} & {0, 1, 2}) == 2
    with pytest.raises(DataError, match="no image of class 7"):
        Photos.of(images, given, ids, torch.tensor([7]), 0)
