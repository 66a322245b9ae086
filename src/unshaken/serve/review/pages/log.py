"""The log of an item: every row, also those that were undone."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from unshaken.labels.review.protocol import is_revealed
from unshaken.labels.review.verdict import Action, RecordedVerdict
from unshaken.report.blocks import Block, Cell, Column, Heading, Headline, Prose, Table
from unshaken.serve.pages import answer_blocks
from unshaken.serve.review.pages.context import InReview, ItemNumber, ReviewContext
from unshaken.serve.review.pages.verdicts import in_words

router = APIRouter(prefix="/reviews/{name}")
COLUMNS = (
    Column("reader", number=False),
    Column("verdict", number=False),
    Column("mistake", number=False),
    Column("suggestion", number=False),
    Column("time", "UTC", number=False),
    Column("row"),
    Column("labels", number=False),
    Column("unshaken", number=False),
)
ACTIONS = {Action.VERDICT: "", Action.SETTLE: "settled: ", Action.WITHDRAW: ""}


@router.get("/items/{item}/log")
def show(here: InReview, item: ItemNumber) -> Response:
    """The log of an item: the reader's own rows only, as long as a blind review hides the others'."""
    view = here.item(item)
    history = here.store.history(here.name, item)
    seen = history if is_revealed(history, here.reader, blind=here.review.blind) else [
        row for row in history if row.reader == here.reader
    ]  # fmt: skip
    lead = f"Label {here.classes.name(view.given)}, {view.state.value}. Rows are added and never changed."
    blocks: list[Block] = [Headline(f"Log of item {item:,}", (lead,))]
    if len(seen) < len(history):
        blocks.append(Prose("Rows of other readers are shown once you have given a verdict of your own.", "note"))
    if seen:
        blocks.append(Table("Every act on this item.", COLUMNS, tuple(_row(here, row) for row in seen)))
    else:
        blocks.append(Heading("Nothing yet", level=2))
    return answer_blocks(**here.layout(f"Log of item {item:,}", ""), blocks=blocks)


def _row(here: ReviewContext, row: RecordedVerdict) -> tuple[Cell | str, ...]:
    verdict, mistake = row.verdict, ""
    words = f"{ACTIONS[row.action]}{in_words(verdict, here.classes)}"
    if verdict is None:
        words = f"undone: row {row.withdraws:,}"
    elif verdict.category and verdict.severity:
        mistake = f"{verdict.category.value}, {verdict.severity.value}"
    time = row.time.strftime("%Y-%m-%d %H:%M:%S")
    shown = "shown" if row.shown.suggestion else "hidden"
    note = verdict.note if verdict is not None else ""
    return row.reader, Cell(words, note=note), mistake, shown, time, f"{row.number:,}", row.shown.labels, row.software
