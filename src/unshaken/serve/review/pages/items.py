"""One item at a time: its page, and the forms for a verdict, for undoing one, and for settling a disagreement."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import JSONResponse, Response

from unshaken.core.errors import ParameterError
from unshaken.labels.review.verdict import Category, Severity, VerdictKind
from unshaken.serve.review.pages.context import InReview, ItemNumber, ReviewContext
from unshaken.serve.review.pages.keys import CHOICES, HELP
from unshaken.serve.review.pages.verdicts import DID, in_words, is_model_wrong, verdict_of
from unshaken.serve.review.records import Dispute, ItemView
from unshaken.serve.session import Sent

router = APIRouter(prefix="/reviews/{name}")
After = Annotated[int | None, Query(ge=0, le=2**31 - 1)]
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
def show(here: InReview, item: ItemNumber, last: int = 0, did: Did = "") -> Response:
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
