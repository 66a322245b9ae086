"""One line of JSON for each request that was refused and for each act that was done, to watch over a server."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unshaken.core.errors import ParameterError

refusals = logging.getLogger("unshaken.refusals")
LONGEST = 200
"""Characters of a path or of a reason."""
CALLER = "unshaken.caller"
"""Where a request's scope has the name of the caller, once it is known."""


def log_refusal(scope: Scope, status: int, why: str) -> None:
    """Log that a request was refused: JSON in ASCII, so that nothing that was sent can look like another line.

    Neither tokens nor queries nor bodies are logged.

    Args:
        scope: of the request.
        status: of the answer.
        why: as the client is answered.
    """
    log_line(refusals, scope, status=status, why=why[:LONGEST])


def log_line(logger: logging.Logger, scope: Scope, **more: object) -> None:
    """Log a line of JSON in ASCII about a request: time, address, caller, method and path.

    Args:
        logger: where to.
        scope: of the request.
        more: further members.
    """
    if not logger.isEnabledFor(logging.INFO):
        return
    record = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "address": (scope.get("client") or ("",))[0],
        "caller": scope.get(CALLER, ""),
        "method": scope["method"][:LONGEST],
        "path": scope["path"][:LONGEST],
        **more,
    }
    logger.info(json.dumps(record))


def log_to(file: str, *loggers: logging.Logger) -> None:
    """Append the lines to a file from here on, or write them to standard error.

    Args:
        file: its path; `-` for standard error.
        loggers: of the lines; none for refusals.

    Raises:
        ParameterError: the file cannot be written.
    """
    try:
        handler = logging.StreamHandler() if file == "-" else logging.FileHandler(file, encoding="ascii")
    except OSError as error:
        raise ParameterError(f"{file!r} cannot be written ({error.strerror}): name another file") from None
    handler.setFormatter(logging.Formatter("%(message)s"))
    for logger in loggers or (refusals,):
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


acts = logging.getLogger("unshaken.acts")


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
                log_line(acts, scope, status=message["status"], to=to[:LONGEST])
            await send(message)

        await self.app(scope, receive, logged)
