"""`write_table`: `docs/papers.md`, from results that were kept and from nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unshaken.core.errors import DataError
from unshaken.papers.frame.result import PaperResult
from unshaken.run.store import RunDir

HEAD = """# Papers

Each row is a published claim, tried by a small experiment of this package; the verdict follows from a rule that was
written before the run. `unshaken papers run SLUG` runs one again. A claim that does not show at this scale is not
reproduced here, which does not say that it is wrong.
"""


def write_table(
    results_dir: str | os.PathLike[str] = "docs/papers", out: str | os.PathLike[str] = "docs/papers.md"
) -> str:
    """Write the page of all results.

    Args:
        results_dir: where `<slug>.json` lie, as `PaperResult.save` writes them.
        out: the page.

    Returns:
        What was written, Markdown.

    Raises:
        DataError: the folder is absent or empty, or a file is no result.
    """
    folder, page = Path(results_dir), Path(out)
    results = [_read(path) for path in sorted(folder.glob("*.json"))]
    if not results:
        raise DataError(f"no results in {str(folder)!r}: run `unshaken papers run SLUG` and keep its JSON there")
    rows = [
        "| paper | reproduced | data | model | seed | seconds |",
        "|---|---|---|---|---|---|",
        *(
            f"| [{r.slug}](#{r.slug}) | {_verdict(r)} | `{r.data}` | `{_cell(r.model)}` | {r.seed} | {r.seconds:.0f} |"
            for r in results
        ),
    ]
    text = "\n".join([HEAD, *rows, "", *(_section(r) for r in results)])
    RunDir(page.parent).write(text.encode(), page.name)
    return text


def _read(path: Path) -> PaperResult:
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


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _verdict(result: PaperResult) -> str:
    return "yes" if result.reproduced else "no"


def _section(result: PaperResult) -> str:
    lines = [
        f"## {result.slug}",
        "",
        f"*{result.title}*",
        "",
        f"**Claim.** {result.claim}",
        "",
        f"**Rule.** {result.expected.get('rule', 'none was stated')}",
        "",
        f"**Reproduced: {_verdict(result)}.** {result.note}",
        "",
        "| figure | measured | interval | n | expected |",
        "|---|---|---|---|---|",
        *(_line(name, value, result.expected.get(name)) for name, value in result.measured.items()),
        "",
        *(
            f"Expected, without a figure beside it: {name}: {_plain(value)}.\n"
            for name, value in result.expected.items()
            if name != "rule" and name not in result.measured
        ),
    ]
    return "\n".join(lines)


def _line(name: str, value: Any, expected: Any) -> str:
    if isinstance(value, dict):
        ends = f"{_plain(value['low'])} to {_plain(value['high'])} ({value['interval']})"
        return f"| {name} | {_plain(value['value'])} | {ends} | {value['n']} | {_plain(expected)} |"
    return f"| {name} | {_plain(value)} | | | {_plain(expected)} |"


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")
