"""Versions: named points in the log, each with its labels as files for other tools."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask

from unshaken.core.errors import ParameterError
from unshaken.serve.access import Sent
from unshaken.serve.review.exchange import Format, export_review
from unshaken.serve.review.pages.context import InReview, ReviewContext

router = APIRouter(prefix="/reviews/{name}")
FILES = {
    Format.CSV: ("CSV", "csv"),
    Format.CLEANLAB: ("cleanlab arrays", "npz"),
    Format.LABEL_STUDIO: ("Label Studio", "json"),
    Format.FIFTYONE: ("FiftyOne", "json"),
    Format.OVERLAY: ("overlay for ?labels=FILE", "parquet"),
    Format.PARQUET: ("corrected data set", "parquet"),
}
"""Name and ending of each file."""


@router.get("/versions")
def show(here: InReview) -> Response:
    """All named versions, with their downloads, and the form that names another one."""
    return _page(here)


@router.post("/versions")
def name_version(here: InReview, sent: Sent) -> Response:
    """Name the labels as they are now."""
    try:
        here.store.name_version(here.name, sent.one("version").strip())
    except ParameterError as error:
        found = _page(here, trouble=f"{error}.")
        found.status_code = 400
        return found
    return here.go("versions")


@router.get("/export/{format}")
def download(here: InReview, format: Format, version: Annotated[str, Query(max_length=64)] = "") -> Response:
    """The labels of a version as a file; those of now without a version."""
    if version and version not in {one.name for one in here.store.versions(here.name)}:
        raise HTTPException(404, "The review has no version of this name.")
    ending = FILES[format][1]
    folder = tempfile.mkdtemp(prefix="unshaken-export-")
    try:
        file = Path(folder) / f"labels.{ending}"
        export_review(here.store, here.name, format, file, version=version or None)
    except BaseException:
        shutil.rmtree(folder)
        raise
    name = "-".join(part for part in (here.name, version or "now", format.value) if part).replace(" ", "_")
    remove = BackgroundTask(shutil.rmtree, folder)
    return FileResponse(file, media_type="application/octet-stream", filename=f"{name}.{ending}", background=remove)


def _page(here: ReviewContext, trouble: str = "") -> Response:
    versions = here.store.versions(here.name)
    return here.answer("versions", "Versions", "versions", versions=versions, files=FILES, trouble=trouble)
