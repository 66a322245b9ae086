"""`unshaken labels compare`: models under the labels before and after a review."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.options.shared import Json
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line, print_page
from unshaken.cli.verb import verb


@verb
def compare(
    session: Session,
    labels: Annotated[
        str,
        typer.Argument(metavar="LABELS", help="Labels after the review: FILE of labels export.", show_default=False),
    ],
    directories: Annotated[
        list[str], typer.Argument(metavar="DIR ...", help="Audits of one or more models.", show_default=False)
    ],
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder for a page and the figures.", show_default=False)
    ] = None,
    json: Json = False,
) -> int:
    """Compare the accuracy and the ranking of models before and after labels were corrected, on the same samples."""
    from unshaken.api.label_versions import compare_labels
    from unshaken.report.label_versions_page import label_versions_page
    from unshaken.report.render.html import render_html
    from unshaken.run import RunDir

    found = compare_labels(labels, *directories)
    page = label_versions_page(found)
    if out is not None:
        place = RunDir(out)
        place.write_json(found.to_json(), "label-versions.json")
        place.write(render_html(page).encode(), "label-versions.html")
    if json:
        print_json(found.to_json())
    elif not session.quiet:
        print_page(page)
    if out is not None and not json:
        print_line(f"page: {out.rstrip('/')}/label-versions.html")
    return 0
