"""The grid: many items at once, with filters, page by page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import ValidationError

from unshaken.core.documents import first_problem
from unshaken.core.errors import ParameterError
from unshaken.core.numbers import parse_number
from unshaken.labels.review.protocol import ItemState
from unshaken.serve.review.pages.context import InReview, ReviewContext
from unshaken.serve.review.pages.verdicts import in_words
from unshaken.serve.review.records import Filters, Page

router = APIRouter(prefix="/reviews/{name}")
LIMIT = 60
"""Items of a page: a number that 2, 3, 4, 5 and 6 columns fill."""

Field = Annotated[str, Query(max_length=500)]


@router.get("/grid")
def show(
    here: InReview, state: Field = "", given: Field = "", suggested: Field = "", low: Field = "", high: Field = "",
    reader: Field = "", after: Field = "",
) -> Response:  # fmt: skip
    """A page of items that fit the filters."""
    asked = {"state": state, "given": given, "suggested": suggested, "low": low, "high": high, "reader": reader}
    page, trouble = Page((), None), ""
    try:
        filters = _filters(here, asked)
        page = here.store.page(here.name, reader=here.reader, filters=filters, after=after or None, limit=LIMIT)
    except ParameterError as error:
        trouble = f"{error}."
    shown = {
        "asked": asked,
        "page": page,
        "states": list(ItemState),
        "readers": here.store.readers(),
        "own": {item.id: in_words(item.own, here.classes) for item in page.items if item.own},
        "first": here.address("grid", **asked) if after else "",
        "more": here.address("grid", **asked, after=page.next) if page.next else "",
    }
    found = here.answer("grid", "Grid", "grid", trouble=trouble, **shown)
    found.status_code = 400 if trouble else 200
    return found


def _filters(here: ReviewContext, asked: dict[str, str]) -> Filters:
    """The filters that a form asks for."""
    values: dict[str, object] = {
        "state": asked["state"] or None,
        "reader": asked["reader"] or None,
        **{k: here.classes.number(asked[k]) for k in ("given", "suggested") if asked[k].strip()},
        **{
            f"score_{k}": parse_number(asked[f], "score")
            for k, f in (("from", "low"), ("to", "high"))
            if asked[f].strip()
        },
    }
    try:
        return Filters.model_validate(values)
    except ValidationError as error:
        raise ParameterError(first_problem(error)) from None
