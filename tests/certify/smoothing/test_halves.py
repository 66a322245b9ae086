"""Halves by hand: every pixel on one side, no pixel of the other side in what a network sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.certify.smoothing.halves import Halves, LostLabelsOfSide, SideJournal, halves
from unshaken.certify.smoothing.votes import Tally
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ParameterError

SPLITS = ("checkerboard", "columns", "top-bottom", "random")
EXPANSIONS = ("repeat", "fill", "mask")
SIZES = [(4, 4), (5, 7), (28, 28), (3, 2), (2, 5)]


def numbered(height, width):
    """One image whose pixels are 1, 2, 3, ... in reading order."""
    return torch.arange(1.0, height * width + 1).view(1, 1, height, width)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("split", SPLITS)
def test_every_pixel_is_on_one_side(split, size):
    cut = Halves(split, "mask", *size)
    left, right = set(cut.pixels("left").tolist()), set(cut.pixels("right").tolist())
    assert left | right == set(range(size[0] * size[1]))
    assert not left & right
    assert abs(len(left) - len(right)) <= (size[1] if split == "top-bottom" else size[0])
    image = numbered(*size)
    assert set(cut.take(image, "left").flatten().tolist()) == {p + 1.0 for p in left}


def test_the_sizes_of_the_publication():
    cifar, photo = Halves("checkerboard", "repeat", 32, 32), Halves("checkerboard", "repeat", 224, 224)
    assert [3 * len(cifar.pixels(s)) for s in ("left", "right")] == [1536, 1536]
    assert [3 * len(photo.pixels(s)) for s in ("left", "right")] == [75264, 75264]


@pytest.mark.parametrize(
    ("split", "left"),
    [
        ("checkerboard", [1, 3, 6, 8, 9, 11]),
        ("columns", [1, 3, 5, 7, 9, 11]),
        ("top-bottom", [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_splits_by_hand(split, left):
    assert Halves(split, "mask", 3, 4).take(numbered(3, 4), "left").flatten().tolist() == left


def test_a_random_split_follows_its_seed():
    one, same, other = (Halves("random", "mask", 6, 6, seed=s).pixels("left").tolist() for s in (1, 1, 2))
    assert one == same
    assert one != other
    assert len(one) == 18
    zero, default = (Halves("random", "mask", 6, 6, **s).pixels("left").tolist() for s in ({"seed": 0}, {}))
    assert default == zero == halves("random", "mask", 6, 6).pixels("left").tolist()


@pytest.mark.parametrize(
    ("expansion", "side", "rows"),
    [
        ("repeat", "left", [[1, 1, 3, 3], [6, 6, 8, 8]]),
        ("repeat", "right", [[2, 2, 4, 4], [5, 5, 7, 7]]),
        ("fill", "left", [[1, 1, 3, 3], [6, 6, 6, 8]]),
        ("fill", "right", [[2, 2, 2, 4], [5, 5, 7, 7]]),
        ("mask", "left", [[1, 0, 3, 0], [0, 6, 0, 8]]),
        ("mask", "right", [[0, 2, 0, 4], [5, 0, 7, 0]]),
    ],
)
def test_expansions_of_the_checkerboard_by_hand(expansion, side, rows):
    cut = Halves("checkerboard", expansion, 2, 4)
    assert cut.expand(cut.take(numbered(2, 4), side), side)[0, 0].tolist() == rows


def test_rows_without_a_pixel_by_hand():
    image = numbered(4, 2)
    stretched, filled = (Halves("top-bottom", e, 4, 2) for e in ("repeat", "fill"))
    assert stretched.expand(stretched.take(image, "left"), "left")[0, 0].tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert filled.expand(filled.take(image, "right"), "right")[0, 0].tolist() == [[5, 6], [5, 6], [5, 6], [7, 8]]


@pytest.mark.parametrize("expansion", EXPANSIONS)
@pytest.mark.parametrize("split", SPLITS)
def test_a_change_of_one_side_leaves_the_other_bit_by_bit(split, expansion):
    cut = Halves(split, expansion, 5, 6)
    images = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    changed = images.clone().flatten(2)
    changed[:, :, cut.pixels("left")] += torch.randn(2, 3, len(cut.pixels("left")))
    changed = changed.view_as(images)
    seen = [cut.expand(cut.take(x, "right"), "right") for x in (images, changed)]
    assert torch.equal(*seen)
    assert not torch.equal(cut.take(images, "left"), cut.take(changed, "left"))
    assert set(seen[0][0, 0].flatten().tolist()) <= {0.0, *cut.take(images, "right")[0, 0].tolist()}


def test_the_wrapped_model_is_the_model_on_the_expansion():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 5))
    model = Classifier(net, mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7], classes=list("abcde"), name="m")
    cut = halves("checkerboard", "fill", 6, 6)
    assert cut is halves("checkerboard", "fill", 6, 6)
    images = torch.rand(3, 3, 6, 6)
    behind, parts = cut.wrap(model, "right"), cut.take(images, "right")
    with evaluating(model):
        assert torch.equal(behind(parts), model(cut.expand(parts, "right")))
    assert parts.shape == (3, 3, 18)
    assert (behind.classes, behind.name) == (tuple("abcde"), "m on the right half")
    assert not list(behind.state_dict().keys() ^ {f"net.{k}" for k in model.state_dict()})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("checkers", "mask", 4, 4), "no split 'checkers'.*checkerboard"),
        (("columns", "none", 4, 4), "no expansion 'none'.*(fill|mask)"),
        (("columns", "mask", 4, 1), "split=columns leaves one side of an image of 4 x 1 pixels empty"),
        (("top-bottom", "mask", 1, 4), "split=top-bottom leaves one side of an image of 1 x 4 pixels empty"),
        (("random", "mask", 1, 1), "split=random leaves"),
    ],
)
def test_what_cannot_be_halved(given, message):
    with pytest.raises(ParameterError, match=message):
        Halves(*given)


def test_images_of_another_size_are_refused():
    with pytest.raises(ParameterError, match=r"images of \(4, 5\) pixels for halves of \(4, 4\)"):
        Halves("columns", "mask", 4, 4).take(torch.zeros(1, 1, 4, 5), "left")


def tally(selected, counts):
    selected, counts = torch.tensor(selected), torch.tensor(counts)
    none = torch.zeros(len(counts), dtype=torch.int64)
    return Tally(selected, counts, none, none > 0, none, none.double())


def test_a_label_is_lost_where_both_shares_are_shown_to_be_below_1_together():
    """300 of 1,000 votes: at most .347; of ten first votes none: at most .499; of ten all: 1.

    The last sample's label is not known.
    """
    labels = torch.tensor([0, 0, 1, -1])
    lost = LostLabelsOfSide(tally([[10, 0]] * 4, [[300, 700]] * 4), labels)
    first = tally([[0, 10], [10, 0], [10, 0], [0, 10]], [[0, 0]] * 4)
    assert lost(first, torch.arange(4)).tolist() == [True, False, False, False]
    swapped = first[torch.tensor([1, 0])]
    assert lost(swapped, torch.tensor([1, 0])).tolist() == [False, True]
    even = LostLabelsOfSide(tally([[10, 0]], [[560, 440]]), labels[:1])
    assert even(first[:1], torch.tensor([0])).tolist() == [False]  # at most .608 and .499


class Memory:
    def __init__(self, records):
        self.records, self.flushed = records, 0

    def found(self):
        return self.records

    def keep(self, sample, record):
        self.records[sample] = record

    def flush(self):
        self.flushed += 1


def test_a_side_sees_its_own_records_alone():
    memory = Memory({"left/a": {"k": 1}, "right/a": {"k": 2}, "right/left/b": {"k": 3}})
    right = SideJournal(memory, "right")
    assert right.found() == {"a": {"k": 2}, "left/b": {"k": 3}}
    right.keep("c", {"k": 4})
    right.flush()
    assert memory.records["right/c"] == {"k": 4}
    assert memory.flushed == 1
