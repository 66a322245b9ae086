"""`unshaken detect mark`."""

from __future__ import annotations

from typing import Annotated

from unshaken.cli.options import Data, Download
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import print_line
from unshaken.cli.verb import verb
from unshaken.core.options import Option


@verb
def mark(
    session: Session,
    data: Data,
    method: Annotated[
        str,
        Option(
            "A watermark: spread-spectrum or dct, whose parameters are the key, or with --detectors a fitted one.",
            "NAME[:k=v,...]",
        ),
    ],
    out: Annotated[str, Option("Folder for the PNG files.", "DIR")],
    detectors: Annotated[
        str | None, Option("Folder of 'detect fit' with the trained networks of a learned-watermark.", "DETECTORS")
    ] = None,
    limit: Annotated[int | None, Option("Images at most: seeded, stratified.", "N")] = None,
    seed: Annotated[int, Option("Decides which images --limit takes.", "S")] = 0,
    download: Download = False,
) -> int:
    """Set a watermark on images, as PNG files that 'folder:DIR' reads as data.

    The detector of the same name and parameters finds them. Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.mark import RECORD
    from unshaken.api.mark import mark as set_mark
    from unshaken.core.errors import ParameterError

    if not out:
        raise ParameterError("--out is empty: name a folder to write to")
    with progress(session):
        folder = set_mark(data, method, out=out, detectors=detectors, limit=limit, seed=seed, download=download)
    print_line(f"images: {out} ({len(folder.read_json(RECORD)['images'])} PNG files)")
    return 0
