"""`list_papers` and `run_paper`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from unshaken.core.errors import ParameterError
from unshaken.core.registry import list_methods, parse_method
from unshaken.papers.base import Bench, Check, Paper, PaperResult
from unshaken.run.lock import locked
from unshaken.run.store import RunDir


@dataclass(frozen=True, slots=True)
class PaperInfo:
    """What is known of a paper before it is run.

    Args:
        slug: its name here.
        title: of the publication.
        claim: what it says, in a sentence.
        rule: how the verdict will follow.
        reference: the publication, with an address.
        data: SPEC of the data it uses unless told otherwise.
        model: SPEC of the model it uses unless told otherwise.
    """

    slug: str
    title: str
    claim: str
    rule: str
    reference: str
    data: str
    model: str

    def to_json(self) -> dict[str, str]:
        """The seven fields."""
        return asdict(self)


def list_papers() -> list[PaperInfo]:
    """All papers, by slug."""
    found = []
    for method in list_methods("papers"):
        cls: type[Paper] = method.cls
        found.append(PaperInfo(method.name, cls.title, cls.claim, cls.rule, method.reference, cls.data, cls.model))
    return found


def run_paper(
    slug: str,
    *,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    data: str | None = None,
    model: str | None = None,
    download: bool = False,
) -> PaperResult:
    """Run a paper's small experiment and judge its claim by the rule written beforehand.

    Args:
        slug: a name of `list_papers`; parameters may follow, as in `crop-selection:photos=60`.
        seed: decides all that is drawn.
        out: the run directory for the rows; one that an interrupted run left is gone on with. Default: a new one
            below `runs/`.
        data: a data SPEC in the place of the paper's own.
        model: a model SPEC in the place of the paper's own.
        download: whether sources may be fetched.

    Returns:
        The result, also kept as `result.json` in the run directory.

    Raises:
        UnshakenError: it could not run; one line says why and what to do.
    """
    if seed < 0:
        raise ParameterError(f"seed={seed} must be 0 or more")
    paper: Paper = parse_method(slug, "papers")
    name = paper.info.name
    run = RunDir(out or f"runs/papers/{name}-{time.strftime('%Y%m%d-%H%M%S')}")
    bench = Bench(
        seed=seed,
        run=run,
        data=data or paper.data,
        model=model or paper.model,
        own=data is not None or model is not None,
        download=download,
    )
    began = time.perf_counter()
    with locked(run):
        measured = paper.run(bench)
    checks = paper.judge(measured)
    result = PaperResult(
        slug=name,
        title=paper.title,
        claim=paper.claim,
        measured=flat(measured),
        expected={**flat(paper.expected), "rule": paper.rule},
        reproduced=bool(checks) and all(c.holds for c in checks),
        data=bench.data,
        model=bench.model,
        seed=seed,
        seconds=round(time.perf_counter() - began, 1),
        note=_note(paper, checks, paper.remark(measured)),
    )
    run.write_json(result.to_json(), "result.json")
    return result


def _note(paper: Paper, checks: list[Check], remark: str) -> str:
    """Which parts of the rule held, what was not at its default, and the paper's own remark."""
    held, failed = ([c.words for c in checks if c.holds is side] for side in (True, False))
    changed = paper.model_dump(exclude_defaults=True)
    parts = [
        f"Did not hold: {'; '.join(failed)}." if failed else "",
        f"Held: {'; '.join(held)}." if held else "",
        f"Run with {', '.join(f'{k}={v}' for k, v in changed.items())}." if changed else "",
        remark,
    ]
    return " ".join(p for p in parts if p)


def flat(figures: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested figures under one dotted name each; a figure with its interval stays whole.

    >>> flat({"photos": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 96, "interval": "..."}, "law": 0.8}})
    {'photos.accuracy': {'value': 0.5, 'low': 0.4, 'high': 0.6, 'n': 96, 'interval': '...'}, 'photos.law': 0.8}
    """
    found: dict[str, Any] = {}
    for key, value in figures.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and "interval" not in value:
            found |= flat(value, f"{name}.")
        else:
            found[name] = value
    return found
