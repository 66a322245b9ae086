"""The rules of a review: the state of an item and its label follow from the rows of its log, and from nothing else.

How far readers agree beyond chance is measured by their independent answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from typing import Any

import numpy as np

from unshaken.labels.review.verdict import Action, Answer, AnswerKind, RecordedVerdict, VerdictKind, answer_of
from unshaken.measure.statistics.agreement import NONE, alpha_figure, dawid_skene, kappa_figure
from unshaken.measure.statistics.intervals import Figure


class ItemState(StrEnum):
    """How far the review of an item is."""

    OPEN = "open"
    WAITING = "waiting"
    AGREED = "agreed"
    DISPUTED = "disputed"
    SETTLED = "settled"


DONE = (ItemState.AGREED, ItemState.SETTLED)
"""States in which an item has an answer."""


@dataclass(frozen=True, slots=True)
class ItemStatus:
    """State and answer of an item.

    Args:
        state: `open` (no reader has answered), `waiting` (too few have), `agreed`, `disputed`, or `settled`.
        answer: on which readers agree, or which the settler gave; None in the other states.
        standing: each reader's row that counts: the last one that is no skip and was not withdrawn.
        settlement: the row that decides, or None.
    """

    state: ItemState
    answer: Answer | None
    standing: Mapping[str, RecordedVerdict]
    settlement: RecordedVerdict | None


def status_of(history: Iterable[RecordedVerdict], given: int, readers_per_item: int) -> ItemStatus:
    """The state of an item as a function of its log.

    A reader's last verdict counts. An item is agreed when as many readers as it needs have answered and all of them
    give the same answer; else it is disputed, until a settler's verdict decides. A withdrawal takes back one row.

    Args:
        history: the rows of one item, in the order of their numbers.
        given: the label that was shown.
        readers_per_item: how many readers must answer.
    """
    settlement: RecordedVerdict | None = None
    standing: dict[str, RecordedVerdict] = {}
    for row in valid_rows(history):
        if row.action is Action.SETTLE:
            settlement = row
        elif _answered(row):
            standing[row.reader] = row
    if settlement is not None:
        return ItemStatus(ItemState.SETTLED, _answer(settlement, given), standing, settlement)
    answers = [_answer(row, given) for row in standing.values()]
    if len(answers) < readers_per_item:
        return ItemStatus(ItemState.WAITING if answers else ItemState.OPEN, None, standing, None)
    if all(answer == answers[0] for answer in answers):
        return ItemStatus(ItemState.AGREED, answers[0], standing, None)
    return ItemStatus(ItemState.DISPUTED, None, standing, None)


def valid_rows(history: Iterable[RecordedVerdict]) -> list[RecordedVerdict]:
    """Verdicts and settlements that were not withdrawn, in their order."""
    rows = list(history)
    withdrawn = {row.withdraws for row in rows if row.action is Action.WITHDRAW}
    return [row for row in rows if row.action is not Action.WITHDRAW and row.number not in withdrawn]


def is_revealed(history: Iterable[RecordedVerdict], reader: str, *, blind: bool) -> bool:
    """Whether a reader may see the model's suggestion: always in an open review, else after a first verdict.

    A verdict that was withdrawn later counts, for the reader has seen the suggestion; a skip does not.

    Args:
        history: the rows of one item.
        reader: name.
        blind: whether suggestions are hidden until the reader's first verdict.
    """
    return not blind or any(row.reader == reader and (row.action is Action.SETTLE or _answered(row)) for row in history)


def independent_answers(history: Iterable[RecordedVerdict], given: int) -> dict[str, Answer]:
    """Each reader's first answer, by which agreement is measured: later ones may follow the model's suggestion.

    A reader who answered blind, took that back and answered again has seen the suggestion, and has no such answer.

    Args:
        history: the rows of one item, in the order of their numbers.
        given: the label that was shown.
    """
    rows = list(history)
    valid = {row.number for row in valid_rows(rows)}
    blind = {row.reader for row in rows if _answered(row) and not row.shown.suggestion}
    found: dict[str, Answer] = {}
    for row in rows:
        follows = row.reader in blind and row.shown.suggestion
        if row.number in valid and _answered(row) and not follows and (answer := _answer(row, given)) is not None:
            found.setdefault(row.reader, answer)
    return found


@dataclass(frozen=True, slots=True)
class ReviewedLabel:
    """The outcome of a review for one sample.

    Args:
        sample: its id in the data.
        given: the label that was reviewed.
        state: of the item.
        answer: None where there is none yet.
        answers: each reader's answer that counts.
        independent: each reader's first answer, by which agreement is measured.
        suggested: the model's class, or None.
        score: how likely the label is right by the model; the lower the more suspect; or None.
        settler: name of the reader whose verdict decided between readers who differed, or None.
    """

    sample: str
    given: int
    state: ItemState
    answer: Answer | None
    answers: Mapping[str, Answer]
    independent: Mapping[str, Answer] = field(default_factory=dict)
    suggested: int | None = None
    score: float | None = None
    settler: str | None = None

    @property
    def corrected(self) -> int | None:
        """The single label that the review found; None where it found several, none, or nothing yet."""
        only = self.answer is not None and len(self.answer.classes) == 1
        return self.answer.classes[0] if self.answer is not None and only else None

    @property
    def is_wrong(self) -> bool | None:
        """Whether the given label is wrong: in none of the right classes; None where people cannot tell, or not yet."""
        if self.answer is None or self.answer.kind is AnswerKind.UNCLEAR:
            return None
        return self.given not in self.answer.classes


def reviewed_label(
    history: Sequence[RecordedVerdict],
    sample: str,
    given: int,
    readers_per_item: int,
    *,
    suggested: int | None = None,
    score: float | None = None,
) -> ReviewedLabel:
    """The outcome of a review for one sample, from the rows of its log.

    Args:
        history: the rows of the item, in the order of their numbers.
        sample: its id in the data.
        given: the label that was shown.
        readers_per_item: how many readers must answer.
        suggested: the model's class, or None.
        score: by the model, or None.
    """
    status = status_of(history, given, readers_per_item)
    pairs = ((reader, _answer(row, given)) for reader, row in status.standing.items())
    answers = {reader: answer for reader, answer in pairs if answer is not None}
    independent = independent_answers(history, given)
    settler = None if status.settlement is None else status.settlement.reader
    return ReviewedLabel(sample, given, status.state, status.answer, answers, independent, suggested, score, settler)


def _answered(row: RecordedVerdict) -> bool:
    return row.action is Action.VERDICT and row.verdict is not None and row.verdict.kind is not VerdictKind.SKIP


def _answer(row: RecordedVerdict, given: int) -> Answer | None:
    return None if row.verdict is None else answer_of(row.verdict, given)


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """The agreement of two readers.

    Args:
        readers: their names.
        items: number of items that both have answered.
        same: number of these on which they gave the same answer.
        kappa: Cohen's kappa; None where it is undefined.
    """

    readers: tuple[str, str]
    items: int
    same: int
    kappa: Figure | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of all readers of a review.

    Args:
        items: number of items with two answers or more.
        alpha: Krippendorff's alpha of all readers; None where it is undefined.
        pairs: of readers with an item in common, those with most items first.
        accuracy: each reader's share of right answers by Dawid and Skene's estimate; empty where no item is shared.
    """

    items: int
    alpha: Figure | None
    pairs: tuple[PairAgreement, ...]
    accuracy: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values for JSON."""
        pairs = [
            {"readers": list(p.readers), "items": p.items, "same": p.same, "kappa": p.kappa and p.kappa.to_json()}
            for p in self.pairs
        ]
        alpha = self.alpha and self.alpha.to_json()
        return {"items": self.items, "alpha": alpha, "pairs": pairs, "accuracy": dict(self.accuracy)}


def agreement_of(answers: Sequence[Mapping[str, Answer]]) -> Agreement:
    """Measure how far readers agree. Answers are categories: several classes together are one of their own.

    Args:
        answers: of each item, reader to answer, as `independent_answers` gives them.
    """
    readers = sorted({reader for item in answers for reader in item})
    numbers: dict[Answer, int] = {}
    table = np.full((len(readers), len(answers)), NONE)
    rows = {reader: row for row, reader in enumerate(readers)}
    for column, item in enumerate(answers):
        for reader, answer in item.items():
            table[rows[reader], column] = numbers.setdefault(answer, len(numbers))
    shared = table[:, (table != NONE).sum(0) >= 2]
    pairs = []
    for a, b in combinations(readers, 2):
        first, second = table[rows[a]], table[rows[b]]
        both = (first != NONE) & (second != NONE)
        if both.any():
            same = int((first == second)[both].sum())
            pairs.append(PairAgreement((a, b), int(both.sum()), same, kappa_figure(first[both], second[both])))
    ordered = tuple(sorted(pairs, key=lambda pair: -pair.items))
    if not shared.size:
        return Agreement(0, None, ordered, {})
    accuracy = dict(zip(readers, dawid_skene(table, len(numbers)).accuracy.tolist(), strict=True))
    return Agreement(shared.shape[1], alpha_figure(shared), ordered, accuracy)
