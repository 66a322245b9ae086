"""`review_part`: the review of labels as a part of a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unshaken.data.dataset import Dataset
from unshaken.serve.app import Part
from unshaken.serve.images import open_recorded
from unshaken.serve.review.pages import grid, items, progress, versions
from unshaken.serve.review.pages.context import Application
from unshaken.serve.review.records import Review
from unshaken.serve.review.store import ReviewStore


def open_data(review: Review) -> Dataset:
    """Open the data set of a review by its SPEC.

    Raises:
        ModelError: the review names code as its data.
        DataError: it cannot be opened.
    """
    return open_recorded(review.data, f"the review {review.name!r}")


def review_part(
    store: ReviewStore,
    images_of: Callable[[Review], Dataset] = open_data,
    *,
    store_of_run: Callable[[int], ReviewStore] | None = None,
    nav: Sequence[tuple[str, str]] = (("Reviews", "/reviews"),),
) -> Part:
    """The pages of a store's reviews.

    Args:
        store: of the reviews.
        images_of: the data set with the images of a review.
        store_of_run: gives the store of a run by its number, for the reviews of runs; None where there are none.
        nav: entries in the navigation.
    """
    pages = (items, grid, progress, versions)
    state = Application(store, images_of, store_of_run)
    return Part("review", state, [page.router for page in pages], nav=lambda: nav)
