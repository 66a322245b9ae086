"""`Access`: who a request comes from, how often one may try to log in, and the token that forms must carry."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from unshaken.serve.forms import Form, read_form
from unshaken.serve.guard import comes_from_another_site
from unshaken.serve.proxy import Proxy
from unshaken.serve.request_log import CALLER

MOST_KEYS = 10_000
"""Addresses remembered; beyond these the one longest silent is forgotten."""


class Attempts:
    """A limit of attempts by key in a window of time.

    Args:
        most: attempts of one key in a window.
        seconds: length of the window.
        clock: seconds that never go back.

    >>> now = iter([0.0, 1.0, 2.0, 61.5])
    >>> attempts = Attempts(most=2, seconds=60, clock=lambda: next(now))
    >>> [attempts.wait("a") for _ in range(4)]
    [0.0, 0.0, 58.0, 0.0]
    """

    def __init__(self, *, most: int = 10, seconds: float = 60, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.seconds, self.clock = most, seconds, clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, key: str) -> float:
        """Count an attempt, and return the seconds to wait before it is allowed: 0 where it is.

        Args:
            key: who tries, such as a network address.
        """
        with self._lock:
            now, times = self.clock(), self._times.setdefault(key, deque())
            self._times.move_to_end(key)
            while len(self._times) > MOST_KEYS:
                self._times.popitem(last=False)
            while times and times[0] <= now - self.seconds:
                times.popleft()
            if len(times) >= self.most:
                return times[0] + self.seconds - now
            times.append(now)
            return 0.0


COOKIE = "unshaken_reader"
LONGEST_TOKEN = 200
"""Characters of a reader's token."""
MONTH = 30 * 24 * 3600


class Readers(Protocol):
    """The readers of a store: names by token."""

    def reader_of(self, token: str) -> str | None:
        """The reader's name; None where no reader has this token."""


class NotLoggedIn(Exception):
    """The request comes from nobody that is known."""


@dataclass(frozen=True, slots=True)
class Session:
    """A reader, as far as one request goes.

    Args:
        reader: name, as verdicts record it.
        form_token: what every form of this reader carries, so that no other site can send one.
        local: there is no log-in, and so no log-out.
        places: gives where the reader may go, (text, address), for the navigation.
        by_proxy: a proxy has the log-in, and so the log-out.
    """

    reader: str
    form_token: str
    local: bool
    places: Callable[[], Sequence[tuple[str, str]]] = tuple
    by_proxy: bool = False


class Access:
    """Readers who are let in, and the names under which verdicts are recorded.

    Args:
        readers: by token, in a cookie that a log-in sets; None where nobody can log in.
        local: the name of the only reader where there is no log-in, for the loopback address; None for log-in.
        proxy: whose word is taken for the reader's name; None for nobody's.
    """

    def __init__(self, readers: Readers | None, local: str | None = None, proxy: Proxy | None = None) -> None:
        self.readers, self.local, self.proxy = readers, local, proxy
        self._secret = secrets.token_bytes(32)
        self._attempts = Attempts()

    def session(self, request: Request) -> Session:
        """The reader of a request.

        Raises:
            NotLoggedIn: it has no cookie, or one of nobody.
            HTTPException: 403, a proxy names the reader by what is no name.
        """
        places: Callable[[], Sequence[tuple[str, str]]] = request.app.state.places
        if self.local is not None:
            return Session(self.local, _sign(self._secret), True, places)
        named = self._named(request)
        if named is not None:
            return Session(named, _sign(self._secret + named.encode()), False, places, by_proxy=True)
        token = request.cookies.get(COOKIE, "")
        reader = self._reader_of(token)
        if reader is None:
            raise NotLoggedIn
        return Session(reader, _sign(token.encode()), False, places)

    def caller(self, request: Request) -> str:
        """The name of whoever calls as a program: by a proxy, a bearer token, or the only reader; cookies are not read.

        Raises:
            HTTPException: 401, without a token of somebody; 403, from the page of another site, where no token is
                needed, or a proxy sends no name; 429, after too many wrong tokens from one address.
        """
        named = self.local if self.local is not None else self._named(request)
        if named is not None:
            if comes_from_another_site(request.headers):  # a browser has been let in, not this page
                raise HTTPException(403, "The request was sent from the page of another site.")
            return named
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        reader = self._reader_of(token.strip()) if kind.lower() == "bearer" else None
        if reader is not None:
            return reader
        if token:
            self._count_attempt(request)
        why = "The bearer token is nobody's." if token else "Send a token: Authorization: Bearer TOKEN."
        raise HTTPException(401, why, {"www-authenticate": 'Bearer realm="unshaken"'})

    def log_in(self, request: Request, token: str, response: Response) -> str | None:
        """Set the cookie of the reader with a token, and return the reader's name; None where nobody has it.

        Raises:
            HTTPException: 429, after too many attempts from one address.
        """
        self._count_attempt(request)
        reader = None if self.local is not None else self._reader_of(token)
        if reader is not None:
            secure = request.url.scheme == "https"
            response.set_cookie(COOKIE, token, max_age=MONTH, httponly=True, samesite="strict", secure=secure)
        return reader

    def log_out(self, response: Response) -> None:
        """Log a reader out: take the cookie away."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")

    def _count_attempt(self, request: Request) -> None:
        wait = self._attempts.wait(request.client.host if request.client else "")
        if wait:
            headers = {"retry-after": str(int(wait) + 1)}
            raise HTTPException(429, f"Too many attempts to log in: try again in {int(wait) + 1} seconds.", headers)

    def _named(self, request: Request) -> str | None:
        return None if self.proxy is None else self.proxy.reader_of(request)

    def _reader_of(self, token: str) -> str | None:
        if self.readers is None or not (0 < len(token) <= LONGEST_TOKEN and token.isascii()):
            return None
        return self.readers.reader_of(token)


def _sign(key: bytes) -> str:
    return hmac.new(key, b"form", hashlib.sha256).hexdigest()


async def _access(request: Request) -> Access:
    return cast(Access, request.app.state.access)


Doorkeeper = Annotated[Access, Depends(_access)]
"""Who may read."""


def _session(request: Request, access: Doorkeeper) -> Session:
    session = access.session(request)
    request.scope[CALLER] = session.reader
    return session


Reader = Annotated[Session, Depends(_session)]
"""The reader of a page; without one the request is led to the log-in."""


async def _sent(request: Request, session: Reader) -> Form:
    form = await read_form(request)
    if not hmac.compare_digest(session.form_token.encode(), form.one("form", "").encode()):
        raise HTTPException(403, "The form is older than this server, or not from its pages. Load the page again.")
    return form


Sent = Annotated[Form, Depends(_sent)]
"""A form that was sent from a page of this server."""
