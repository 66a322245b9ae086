"""Context of every page of runs: the site, the reader, the run by its number."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any, cast
from urllib.parse import urlencode

from fastapi import Depends, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.serve.access import Reader, Session
from unshaken.serve.pages import answer
from unshaken.serve.review.pages.classes import ClassNames
from unshaken.serve.site.listing import ListedRun, run_of
from unshaken.serve.site.opened import OpenedRun
from unshaken.serve.site.records import KINDS
from unshaken.serve.site.state import Site

LARGEST = 2**31 - 1
NAV = (("Run", ""), ("Samples", "samples"), ("Report", "report"), ("Model", "model"))
"""Pages of a run, by name and address."""

RunNumber = Annotated[int, Path(ge=1, le=LARGEST)]
"""The number of a run in the path of an address."""
Field = Annotated[str, Query(max_length=300)]
"""A field of a form that asks."""


def _site(request: Request) -> Site:
    return cast(Site, request.app.state.site)


Here = Annotated[Site, Depends(_site)]
"""What the pages share."""


def address_of(*parts: object, **query: object) -> str:
    """The address of a page; options that are None or empty are omitted.

    >>> address_of("runs", 3, "samples", condition="fog-3", after="")
    '/runs/3/samples?condition=fog-3'
    """
    given = {k: v for k, v in query.items() if v not in (None, "")}
    path = "/".join(["", *(str(part) for part in parts if part != "")])
    return f"{path}?{urlencode(given)}" if given else path


@dataclass(frozen=True, slots=True)
class RunContext:
    """A run and who looks at it.

    Args:
        site: with the list.
        session: of the reader.
        listed: the run's line in the list.
    """

    site: Site
    session: Session
    listed: ListedRun

    @property
    def opened(self) -> OpenedRun:
        """The run with its rows.

        Raises:
            HTTPException: 404, it is no evaluation, or its `run.json` is damaged.
        """
        if self.listed.record != "run.json":
            raise HTTPException(404, f"A run of the kind {self.listed.kind} has no samples and classes of its own.")
        try:
            return self.site.open(self.listed)
        except UnshakenError as error:
            raise HTTPException(404, f"{error}.") from None

    @property
    def classes(self) -> ClassNames:
        """The classes of the run."""
        return self.opened.class_names

    def name(self, number: int | None) -> str:
        """The name of a class; a dash for none."""
        return "–" if number is None else "no class" if number < 0 else self.classes.name(number)

    def address(self, *parts: object, **query: object) -> str:
        """The address of a page of this run."""
        return address_of("runs", self.listed.id, *parts, **query)

    def go(self, *parts: object, **query: object) -> RedirectResponse:
        """An answer that leads to another page of this run."""
        return RedirectResponse(self.address(*parts, **query), 303)

    def layout(self, title: str, here: str) -> dict[str, Any]:
        """Values of the layout: title, reader, navigation.

        Args:
            title: of the page.
            here: address of the part of the navigation that the page belongs to.
        """
        evaluation = self.listed.record == "run.json" and self.listed.state != "damaged"
        absent = {"samples": not evaluation, "model": not self.listed.model}
        nav = tuple((text, self.address(part), part == here) for text, part in NAV if not absent.get(part))
        return {"title": f"{title} · {self.listed.name}", "session": self.session, "nav": nav}

    def answer(self, template: str, title: str, here: str, **values: Any) -> HTMLResponse:
        """A page of this run; `values` are what the template shows."""
        return answer(f"site/{template}", **self.layout(title, here), r=self, heading=title, **values)


def find_run(site: Site, number: int) -> ListedRun:
    """A run by its number.

    Raises:
        HTTPException: 404, the list has none.
    """
    try:
        return run_of(site.index, number)
    except ParameterError as error:
        raise HTTPException(404, f"{error}.") from None


def _in_run(number: RunNumber, site: Here, session: Reader) -> RunContext:
    return RunContext(site, session, find_run(site, number))


InRun = Annotated[RunContext, Depends(_in_run)]


def kinds_of() -> list[str]:
    """Every kind of run that a list may hold."""
    return sorted({*KINDS.values(), "attack", "certify", "detect"})


def show_time(seconds: float) -> str:
    """A time as text, in UTC; a dash where it is not known.

    >>> show_time(0), show_time(86400.0)
    ('–', '1970-01-02 00:00')
    """
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) if 0 < seconds < 2**40 else "–"


def show_duration(seconds: float) -> str:
    """A duration as text.

    >>> show_duration(4.2), show_duration(125)
    ('4 s', '2 min 5 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
