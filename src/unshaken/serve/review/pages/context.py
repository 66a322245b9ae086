"""Context of every page of a review: the application, the reader, the review by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, cast
from urllib.parse import quote, urlencode

from fastapi import Depends, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import parse_whole, shorten
from unshaken.data.dataset import Dataset
from unshaken.serve.access import Reader, Session
from unshaken.serve.images import LazyCache, Pictures
from unshaken.serve.pages import answer
from unshaken.serve.review.pages.classes import ClassNames
from unshaken.serve.review.records import ItemView, Review
from unshaken.serve.review.store import ReviewStore

NAV = (
    ("Review", "next"),
    ("Grid", "grid"),
    ("Settle", "settle"),
    ("Progress", "progress"),
    ("Agreement", "agreement"),
    ("Versions", "versions"),
)
"""Pages of a review, by name and address."""


@dataclass(frozen=True)
class Application:
    """The store and the data sets that the pages of reviews share.

    Args:
        store: of the reviews.
        open_data: opens the data set of a review.
        store_of_run: gives the store of a run by its number, for reviews whose address is `RUN~NAME`; None where the
            server has no runs.
    """

    store: ReviewStore
    open_data: Callable[[Review], Dataset]
    store_of_run: Callable[[int], ReviewStore] | None = None
    _pictures: LazyCache[Pictures] = field(default_factory=lambda: LazyCache(16))
    _classes: LazyCache[ClassNames] = field(default_factory=lambda: LazyCache(100))

    def find(self, key: str, reader: str) -> tuple[ReviewStore, Review]:
        """A review and the store that holds it.

        Args:
            key: its name, or the number of a run and its name, as in an address.
            reader: who reads it, who becomes one of the readers of the store.

        Raises:
            ParameterError: there is none.
        """
        run, mark, name = key.rpartition("~")
        store = self.store
        if mark:
            if self.store_of_run is None:
                raise ParameterError("this server has no reviews of runs")
            number = parse_whole(run, least=1, most=2**31 - 1)
            if run != str(number):  # a review has one address, for what is kept of it is kept by that
                raise ParameterError(f"there is no review {shorten(key)}")
            store = self.store_of_run(number)
        store.ensure_reader(reader)
        return store, store.review(name)

    def pictures(self, key: str, review: Review) -> Pictures:
        """The pictures of a review.

        Args:
            key: as for `find`.
            review: that it names.

        Raises:
            UnshakenError: its data cannot be opened.
        """
        return self._pictures.get(key, lambda: Pictures(self.open_data(review)))

    def classes(self, key: str, review: Review) -> ClassNames:
        """The classes of a review; arguments as for `pictures`."""
        return self._classes.get(key, lambda: ClassNames(review.classes))


ItemNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""The number of an item in the path of an address."""


def _application(request: Request) -> Application:
    return cast(Application, request.app.state.review)


Here = Annotated[Application, Depends(_application)]


@dataclass(frozen=True, slots=True)
class ReviewContext:
    """A review and who reads in it.

    Args:
        application: with the store.
        session: of the reader.
        store: that holds the review.
        review: its rules and classes.
        key: by which addresses know it.
    """

    application: Application
    session: Session
    store: ReviewStore
    review: Review
    key: str

    @property
    def name(self) -> str:
        """The name of the review."""
        return self.review.name

    @property
    def reader(self) -> str:
        """The name of the reader."""
        return self.session.reader

    @property
    def classes(self) -> ClassNames:
        """The classes of the review."""
        return self.application.classes(self.key, self.review)

    @property
    def pictures(self) -> Pictures:
        """The pictures of the review.

        Raises:
            UnshakenError: its data cannot be opened.
        """
        return self.application.pictures(self.key, self.review)

    def item(self, number: int) -> ItemView:
        """An item as the reader may see it.

        Raises:
            HTTPException: 404, there is none.
        """
        try:
            return self.store.item(self.name, number, self.reader)
        except ParameterError as error:
            raise HTTPException(404, f"{error}.") from None

    def address(self, *parts: object, **query: object) -> str:
        """The address of a page of this review.

        Args:
            parts: of the path below the review's.
            query: options; those that are None or empty are omitted.
        """
        path = "/".join(["/reviews", *(quote(str(part), safe="") for part in (self.key, *parts))])
        given = {k: v for k, v in query.items() if v not in (None, "")}
        return f"{path}?{urlencode(given)}" if given else path

    def go(self, *parts: object, **query: object) -> RedirectResponse:
        """An answer that leads to another page of this review."""
        return RedirectResponse(self.address(*parts, **query), 303)

    def layout(self, title: str, here: str) -> dict[str, Any]:
        """Values of the layout: title, reader, navigation.

        Args:
            title: of the page.
            here: address of the part of the navigation that the page belongs to; empty for none.
        """
        nav = tuple((text, self.address(part), part == here) for text, part in NAV)
        return {"title": f"{title} · {self.name}", "session": self.session, "nav": nav}

    def answer(self, template: str, title: str, here: str, **values: Any) -> HTMLResponse:
        """A page of this review.

        Args:
            template: its name, without ending.
            title: of the page.
            here: as for `layout`.
            values: that the template shows.
        """
        return answer(template, **self.layout(title, here), r=self, heading=title, **values)


def _in_review(name: str, application: Here, session: Reader) -> ReviewContext:
    try:
        return ReviewContext(application, session, *application.find(name, session.reader), name)
    except ParameterError as error:
        raise HTTPException(404, f"{error}.") from None


InReview = Annotated[ReviewContext, Depends(_in_review)]
