"""`Guard`: what holds for every request and every answer; `problem`: what went wrong, for programs (RFC 9457)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unshaken.serve.request_log import log_refusal

MEDIA_TYPE = "application/problem+json"


def problem(status: int, why: str, headers: Mapping[str, str] | None = None, **more: Any) -> JSONResponse:
    """Make a problem document.

    Args:
        status: of the HTTP answer.
        why: one sentence, for a person.
        headers: of the answer.
        more: further members, for programs.
    """
    document = {"type": "about:blank", "title": _title(status), "status": status, "detail": why, **more}
    return JSONResponse(document, status, dict(headers or {}), media_type=MEDIA_TYPE)


def _title(status: int) -> str:
    """The name of a status, as RFC 9457 asks of problems without a type of their own.

    >>> _title(429), _title(599)
    ('Too Many Requests', 'Error')
    """
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


MOST_BYTES = 64 << 10
"""Bytes of a request's body where no part says otherwise: a form of a few short fields."""
PIECE_SECONDS = 30.0
"""Time between two pieces of a request's body."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src 'self' data:",
        "style-src 'self'",
        "style-src-attr 'unsafe-inline'",  # the bars of the report's tables have their length in a style attribute
        "script-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""The Content-Security-Policy: scripts and styles from files of this application only."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of every answer that does not set them itself."""


LOG_IN = ("/log-in", "/log-out")
"""Forms that a server takes that is only read."""


class Guard:
    """Check the host, the origin and the size of a request, and set the security headers of its answer.

    Args:
        app: the application behind it.
        hosts: names that a request may call this server by, without port; None for any. On the loopback address this
            keeps out a web page whose name was made to lead to this machine (DNS rebinding).
        most: bytes of a request's body, by the beginning of its address; elsewhere `MOST_BYTES`.
        programs: beginnings of addresses where the origin of a request is not checked.
        read_only: refuse every request that could change something, but for a log-in and for `programs`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str] | None = None,
        most: Mapping[str, int] | None = None,
        programs: tuple[str, ...] = (),
        read_only: bool = False,
    ) -> None:
        self.app, self.hosts, self.most, self.programs = app, hosts, dict(most or {}), programs
        self.read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        most = next((size for beginning, size in self.most.items() if scope["path"].startswith(beginning)), MOST_BYTES)
        refusal = self._refusal(scope, Headers(scope=scope), most)
        answer = _with_headers(send)
        if refusal is not None:
            status, why = refusal
            log_refusal(scope, status, why)
            refused = problem(status, why) if self._is_for_programs(scope) else PlainTextResponse(why, status)
            await refused(scope, receive, answer)
        else:
            await self.app(scope, _counted(receive, most), answer)

    def _is_for_programs(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return path.startswith(self.programs)

    def _refusal(self, scope: Scope, headers: Headers, most: int) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self.hosts is not None and _name_of(host) not in self.hosts:
            return 400, "This server is not called by that name. Open the address that it printed when it started."
        acts = scope["method"] not in ("GET", "HEAD") and not self._is_for_programs(scope)
        if acts and comes_from_another_site(headers):
            return 403, "The form was sent from another site."
        if _is_part_of_another_site(headers) and not self._is_for_programs(scope):
            return 403, "The page of another site asked for this. Follow a link to it instead."
        if acts and self.read_only and scope["path"] not in LOG_IN:
            return 403, "This server was started with --read-only: it takes no act."
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            return 400, "The length of the request is not a number."
        return (413, _too_large(most)) if len(length) > 12 or int(length) > most else None


def comes_from_another_site(headers: Headers) -> bool:
    """Whether a browser sends a request from the page of another site."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    return site not in ("same-origin", "none") or (origin is not None and not _is_at(origin, headers.get("host", "")))


def _is_at(origin: str, host: str) -> bool:
    try:
        return bool(host) and urlsplit(origin).netloc == host
    except ValueError:
        return False


def _is_part_of_another_site(headers: Headers) -> bool:
    """Whether a page of another site loads this as a part of itself, such as a picture; a link to it is not."""
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "navigate")
    framed = headers.get("sec-fetch-dest", "document") not in ("document", "empty")
    return site not in ("same-origin", "none") and (mode != "navigate" or framed)


def _too_large(most: int) -> str:
    return f"The request is larger than {most:,} bytes."


def _counted(receive: Receive, most: int) -> Receive:
    left, whole = most, False

    async def counted() -> Message:
        nonlocal left, whole
        if not whole:
            message = await _within(receive)
            whole = message["type"] != "http.request" or not message.get("more_body", False)
        else:
            message = await receive()  # the end of the connection
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, _too_large(most))
        return message

    return counted


async def _within(receive: Receive) -> Message:
    """The next piece of a body; 408 where it does not come."""
    try:
        return await asyncio.wait_for(receive(), PIECE_SECONDS)
    except TimeoutError:
        raise HTTPException(408, f"No further piece of the request came for {PIECE_SECONDS:g} seconds.") from None


def _name_of(host: str) -> str:
    """The name in a Host header, in lower case, without its port; empty where it is no host.

    >>> _name_of("LocalHost:8000"), _name_of("[::1]:8000"), _name_of("a:b@c")
    ('localhost', '::1', '')
    """
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018  raises where it is no number
    except ValueError:
        return ""
    return "" if "@" in host or parts.path or parts.query or parts.fragment else parts.hostname or ""


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent
