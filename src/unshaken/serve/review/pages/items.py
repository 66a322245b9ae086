"""One item at a time: its page, keys, pictures and log, the forms for a verdict, and the disagreements to settle."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response

from unshaken.core.errors import ParameterError
from unshaken.labels.review.protocol import is_revealed
from unshaken.labels.review.verdict import Action, Category, RecordedVerdict, Severity, VerdictKind
from unshaken.report.blocks import Block, Cell, Column, Heading, Headline, Prose, Table
from unshaken.serve.access import Sent
from unshaken.serve.images import answer_picture
from unshaken.serve.pages import answer_blocks
from unshaken.serve.review.pages.context import InReview, ItemNumber, ReviewContext
from unshaken.serve.review.pages.verdicts import DID, in_words, is_model_wrong, verdict_of
from unshaken.serve.review.records import Dispute, ItemView

CHOICES = (
    ("c", VerdictKind.CONFIRM, "The label is right"),
    ("n", VerdictKind.NOT_IN_CLASSES, "In none of the classes"),
    ("u", VerdictKind.UNCLEAR, "People cannot tell"),
    ("k", VerdictKind.SKIP, "Skip"),
)
"""Verdicts that name no class: key, kind, text of the button."""

HELP = (
    ("c", "confirm: the label is right"),
    ("m", "the model is right, where its suggestion is shown"),
    ("s", "suggest: another class is right; type a part of its name, then Enter"),
    ("v", "several: more than one class is right; Enter records them"),
    ("n", "none of the classes is right"),
    ("u", "unclear: people cannot tell"),
    ("k", "skip: no verdict now"),
    ("z", "undo the last verdict"),
    ("t", "write a note, which goes with c, n or u"),
    ("j or →", "next item"),
    ("←", "item before"),
    ("1 to 8", "why the model is wrong and how badly; when settling, whose verdict to take"),
    ("Esc", "leave a field, so that letters are keys again"),
    ("?", "this list"),
)
"""Keys of the page of an item, for its list of keys."""


router = APIRouter(prefix="/reviews/{name}")
Did = Literal["confirm", "suggest", "several", "not-in-classes", "unclear", "skip", "undo", ""]


@router.get("")
@router.get("/next")
def show_next(
    here: InReview, after: int | None = Query(None, ge=0, le=2**31 - 1), last: int = 0, did: Did = ""
) -> Response:
    """Lead to the next item that waits for the reader."""
    item = here.store.next_item(here.name, here.reader, after)
    if item is None:
        return here.go("progress", last=last or None, did=did)
    return here.go("items", item.id, last=last or None, did=did)


@router.get("/classes")
def search_classes(here: InReview, q: str = Query("", max_length=200)) -> Response:
    """Names of classes that match a text, for the search of a form."""
    return JSONResponse(here.classes.search(q))


@router.get("/items/{item}")
def show_item(here: InReview, item: ItemNumber, last: int = 0, did: Did = "") -> Response:
    """The page of an item."""
    return _page(here, here.item(item), message=message_of(last, did))


@router.post("/items/{item}/verdict")
def record(here: InReview, item: ItemNumber, sent: Sent) -> Response:
    """Record a verdict, and lead on: to the model's suggestion where the verdict differs from it, else to the next."""
    before = here.item(item)
    try:
        verdict = verdict_of(sent, here.classes)
        here.store.record(here.name, item, here.reader, verdict, token=sent.one("token"))
    except ParameterError as error:
        return _page(here, before, trouble=f"{error}.", status=400)
    after, did = here.item(item), verdict.kind.value
    if not before.is_revealed and after.is_revealed and is_model_wrong(after):
        return here.go("items", item, last=item, did=did)
    return here.go("next", after=item, last=item, did=did)


@router.post("/undo")
def undo(here: InReview, sent: Sent) -> Response:
    """Undo the reader's last verdict, and lead back to its item."""
    row = here.store.undo(here.name, here.reader, token=sent.one("token"))
    return here.go("items", row.item, last=row.item, did="undo")


@router.get("/settle/{item}")
def show_dispute(here: InReview, item: ItemNumber, last: int = 0, did: Did = "") -> Response:
    """The page on which a disagreement is settled."""
    dispute = _dispute(here, item)
    return _page(here, dispute.item, dispute=dispute, message=message_of(last, did))


@router.post("/settle/{item}")
def settle(here: InReview, item: ItemNumber, sent: Sent) -> Response:
    """Settle a disagreement, and lead to the next one."""
    try:
        verdict = verdict_of(sent, here.classes)
        here.store.settle(here.name, item, here.reader, verdict, token=sent.one("token"))
    except ParameterError as error:
        dispute = _dispute(here, item)
        return _page(here, dispute.item, dispute=dispute, trouble=f"{error}.", status=400)
    left = here.store.disagreements(here.name, after=item, limit=1)
    place = ("settle", left[0].item.id) if left else ("settle",)
    return here.go(*place, last=item, did=verdict.kind.value)


