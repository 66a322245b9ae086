"""`problem`: what went wrong, told to a program in JSON (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


def problem(status: int, why: str, headers: Mapping[str, str] | None = None, **more: Any) -> JSONResponse:
    """A problem document.

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
