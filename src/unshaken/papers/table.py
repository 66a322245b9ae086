"""`write_table`: `docs/papers.md` and the page of each row, from results that were kept and from nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import ValidationError

from unshaken.core.errors import DataError, ParameterError
from unshaken.papers.claim import is_reproduced, judge_parts
from unshaken.papers.effects import Nested, flat
from unshaken.papers.folders import find_row, row_folders
from unshaken.papers.pages import write_pages
from unshaken.papers.paper import Paper, scale_of
from unshaken.papers.result import RESULT, PaperResult, note_of, remark_of
from unshaken.papers.seen import seen_again


def write_table(
    results_dir: str | os.PathLike[str] = "src/unshaken_papers", out: str | os.PathLike[str] = "docs/papers.md"
) -> str:
    """Write the table of all results, and a page with a picture into the folder of each.

    What a result says of a paper whatever was measured (its claim, the titles of its figures, what differs) is brought
    up to date in its file first, and its figures are judged and remarked on again by the rules as they are now. The
    figures stay as they are, and where the rules have changed since the run, the page says so. A result whose figures
    do not fit the rules any more is shown as it was kept, and its page says that it must be made again.

    Args:
        results_dir: holds a folder for each row, with its `result.json`, as `PaperResult.save` writes it; `README.md`
            and `picture.svg` are written beside it.
        out: file of the table.

    Returns:
        The table, Markdown.

    Raises:
        DataError: the folder is absent or empty, or holds results alone that cannot be read; or, once everything else
            is written, some cannot be read or must be made again: the message names each.
    """
    folder, page = Path(results_dir), Path(out)
    results, problems, outdated = [], {}, set()
    for path in sorted(folder.glob(f"*/{RESULT}")):
        try:
            result = _read(path)
        except DataError as error:
            problems[path.parent.name] = str(error)
            continue
        try:
            results.append(_updated(result, folder))
        except DataError as error:
            problems[path.parent.name] = str(error)
            outdated.add(result.slug)
            results.append(result)
    if not results:
        why = "; ".join(problems.values()) or "run `unshaken papers run ROW` and keep its result.json in a folder there"
        raise DataError(f"no results in {str(folder)!r}: {why}")
    text = write_pages(results, folder, page, outdated=outdated)
    if problems:
        raise DataError(
            f"{str(page)!r} is written, but {len(problems)} of {len(results) + len(problems) - len(outdated)} results "
            f"are not up to date: {'; '.join(problems.values())}"
        )
    return text


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
    if result.folder != path.parent.name:
        raise DataError(f"{path} holds the result of {result.slug!r}; name its folder {result.folder}")
    return result


def _updated(result: PaperResult, folder: Path) -> PaperResult:
    """The result with what its paper states today; kept in the folder if that has changed."""
    if result.slug not in row_folders():
        return result
    updated = judge_again(result, find_row(result.slug))
    if updated != result:
        updated.save(folder)
    return updated


def judge_again(result: PaperResult, cls: type[Paper]) -> PaperResult:
    """A result with its paper's statements and rules as they are now, applied to the figures that it holds.

    Args:
        result: of a run.
        cls: its paper.

    Raises:
        DataError: the rules need figures or parameters that the result does not have: it must be made again.
    """
    try:
        paper = cls(**result.provenance.get("parameters", cls.full))  # what was kept before they were is of full scale
        measured = Nested(result.measured)
        checks = paper.judge(measured)
        if not checks or (lost := judged_before(result, paper) - {check.part for check in checks}):
            raise LookupError(f"no figures for {', '.join(sorted(lost)) if checks else 'any part'}")
        remark = remark_of(paper, measured, result.provenance.get("fewer", {}))
    except (LookupError, TypeError, ValueError, ArithmeticError, ParameterError) as error:
        raise DataError(
            f"the figures of {result.slug} do not fit its rules of now ({type(error).__name__}: {error}): run it again"
        ) from None
    judged = judge_parts(paper.claim_parts(), checks)
    again = {
        "expected": {**flat(paper.expected), "rule": paper.whole_rule()},
        "checks": tuple(checks),
        "parts": tuple(judged),
        "judged": paper.rule_digest(),
        "reproduced": is_reproduced(judged),
        "remark": remark,
        "scale": scale_of(paper) if "parameters" in result.provenance else None,
        "seen_in_training": seen_again(result, paper),
        "note": note_of(checks, remark),
    }
    return result.model_copy(update={**cls.statement(), **again})


def judged_before(result: PaperResult, paper: Paper) -> set[str]:
    """The parts of a claim, of those that a paper tries now, for which a result holds checks."""
    tried = {name for name, part in paper.claim_parts().items() if not part.untried}
    return tried & {check.part for check in result.checks}