def message_of(last: int, did: str) -> str:
    """The line of status after an act: what was done, and to which item.

    >>> message_of(7, "confirm"), message_of(0, "")
    ('Item 7: confirmed.', '')
    """
    if not did or last < 1:
        return ""
    return f"Item {last:,}: undone." if did == "undo" else f"Item {last:,}: {DID[VerdictKind(did)]}."


def _dispute(here: ReviewContext, item: int) -> Dispute:
    found = here.store.disagreements(here.name, after=item - 1, limit=1)
    if not found or found[0].item.id != item:
        raise HTTPException(404, f"Readers do not disagree on item {item}: there is nothing to settle.")
    return found[0]


def _page(here: ReviewContext, item: ItemView, *, dispute: Dispute | None = None, **values: Any) -> Response:
    if dispute is None:
        ahead = here.store.next_item(here.name, here.reader, item.id)
        post, part, sides = here.address("items", item.id, "verdict"), "next", []
    else:
        ahead, post, part = None, here.address("settle", item.id), "settle"
        sides = [(row.reader, in_words(row.verdict, here.classes), row.verdict) for row in dispute.verdicts]
    shown = {
        "item": item,
        "post": post,
        "token": secrets.token_hex(16),
        "sides": sides,
        "choices": CHOICES,
        "help": HELP,
        "own": in_words(item.own, here.classes) if item.own and not dispute else "",
        "wrong": is_model_wrong(item) and not dispute,
        "categories": list(enumerate(Category, 1)),
        "severities": list(enumerate(Severity, 1 + len(Category))),
        "ahead": here.address("items", ahead.id, "image.img") if ahead else "",
    }
    return here.answer("item", f"Item {item.id:,}", part, **shown, **values)


@router.get("/items/{item}/{use}.img")
def show_sample(here: InReview, request: Request, item: ItemNumber, use: Literal["thumbnail", "image"]) -> Response:
    """The picture of an item."""
    return _picture(here, request, here.item(item).sample, use)


@router.get("/items/{item}/near/{label}/{place}.img")
def show_reference(
    here: InReview, request: Request, item: ItemNumber, label: Literal["given", "suggested"], place: int
) -> Response:
    """A reference picture of an item: of the given class, or of the suggested one where the reader may see it."""
    view = here.item(item)
    samples = view.near_given if label == "given" else view.near_suggested
    if not 0 <= place < len(samples):
        raise HTTPException(404, f"Item {item} shows no reference picture {place} of the {label} class.")
    return _picture(here, request, samples[place], "thumbnail")


def _picture(here: ReviewContext, request: Request, sample: str, use: str) -> Response:
    return answer_picture(request, lambda: here.pictures.picture(sample, use))


DISPUTES = 20


@router.get("/settle")
def show_disputes(here: InReview, after: int = Query(0, ge=0, le=2**31 - 1), last: int = 0, did: Did = "") -> Response:
    """A page of disagreements, with each reader's verdict."""
    found = here.store.disagreements(here.name, after=after, limit=DISPUTES + 1)
    shown = [
        (dispute.item, [(row.reader, in_words(row.verdict, here.classes)) for row in dispute.verdicts])
        for dispute in found[:DISPUTES]
    ]
    more = here.address("settle", after=shown[-1][0].id) if len(found) > DISPUTES else ""
    return here.answer("settle", "Settle", "settle", disputes=shown, more=more, message=message_of(last, did))


LOG_COLUMNS = (
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
def show_log(here: InReview, item: ItemNumber) -> Response:
    """The log of an item: the reader's own rows only, as long as a blind review hides the others'."""
    view = here.item(item)
    history = here.store.history(here.name, item)
    visible = history if is_revealed(history, here.reader, blind=here.review.blind) else [
        row for row in history if row.reader == here.reader
    ]  # fmt: skip
    lead = f"Label {here.classes.name(view.given)}, {view.state.value}. Rows are added and never changed."
    blocks: list[Block] = [Headline(f"Log of item {item:,}", (lead,))]
    if len(visible) < len(history):
        blocks.append(Prose("Rows of other readers are shown once you have given a verdict of your own.", "note"))
    if visible:
        blocks.append(Table("Every act on this item.", LOG_COLUMNS, tuple(_log_row(here, row) for row in visible)))
    else:
        blocks.append(Heading("Nothing yet", level=2))
    return answer_blocks(**here.layout(f"Log of item {item:,}", ""), blocks=blocks)


def _log_row(here: ReviewContext, row: RecordedVerdict) -> tuple[Cell | str, ...]:
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
