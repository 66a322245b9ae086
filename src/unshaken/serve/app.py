"""`create_app`: a web application of parts: the review of labels, the pages of runs, the score endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteException

from unshaken.core.errors import RunError, UnshakenError
from unshaken.core.numbers import shorten
from unshaken.serve.access import Access, Doorkeeper, NotLoggedIn, Readers, Sent
from unshaken.serve.forms import read_form
from unshaken.serve.guard import Guard, problem
from unshaken.serve.pages import answer, static_files
from unshaken.serve.proxy import Proxy, ProxyHeaders
from unshaken.serve.request_log import CALLER, ActLog, log_refusal


@dataclass(frozen=True)
class Part:
    """Addresses that belong together, and what they share.

    Args:
        name: its state is `request.app.state.NAME`; no two parts of a server have the same.
        state: what its pages share.
        routers: its addresses.
        nav: gives its entries in the navigation of every page, (text, address); asked for each page.
        most_bytes: of a request's body, by the beginning of its address; elsewhere those of a form.
        programs: beginnings of addresses that programs call: errors are reported in JSON there (RFC 9457), and the
            origin of a request is not checked, so that such an address must never act on the strength of a cookie.
        lifespan: opened when the server starts, and closed when it ends; None for nothing.
    """

    name: str
    state: object
    routers: Sequence[APIRouter]
    nav: Callable[[], Sequence[tuple[str, str]]] = tuple
    most_bytes: dict[str, int] = field(default_factory=dict)
    programs: Sequence[str] = ()
    lifespan: Callable[[], AbstractAsyncContextManager[None]] | None = None


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


def create_app(
    parts: Sequence[Part],
    *,
    readers: Readers | None = None,
    local: str | None = None,
    hosts: Collection[str] | None = None,
    read_only: bool = False,
    proxy: Proxy | None = None,
) -> FastAPI:
    """Make the web application of some parts.

    Args:
        parts: what it serves; its first page leads to the first entry of their navigation.
        readers: who log in with their token; None where nobody can.
        local: name of the only reader, who needs no log-in, for a server that only this machine can reach.
        hosts: names that a request may call the server by; None for any.
        read_only: refuse every act, but for a log-in.
        proxy: whose word is taken for the client's address and the scheme, and perhaps for the reader's name.
    """
    app = FastAPI(
        title="unshaken",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would lead to whatever host the request names
        lifespan=_opened(parts),
    )
    app.state.access = Access(readers, local, proxy)
    app.state.places = lambda: [place for part in parts for place in part.nav()]
    app.state.is_ending = lambda: False  # `serve` puts its server's word in its place
    app.state.programs = tuple(beginning for part in parts for beginning in part.programs)
    most = {beginning: size for part in parts for beginning, size in part.most_bytes.items()}
    app.add_middleware(ActLog, programs=app.state.programs)
    app.add_middleware(Guard, hosts=hosts, most=most, programs=app.state.programs, read_only=read_only)
    app.add_middleware(ProxyHeaders, proxy=proxy)  # the last one added is asked first
    app.include_router(log_in_router)
    for part in parts:
        setattr(app.state, part.name, part.state)
        for router in part.routers:
            app.include_router(router)
    app.add_api_route("/", _first_page, include_in_schema=False)
    app.add_api_route("/static/{digest}/{name}", _static, include_in_schema=False)
    app.add_exception_handler(NotLoggedIn, _to_log_in)
    app.add_exception_handler(StarletteException, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(UnshakenError, _wrong)
    return app


def _opened(parts: Sequence[Part]) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for part in parts:
                if part.lifespan is not None:
                    await stack.enter_async_context(part.lifespan())
            yield

    return lifespan


def _first_page(request: Request) -> Response:
    places = request.app.state.places()
    if not places:
        raise HTTPException(404, "There is no such page.")
    return RedirectResponse(places[0][1], 303)


def _static(digest: str, name: str) -> Response:
    if name not in static_files():
        raise HTTPException(404, "There is no such file.")
    return static_files()[name]


def _is_for_programs(request: Request) -> bool:
    programs: tuple[str, ...] = request.app.state.programs
    return request.url.path.startswith(programs)


def _trouble(request: Request, status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    log_refusal(request.scope, status, why)
    if _is_for_programs(request):
        return problem(status, why, headers)
    found = answer("trouble", status=status, title=TITLES.get(status, "Not possible"), why=why)
    found.headers.update(headers or {})
    return found


def _to_log_in(request: Request, error: Exception) -> Response:
    if not _is_for_programs(request) and request.method == "GET" and not request.url.path.endswith(".img"):
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/log-in?next={quote(here, safe='')}", 303)
    return _trouble(request, 403, "Log in first.")


def _refused(request: Request, error: Exception) -> Response:
    refusal = cast(StarletteException, error)
    detail = str(refusal.detail)
    known = {"Not Found": "There is no such page.", "Method Not Allowed": "This address takes no such request."}
    return _trouble(request, refusal.status_code, known.get(detail, detail), dict(refusal.headers or {}))


def _not_valid(request: Request, error: Exception) -> Response:
    if _is_for_programs(request):
        wrong = cast(RequestValidationError, error).errors()[0]
        place = ".".join(str(part) for part in wrong["loc"][1:])
        return _trouble(request, 400, f"{shorten(place)} in the {wrong['loc'][0]}: {wrong['msg']}.")
    return _trouble(request, 404, "There is no such page: a number or a word of its address is not known.")


def _wrong(request: Request, error: Exception) -> Response:
    return _trouble(request, 500 if isinstance(error, RunError) else 400, f"{error}.")


log_in_router = APIRouter()


@log_in_router.get("/log-in")
def show_log_in(next: str = "/") -> Response:
    """The form to log in."""
    return answer("log_in", title="Log in", next=_local(next))


@log_in_router.post("/log-in")
async def log_in(request: Request, access: Doorkeeper) -> Response:
    """Log in with a token."""
    form = await read_form(request)
    to = _local(form.one("next", "/"))
    found = RedirectResponse(to, 303)
    reader = access.log_in(request, form.one("token", "").strip(), found)
    if reader is None:
        log_refusal(request.scope, 403, "No reader has this token.")
        return answer("log_in", status=403, title="Log in", next=to, trouble="No reader has this token.")
    request.scope[CALLER] = reader
    return found


@log_in_router.post("/log-out")
def log_out(access: Doorkeeper, sent: Sent) -> Response:
    """Log out."""
    found = RedirectResponse("/log-in", 303)
    access.log_out(found)
    return found


def _local(address: str) -> str:
    r"""The address, if it is a path of this server; else the first page.

    >>> _local("/reviews/a?x=1"), _local("//evil.example"), _local("https://evil.example"), _local("/a\\b")
    ('/reviews/a?x=1', '/', '/', '/')
    """
    inside = address.startswith("/") and not address.startswith("//") and "\\" not in address
    return address if inside and address.isprintable() else "/"
