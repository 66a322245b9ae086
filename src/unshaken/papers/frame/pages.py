"""The pages of papers: one table of all, and a page with a picture for each, from results' JSON and nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unshaken.papers.frame.page_figures import Shown, checks_of, choose_figures, effect_of
from unshaken.papers.frame.page_picture import draw_figures, drawable
from unshaken.run.store import RunDir

MARK = "<!-- Written by `unshaken papers table` from the JSON of the same name. -->"

HEAD = """# Papers

Each row is a published claim, tried by a small experiment of this package. The verdict follows from a rule that was
written before the run. A claim that does not show at this scale is *not reproduced* here, which does not say that it is
wrong. Each row has its page, with the rule, a picture, the main figures and what differs from the paper.
`unshaken papers run ROW` runs one again.
"""

_SENTENCE = re.compile(r"(?<=[\w)%'\]])\. (?=[A-Z])")


def write_pages(results: Sequence[Mapping[str, Any]], source: Path, out: Path) -> str:
    """Write the table, and beside it a folder with a page and a picture for each result.

    Args:
        results: the JSON of each result, in the order of the table.
        source: folder of `<slug>.json`; the pages link to these.
        out: file of the table; the pages go to the folder of that name without its suffix.

    Returns:
        The table, Markdown.
    """
    folder = out.with_suffix("")
    for stale in _stale_pages(folder, {result["slug"] for result in results}):
        stale.unlink()
        stale.with_suffix(".svg").unlink(missing_ok=True)
    for result in results:
        slug, figures = result["slug"], choose_figures(result)
        pictured = drawable(figures)
        if pictured:
            RunDir(folder).write(draw_figures(pictured).encode(), f"{slug}.svg")
        link = Path(os.path.relpath(source / f"{slug}.json", folder)).as_posix()
        RunDir(folder).write(page_of(result, figures, link).encode(), f"{slug}.md")
    text = table_of(results, folder.name)
    RunDir(out.parent).write(text.encode(), out.name)
    return text


def table_of(results: Sequence[Mapping[str, Any]], folder: str) -> str:
    """The table of all results.

    Args:
        results: the JSON of each.
        folder: where the pages lie, relative to the table.
    """
    reproduced = sum(bool(result["reproduced"]) for result in results)
    lines = [
        HEAD,
        f"{reproduced} of {len(results)} are reproduced.",
        "",
        "| row | claim | verdict | effect | minutes |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        effect = effect_of(choose_figures(result))
        cells = [
            f"[{result['slug']}]({folder}/{result['slug']}.md)",
            _cell(_in_a_line(result["claim"])),
            _verdict(result),
            _cell(_effect(effect)) if effect else "",
            f"{result['seconds'] / 60:.0f}" if result["seconds"] >= 60 else "under 1",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "The effect is the first figure of the row's page that compares, with its interval where it has one.",
        "",
        "```{toctree}",
        ":hidden:",
        ":glob:",
        "",
        f"{folder}/*",
        "```",
        "",
    ]
    return "\n".join(lines)


def page_of(result: Mapping[str, Any], figures: Sequence[Shown], link: str) -> str:
    """The page of one result.

    Args:
        result: its JSON.
        figures: those that the page shows.
        link: to the JSON, relative to the page.
    """
    checks, remarks = checks_of(result["note"])
    failed = sum(not held for held, _ in checks)
    verdict = f"**Verdict: {_verdict(result)}.**"
    if checks:
        many = "Every part of the rule held." if not failed else f"{failed} of {len(checks)} parts of the rule failed."
        verdict += f" {many}"
    lines = [
        f"# {result['title']}",
        "",
        MARK,
        "",
        f"**Claim.** {result['claim']}",
        "",
        verdict,
        "",
        *(f"- {'held' if held else 'did not hold'}: {words}" for held, words in checks),
        "",
        f"**Rule**, written before the run. {result['expected'].get('rule', 'None was stated.')}",
        "",
        *_figures(result, figures),
        "## What differs from the paper",
        "",
        f"- Here: data `{result['data']}`, model `{result['model']}`, seed {result['seed']}.",
    ]
    if "published" in result["expected"]:
        lines.append(f"- Published: {result['expected']['published']}.")
    lines += [f"- {sentence.rstrip('.')}." for sentence in _SENTENCE.split(remarks) if sentence]
    lines += [
        "",
        "## Run it again",
        "",
        "```sh",
        f"unshaken papers run {result['slug']}",
        "```",
        "",
        f"It took {result['seconds'] / 60:.1f} minutes. All {len(result['measured'])} figures: "
        f"[{result['slug']}.json]({link}).",
        "",
    ]
    return "\n".join(lines)


def _figures(result: Mapping[str, Any], figures: Sequence[Shown]) -> list[str]:
    if not figures:
        return []
    pictured = drawable(figures)
    lines = [
        "## Figures",
        "",
        f"![Measured figures with their intervals, and what was expected]({result['slug']}.svg)",
        "",
        "| figure | measured | interval | n | expected |",
        "|---|---|---|---|---|",
    ]
    for f in figures:
        ends = "" if f.low is None or f.high is None else f"{f.low:.4g} to {f.high:.4g}"
        cells = [f"`{f.name}`", f"{f.value:.4g}", ends, "" if f.n is None else str(f.n), f.expected]
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    kinds = sorted({f.interval for f in figures if f.interval})
    notes = [f"Intervals: {'; '.join(kinds)}."] if kinds else []
    if len(pictured) < len(figures):
        notes.append("Figures on another scale stand in the table alone.")
    return [*lines, "", *([" ".join(notes), ""] if notes else [])]


def _stale_pages(folder: Path, slugs: set[str]) -> list[Path]:
    """Pages that this module wrote for results that are gone."""
    pages = folder.glob("*.md") if folder.is_dir() else ()
    return [page for page in pages if page.stem not in slugs and MARK in page.read_text(encoding="utf-8")]


def _verdict(result: Mapping[str, Any]) -> str:
    return "reproduced" if result["reproduced"] else "not reproduced"


def _effect(figure: Shown) -> str:
    """A figure with its interval, and its name as words, which a narrow column can wrap."""
    ends = "" if figure.low is None or figure.high is None else f" ({figure.low:.3g} to {figure.high:.3g})"
    words = re.sub(r"(?<!\d)\.|\.(?!\d)|_", " ", figure.name)
    return f"{figure.value:.3g}{ends}, {words}"


def _in_a_line(claim: str, most: int = 100) -> str:
    """A claim, cut between words at 100 characters.

    >>> _in_a_line("Mixing two networks keeps most of both.", most=20)
    'Mixing two …'
    """
    return claim if len(claim) <= most else f"{claim[: most - 1].rpartition(' ')[0].rstrip(',;:')} …"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
