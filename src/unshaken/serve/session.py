"""What every page starts from: who reads it, and the form that was sent."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from unshaken.serve.access import Access, Session, check_form_token
from unshaken.serve.forms import Form, read_form
from unshaken.serve.refusals import CALLER


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
    check_form_token(session, form.one("form", ""))
    return form


Sent = Annotated[Form, Depends(_sent)]
"""A form that was sent from a page of this server."""
