"""`unshaken labels compare`: what a review changed, and models under the labels before and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from unshaken.cli.label_review import open_store
from unshaken.cli.options import Database, Json, ReviewName
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line, print_page
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError
from unshaken.core.options import Argument, Option

if TYPE_CHECKING:
    from unshaken.labels.correct.outcome import Outcome


@verb
def compare(
    session: Session,
    labels: Annotated[str, Argument("Labels after the review: FILE of labels export.", "LABELS")],
    directories: Annotated[list[str] | None, Argument("Audits of models on the reviewed data.", "[DIR ...]")] = None,
    review: Annotated[
        str | None,
        Option(
            "Search for wrong labels whose review made LABELS: adds reasons, agreement and the share of wrong "
            "labels that labels estimate found.",
            "DIR",
        ),
    ] = None,
    name: ReviewName = "review",
    db: Database = None,
    before: Annotated[
        list[str] | None,
        Option("Audit, on other images, of a network trained on the labels before; repeatable.", "DIR"),
    ] = None,
    after: Annotated[
        list[str] | None, Option("The same of one trained on LABELS; one for each --before.", "DIR")
    ] = None,
    out: Annotated[str | None, Option("Folder for a report and the figures.", "DIR")] = None,
    json: Json = False,
) -> int:
    """Show what correcting labels changed: how many and why, and models before and after, on the same samples."""
    from unshaken.api.label_versions import compare_labels
    from unshaken.report.label_versions_page import label_versions_page

    pairs = before or [], after or []
    if len(pairs[0]) != len(pairs[1]):
        raise ParameterError(f"{len(pairs[0])} --before and {len(pairs[1])} --after: give audits in pairs")
    said, wrong = (None, None) if review is None else _reviewed(labels, review, name, db)
    found = compare_labels(
        labels, *(directories or []), review=said, wrong=wrong, retrained=list(zip(*pairs, strict=True)), out=out
    )
    if json:
        print_json(found.record)
    elif not session.quiet:
        print_page(label_versions_page(found.record))
    if out is not None and not json:
        print_line(f"report: {out.rstrip('/')}/report.html")
    return 0


def _reviewed(labels: str, run: str, name: str, db: str | None) -> tuple[Outcome, dict[str, Any] | None]:
    """What people said by the version of the labels, and the estimated share of wrong ones where there is one."""
    from unshaken.api.label_estimate import read_estimate
    from unshaken.serve.review.exchange import outcome_of
    from unshaken.store.run_dir import RunDir

    with open_store(run, db) as store:
        return outcome_of(store, name, labels), read_estimate(RunDir(run))
