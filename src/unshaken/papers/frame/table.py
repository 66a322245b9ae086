"""`write_table`: `docs/papers.md` and a page for each row, from results that were kept and from nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import ValidationError

from unshaken.core.errors import DataError
from unshaken.core.registry import list_methods
from unshaken.papers.frame.claim import is_reproduced, judge_parts
from unshaken.papers.frame.measured import Nested
from unshaken.papers.frame.pages import write_pages
from unshaken.papers.frame.paper import Paper
from unshaken.papers.frame.result import PaperResult, note_of
from unshaken.papers.frame.scale import scale_of
from unshaken.papers.frame.seen import seen_again


def write_table(
    results_dir: str | os.PathLike[str] = "docs/papers", out: str | os.PathLike[str] = "docs/papers.md"
) -> str:
    """Write the table of all results, and a page with a picture for each.

    What a result says of a paper whatever was measured (its claim, the titles of its figures, what differs) is brought
    up to date in its file first, and its figures are judged again by the rules as they are now. The figures stay as
    they are, and where the rules have changed since the run, the page says so.

    Args:
        results_dir: where `<slug>.json` lie, as `PaperResult.save` writes them.
        out: file of the table; the pages go to the folder of that name without its suffix.

    Returns:
        The table, Markdown.

    Raises:
        DataError: the folder is absent or empty, or a file is no result.
    """
    folder, page = Path(results_dir), Path(out)
    results = [_updated(_read(path), folder) for path in sorted(folder.glob("*.json"))]
    if not results:
        raise DataError(f"no results in {str(folder)!r}: run `unshaken papers run SLUG` and keep its JSON there")
    return write_pages(results, folder, page)


def _read(path: Path) -> PaperResult:
    """A result, validated."""
    try:
        result = PaperResult.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        raise DataError(f"{path} is no result of a paper ({where}: {first['msg']})") from None
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error})") from None
    if result.slug != path.stem:
        raise DataError(f"{path} holds the result of {result.slug!r}; name it {result.slug}.json")
    return result


def _updated(result: PaperResult, folder: Path) -> PaperResult:
    """The result with what its paper states today; kept in the folder if that has changed."""
    known = {m.name: m.cls for m in list_methods("papers")}
    if result.slug not in known:
        return result
    updated = judge_again(result, known[result.slug])
    if updated != result:
        updated.save(folder)
    return updated


def judge_again(result: PaperResult, cls: type[Paper]) -> PaperResult:
    """A result with its paper's statements and rules as they are now, applied to the figures that it holds.

    Args:
        result: of a run.
        cls: its paper.
    """
    paper = cls(**result.provenance.get("parameters", {}))
    checks = paper.judge(Nested(result.measured))
    judged = judge_parts(paper.claim_parts(), checks)
    again = {
        "expected": {**result.expected, "rule": paper.whole_rule()},
        "checks": tuple(checks),
        "parts": tuple(judged),
        "judged": paper.rule_digest(),
        "reproduced": is_reproduced(judged),
        "scale": scale_of(paper),
        "note": note_of(checks, result.remark),
        "seen_in_training": seen_again(result, paper),
    }
    return result.model_copy(update={**cls.statement(), **again})
