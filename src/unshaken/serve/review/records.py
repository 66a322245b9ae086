"""Records that the store of reviews takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, field_validator

from unshaken.labels.review.protocol import ItemState
from unshaken.labels.review.verdict import Answer, RecordedVerdict, Verdict, storable

LONGEST_SAMPLE = 4096
MOST_NEIGHBOURS = 12


class NewItem(BaseModel):
    """A sample whose label is to be reviewed.

    Args:
        sample: its id in the data.
        given: its label.
        suggested: the class that the model suggests, or None.
        score: how likely the label is right by the model; the lower the more suspect; or None.
        near_given: ids of reference pictures of the given class, the most similar first.
        near_suggested: of the suggested class.
        near_by: what these are like the sample in: `features` of a network, `pixels`, or empty where it is not known.
        stratum: from which it was drawn, in a review of a random sample; else None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sample: str = Field(min_length=1, max_length=LONGEST_SAMPLE)
    given: NonNegativeInt
    suggested: NonNegativeInt | None = None
    score: float | None = None
    near_given: tuple[str, ...] = Field(default=(), max_length=MOST_NEIGHBOURS)
    near_suggested: tuple[str, ...] = Field(default=(), max_length=MOST_NEIGHBOURS)
    near_by: Literal["", "features", "pixels"] = ""
    stratum: NonNegativeInt | None = None

    @field_validator("sample")
    @classmethod
    def _storable(cls, value: str) -> str:
        return storable(value, "the id of the sample")


class Filters(BaseModel):
    """Filters of the items that a page shows; None filters nothing.

    In a blind review a filter on the suggested class or the score shows only items that the reader has answered, for
    the others' suggestion is hidden.

    Args:
        state: of the item.
        given: label number.
        suggested: label number.
        score_from: least score; with a range of scores the page is in the order of the scores.
        score_to: largest score.
        reader: name of a reader who has answered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    state: ItemState | None = None
    given: NonNegativeInt | None = None
    suggested: NonNegativeInt | None = None
    score_from: float | None = None
    score_to: float | None = None
    reader: str | None = None

    @property
    def by_score(self) -> bool:
        """Whether there is a range of scores."""
        return self.score_from is not None or self.score_to is not None


@dataclass(frozen=True, slots=True)
class Review:
    """A review of labels, and its rules.

    Args:
        name: unique in the store.
        classes: names in label order.
        items: number of items.
        blind: whether a reader sees the model's suggestion only after a first verdict.
        readers_per_item: number of readers who must answer each item.
        data: SPEC of the data, or empty.
        labels: name of the version of the labels that is reviewed.
        log: number of rows in the log.
        created: when, UTC.
        strata: number of samples in each stratum of which the items are a random sample, in its random order; empty
            where they are not.
    """

    name: str
    classes: tuple[str, ...]
    items: int
    blind: bool
    readers_per_item: int
    data: str
    labels: str
    log: int
    created: datetime
    strata: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item as one reader may see it.

    Args:
        id: number in the review, from 1.
        sample: id in the data.
        given: label number.
        state: of the item.
        is_revealed: whether this reader may see the model's suggestion.
        suggested: the model's class; None where there is none or it is hidden.
        score: by the model; None where there is none or it is hidden.
        near_given: ids of reference pictures of the given class.
        near_suggested: of the suggested class; empty where hidden.
        near_by: what these are like the sample in, or empty.
        own: the reader's verdict that counts, or None.
        answer: of the item where it is agreed or settled and this reader may see it.
    """

    id: int
    sample: str
    given: int
    state: ItemState
    is_revealed: bool
    suggested: int | None
    score: float | None
    near_given: tuple[str, ...]
    near_suggested: tuple[str, ...]
    near_by: str
    own: Verdict | None
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some items in their order, and where the next page begins.

    Args:
        items: at most as many as asked for.
        next: what to pass as `after`; None at the end.
    """

    items: tuple[ItemView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Dispute:
    """An item on which readers disagree, or which was settled.

    Args:
        item: with nothing hidden.
        verdicts: the row of each reader that counts.
    """

    item: ItemView
    verdicts: tuple[RecordedVerdict, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a review.

    Args:
        total: items.
        states: state to number of items.
        readers: reader to number of items answered.
        left: reader to number of assigned items that wait for this reader; empty where none are assigned.
    """

    total: int
    states: Mapping[ItemState, int]
    readers: Mapping[str, int]
    left: Mapping[str, int]

    @property
    def done(self) -> int:
        """Items that have an answer."""
        return self.states[ItemState.AGREED] + self.states[ItemState.SETTLED]


@dataclass(frozen=True, slots=True)
class Version:
    """A named point in the log of a review.

    Args:
        name: unique in the review.
        number: the last row of the log that belongs to it.
        time: when it was named, UTC.
    """

    name: str
    number: int
    time: datetime
