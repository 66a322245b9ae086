"""`write_table`: `docs/papers.md` and a page for each row, from results that were kept and from nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unshaken.core.errors import DataError
from unshaken.papers.frame.pages import write_pages
from unshaken.papers.frame.result import PaperResult


def write_table(
    results_dir: str | os.PathLike[str] = "docs/papers", out: str | os.PathLike[str] = "docs/papers.md"
) -> str:
    """Write the table of all results, and a page with a picture for each.

    Args:
        results_dir: where `<slug>.json` lie, as `PaperResult.save` writes them.
        out: file of the table; the pages go to the folder of that name without its suffix.

    Returns:
        The table, Markdown.

    Raises:
        DataError: the folder is absent or empty, or a file is no result.
    """
    folder, page = Path(results_dir), Path(out)
    results = [_read(path) for path in sorted(folder.glob("*.json"))]
    if not results:
        raise DataError(f"no results in {str(folder)!r}: run `unshaken papers run SLUG` and keep its JSON there")
    return write_pages(results, folder, page)


def _read(path: Path) -> dict[str, Any]:
    """A result's JSON once validated, with the names of its main figures if it states them under `headline`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        headline = found.pop("headline", ()) if isinstance(found, dict) else ()
        result = PaperResult.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        raise DataError(f"{path} is no result of a paper ({where}: {first['msg']})") from None
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error})") from None
    if result.slug != path.stem:
        raise DataError(f"{path} holds the result of {result.slug!r}; name it {result.slug}.json")
    return {**result.to_json(), "headline": headline}
