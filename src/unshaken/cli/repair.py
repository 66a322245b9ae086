"""What `unshaken harden --from RUN` prints and runs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import console, print_json, print_line, print_page, table
from unshaken.store.address import bare

if TYPE_CHECKING:
    from unshaken.report import Comparisons
    from unshaken.run.repair import RepairPlan


NOT_REPAIRED = 1
"""Exit code where the starting weights are kept, as of a gate that failed."""


def repair_run(
    session: Session,
    run: str,
    out: str | None,
    about: dict[str, Any],
    place: dict[str, Any],
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Plan, show the plan, train, audit again, compare.

    Args:
        session: of this call.
        run: the audit's directory.
        out: of the training run; default the audit's with `-mended`.
        about: what decides the plan.
        place: where and how it is carried out.
        dry_run: stop after the plan.
        as_json: print JSON instead of tables.

    Returns:
        The exit code.
    """
    from unshaken import api
    from unshaken.report.pages.runs import comparison_page
    from unshaken.report.pages.training import WHAT_MAY_HELP

    with progress(session):
        plan = api.plan_repair(run, workers=place["workers"], download=place["download"], **about)
    if not as_json:
        show_plan(plan)
    if dry_run:
        if as_json:
            print_json(plan_json(plan))
        return 0
    folder = out or f"{run.rstrip('/')}-mended"
    session.makes_run(folder, given=out is not None)
    with progress(session):
        done = api.repair(run, plan, out=folder, limit=about["limit"], **place)
    comparison, spec = done.comparison, shlex.quote(done.hardened.spec or f"run:{folder}")
    if as_json:
        pair = None if comparison is None else comparison.to_json()
        print_json({"plan": plan_json(plan), "run": bare(folder), **done.hardened.result, "comparison": pair})
        return NOT_REPAIRED if done.refused else 0
    if done.refused or comparison is None:
        console().print(f"not repaired: {done.refused}", style="bold red", soft_wrap=True)
        print_line(WHAT_MAY_HELP)
        print_line(f"model: {spec} (the weights of {plan.model}, unchanged)")
        if comparison is not None:
            print_line(f"before and after, of the weights that were not kept: {folder}/before-after/compare.html")
        print_line(f"report: {folder}/report.html")
        return NOT_REPAIRED
    if not session.quiet:
        print_page(comparison_page(comparison))
    for line in costs(comparison):
        console().print(line, style="bold red", soft_wrap=True)
    print_line(f"before and after: {folder}/before-after/compare.html")
    print_line(f"model: {spec}")
    return 0


def costs(comparison: Comparisons) -> list[str]:
    """A line where unchanged images are now predicted worse by more than 5 points."""
    clean = [c for one in comparison.runs for c in one.conditions if c.condition.id == "clean"]
    lost = [-c.paired.difference.value for c in clean if c.verdict == "worse"]
    return [
        f"the repaired model lost {100 * points:.1f} points on unchanged images: train longer, on more images, or with "
        "a smaller radius, as in --recipe trades:eps=...; the original model is unchanged"
        for points in lost
        if points > 0.05
    ]


def show_plan(plan: RepairPlan) -> None:
    """Findings with their recipes, and the expected cost."""
    rows = [[f.what, f"{100 * f.loss:.1f}", f.recipe, f.left_out] for f in plan.findings]
    console().print(table(["weakness", "points lost", "recipe", "left out, because"], rows, right=[1]))
    names = ", ".join(r.info.name for r in plan.recipes)
    print_line(
        f"plan: train {plan.model} by {names}, {plan.training.epochs} epochs over {plan.images:,} images of {plan.data}"
    )
    if plan.reference is not None:
        console().print(f"doubt: {plan.reference.why}", style="bold yellow", soft_wrap=True, highlight=False)
    if plan.training.max_clean_loss is not None:
        print_line(
            f"kept is what gains on held-out and on audited images and loses at most "
            f"{100 * plan.training.max_clean_loss:g} points on unchanged ones (--max-clean-loss); else the model stays "
            "as it is"
        )
    print_line(
        f"expected: {minutes(plan.seconds)} and {plan.passes:,} passes for training, {minutes(plan.audit_seconds)} for "
        "the audit afterwards"
    )


def minutes(seconds: float) -> str:
    """A duration for a person.

    >>> minutes(42), minutes(600)
    ('42 s', '10 min')
    """
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def plan_json(plan: RepairPlan) -> dict[str, Any]:
    """The plan as JSON."""
    from dataclasses import asdict

    return {
        "model": plan.model,
        "data": plan.data,
        "findings": [asdict(f) for f in plan.findings],
        "recipes": [{"name": r.info.name, **r.model_dump(mode="json")} for r in plan.recipes],
        "training": plan.training.model_dump(mode="json"),
        "images": plan.images,
        "reference": None if plan.reference is None else asdict(plan.reference),
        "expected": {"seconds": plan.seconds, "passes": plan.passes, "audit_seconds": plan.audit_seconds},
    }
