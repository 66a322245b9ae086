"""The page on which readers log in with their token, and the form that logs them out."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from unshaken.serve.forms import read_form
from unshaken.serve.pages import answer
from unshaken.serve.refusals import CALLER, log_refusal
from unshaken.serve.session import Doorkeeper, Sent

router = APIRouter()


@router.get("/log-in")
def show(next: str = "/") -> Response:
    """The form to log in."""
    return answer("log_in", title="Log in", next=_local(next))


@router.post("/log-in")
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


@router.post("/log-out")
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
