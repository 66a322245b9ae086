"""`ActLog`: one line for each act that was done: who, when, from where, and what it led to."""

from __future__ import annotations

import logging

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unshaken.serve.refusals import LONGEST, log_line

log = logging.getLogger("unshaken.acts")


class ActLog:
    """Log the requests that change or start something, or log in, once they are answered.

    Neither tokens nor queries nor what a form holds are logged. Requests of programs are not: they change nothing.

    Args:
        app: the application behind it.
        programs: beginnings of addresses that programs call.
    """

    def __init__(self, app: ASGIApp, *, programs: tuple[str, ...] = ()) -> None:
        self.app, self.programs = app, programs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or scope["path"].startswith(self.programs):
            await self.app(scope, receive, send)
            return

        async def logged(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                to = Headers(raw=message.get("headers", [])).get("location", "").partition("?")[0]
                log_line(log, scope, status=message["status"], to=to[:LONGEST])
            await send(message)

        await self.app(scope, receive, logged)
