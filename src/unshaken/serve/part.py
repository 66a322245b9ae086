"""`Part`: one of the applications behind a server, such as the review of labels or the pages of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from fastapi import APIRouter


@dataclass(frozen=True)
class Part:
    """Addresses that belong together, and what they share.

    Args:
        name: its state is `request.app.state.NAME`; no two parts of a server have the same.
        state: what its pages share.
        routers: its addresses.
        nav: its entries in the navigation of every page, (text, address).
        most_bytes: of a request's body, by the beginning of its address; elsewhere those of a form.
        programs: beginnings of addresses that programs call: trouble is told there in JSON (RFC 9457), and the origin
            of a request is not checked, so that such an address must never act on the strength of a cookie.
        lifespan: opened when the server starts, and closed when it ends; None for nothing.
    """

    name: str
    state: object
    routers: Sequence[APIRouter]
    nav: Sequence[tuple[str, str]] = ()
    most_bytes: dict[str, int] = field(default_factory=dict)
    programs: Sequence[str] = ()
    lifespan: Callable[[], AbstractAsyncContextManager[None]] | None = None
