"""Records of rows: taken, joined, moved."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from unshaken.core import State


class Inner(State):
    y: torch.Tensor


class Outer(State):
    x: torch.Tensor
    inner: Inner
    named: dict[str, torch.Tensor]
    maybe: torch.Tensor | None
    norm: str = "l2"


def outer(first, n, **changes):
    x = torch.arange(first, first + n)
    given = {"x": x, "inner": Inner(10 * x), "named": {"a": 100 * x}, "maybe": None}
    return Outer(**{**given, **changes})


def all_of(state):
    return state.x.tolist(), state.inner.y.tolist(), state.named["a"].tolist(), state.maybe, state.norm


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        (torch.tensor([True, False, True]), [0, 2]),
        (torch.tensor([2, 0, 0]), [2, 0, 0]),
        (slice(1, None), [1, 2]),
        (torch.tensor([], dtype=torch.int64), []),
    ],
)
def test_rows_are_taken_from_every_field(rows, left):
    assert all_of(outer(0, 3)[rows]) == (left, [10 * i for i in left], [100 * i for i in left], None, "l2")


def test_concat_joins_every_field():
    both = Outer.concat([outer(0, 2), outer(2, 1)])
    assert all_of(both) == ([0, 1, 2], [0, 10, 20], [0, 100, 200], None, "l2")
    assert len(both) == 3


def test_concat_of_one_is_itself():
    one = outer(0, 2)
    assert Outer.concat([one]) is one


@pytest.mark.parametrize("changes", [{"norm": "l1"}, {"maybe": torch.zeros(1)}])
def test_rows_that_do_not_fit_are_not_joined(changes):
    with pytest.raises((ValueError, TypeError)):
        Outer.concat([outer(0, 2), outer(2, 1, **changes)])


def test_the_field_that_differs_is_named():
    with pytest.raises(ValueError, match="different 'norm' cannot share a batch"):
        Outer.concat([outer(0, 2), outer(2, 1, norm="l1")])


def test_length_comes_from_the_first_field_with_rows():
    class OnlyDict(State):
        norm: str
        named: dict[str, torch.Tensor]

    class Nothing(State):
        norm: str

    assert len(OnlyDict("l2", {"a": torch.zeros(4)})) == 4
    assert len(Nothing("l2")) == 0


def test_replace_and_frozen():
    one = outer(0, 2)
    assert one.replace(x=torch.tensor([5, 6])).x.tolist() == [5, 6]
    assert one.x.tolist() == [0, 1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.x = torch.zeros(2)


def test_to_moves_every_tensor():
    moved = outer(0, 2).to(torch.device("meta"))
    assert {moved.x.device.type, moved.inner.y.device.type, moved.named["a"].device.type} == {"meta"}
    assert (moved.maybe, moved.norm) == (None, "l2")


class Pair(State):
    one: torch.Tensor
    other: torch.Tensor
    inner: Inner


def test_what_stands_in_two_fields_is_taken_and_joined_once():
    x = torch.arange(3)
    pair = Pair(x, x, Inner(x))
    part = pair[torch.tensor([2, 0])]
    assert part.one is part.other is part.inner.y
    joined = Pair.concat([pair, part])
    assert joined.one is joined.other is joined.inner.y
    assert joined.one.tolist() == [0, 1, 2, 2, 0]
    moved = Pair.concat([Pair(x, x, Inner(x)), Pair(x, x + 1, Inner(x))])
    assert moved.other.tolist() == [0, 1, 2, 1, 2, 3]


def test_all_rows_are_the_record_itself():
    one = outer(0, 3)
    assert one[slice(0, 3)] is one
    assert one[slice(None, 9)] is one
    assert [one[rows].x.tolist() for rows in (slice(0, 2), slice(1, 9), slice(0, 9, 2))] == [[0, 1], [1, 2], [0, 2]]
    assert one[slice(None)].x.tolist() == [0, 1, 2]


def test_a_mask_has_an_entry_a_row():
    with pytest.raises(IndexError, match=r"^a mask of 2 entries for 3 rows$"):
        outer(0, 3)[torch.tensor([True, False])]
