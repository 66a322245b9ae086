"""`create_app`: the web application over a store of reviews."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import cast
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteException

from unshaken.core.errors import RunError, UnshakenError
from unshaken.data.dataset import Dataset
from unshaken.data.load import load_data
from unshaken.serve.access import Access, NotLoggedIn
from unshaken.serve.guard import Guard
from unshaken.serve.log_in import router as log_in
from unshaken.serve.pages import answer, static_files
from unshaken.serve.review.pages import agreement, grid, images, items, listing, log, progress, settle, versions
from unshaken.serve.review.pages.context import Application
from unshaken.serve.review.records import Review
from unshaken.serve.review.store import ReviewStore

TITLES = {
    400: "The request is not understood",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "Not possible now",
    413: "Too large",
    415: "Not a form",
    422: "The request is not understood",
    429: "Too many attempts",
    500: "Something failed here",
}


def open_data(review: Review) -> Dataset:
    """Open the data set of a review by its SPEC.

    Raises:
        DataError: it cannot be opened.
    """
    return load_data(review.data)


def create_app(
    store: ReviewStore,
    *,
    images_of: Callable[[Review], Dataset] = open_data,
    reader: str | None = None,
    hosts: Collection[str] | None = None,
) -> FastAPI:
    """The web application.

    Args:
        store: of the reviews.
        images_of: the data set with the images of a review.
        reader: name of the only reader, who needs no log-in, for a server that only this machine can reach; None for
            readers who log in with their token.
        hosts: names that a request may call the server by; None for any.
    """
    app = FastAPI(title="unshaken", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.application = Application(store, Access(store, reader), images_of)
    app.add_middleware(Guard, hosts=hosts)
    pages = (listing, images, items, grid, settle, progress, agreement, versions, log)
    for router in (log_in, *(page.router for page in pages)):
        app.include_router(router)
    app.add_api_route("/static/{digest}/{name}", _static, include_in_schema=False)
    app.add_exception_handler(NotLoggedIn, _to_log_in)
    app.add_exception_handler(StarletteException, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(UnshakenError, _wrong)
    return app


def _static(digest: str, name: str) -> Response:
    if name not in static_files():
        raise HTTPException(404, "There is no such file.")
    return static_files()[name]


def _trouble(request: Request, status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    title = TITLES.get(status, "Not possible")
    found = answer("trouble", status=status, title=title, why=why)
    found.headers.update(headers or {})
    return found


def _to_log_in(request: Request, error: Exception) -> Response:
    if request.method == "GET" and not request.url.path.endswith(".img"):
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/log-in?next={quote(here, safe='')}", 303)
    return _trouble(request, 403, "Log in first.")


def _refused(request: Request, error: Exception) -> Response:
    refusal = cast(StarletteException, error)
    detail = str(refusal.detail)
    known = {"Not Found": "There is no such page.", "Method Not Allowed": "This address takes no such request."}
    return _trouble(request, refusal.status_code, known.get(detail, detail), dict(refusal.headers or {}))


def _not_valid(request: Request, error: Exception) -> Response:
    return _trouble(request, 404, "There is no such page: a number or a word of its address is not known.")


def _wrong(request: Request, error: Exception) -> Response:
    return _trouble(request, 500 if isinstance(error, RunError) else 400, f"{error}.")
