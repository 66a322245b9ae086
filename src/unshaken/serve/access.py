"""`Access`: who a request comes from, and the token that its forms must carry."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from unshaken.serve.attempts import Attempts
from unshaken.serve.guard import comes_from_another_site
from unshaken.serve.proxy import Proxy

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
        places: where the reader may go, (text, address), for the navigation.
        by_proxy: a proxy has the log-in, and so the log-out.
    """

    reader: str
    form_token: str
    local: bool
    places: tuple[tuple[str, str], ...] = ()
    by_proxy: bool = False


class Access:
    """Who may read, and as whom verdicts are recorded.

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
        places: tuple[tuple[str, str], ...] = request.app.state.places
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
        """Take the cookie away."""
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


def check_form_token(session: Session, sent: str) -> None:
    """Check the token of a form.

    Raises:
        HTTPException: 403, it is not that of the reader's pages.
    """
    if not hmac.compare_digest(session.form_token.encode(), sent.encode()):
        raise HTTPException(403, "The form is older than this server, or not from its pages. Load the page again.")
