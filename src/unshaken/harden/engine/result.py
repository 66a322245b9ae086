"""The result of a training run: which weights are kept, and why."""

from __future__ import annotations

from typing import Any

from unshaken.core.errors import RunError
from unshaken.harden.engine._checkpoint import Progress
from unshaken.harden.engine.harden_file import NAME, read_harden
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.selection import FIGURES
from unshaken.measure import share
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir


def result_of(loop: Loop, progress: Progress) -> dict[str, Any]:
    """What `harden.json` says of a training that has ended.

    Args:
        loop: as it ended.
        progress: of it.
    """
    of_epochs: dict[int, dict[str, float]] = {-1: progress.start, **{int(c["epoch"]): c for c in progress.curves}}
    known = progress.best_epoch < 0 and loop.reference is not None  # figures of the audited images, not the held-out
    chosen = {} if known else of_epochs.get(progress.best_epoch, {})
    figures: dict[str, Any] = {}
    labels = loop.held.labels
    by_pixel = labels is not None and labels.ndim > 1  # mean shares of pixels, whose spread over images is not kept
    for name, n in (("held_accuracy", len(loop.held)), ("held_robust", min(len(loop.held), loop.check.attacked))):
        if name in chosen and not by_pixel:
            figures[name] = share(round(chosen[name] * n), n).to_json()
    threat = loop.threat
    return {
        "chosen_epoch": progress.best_epoch + 1,
        "chosen_by": loop.select,
        "epochs": progress.epoch,
        "stopped_early": progress.epoch < loop.training.epochs,
        "threat": None if threat is None else {"norm": threat.norm, "eps": threat.eps},
        "figures": figures,
        "start": progress.start,
        "start_kept": _why_start(loop, progress),
        "flags": [{"name": k, "detail": v, "ids": []} for k, v in progress.flags.items()],
        "cost": {"forwards": progress.forwards, "backwards": progress.backwards, "seconds": progress.seconds},
    }


def _why_start(loop: Loop, progress: Progress) -> str:
    """Why the starting weights are kept; empty where an epoch is."""
    if progress.best_epoch >= 0 or not progress.start:
        return ""
    name, start = FIGURES[loop.select], progress.start
    what = {"repair": "under the audited changes", "robust": "under attack"}.get(loop.select, "on unchanged images")
    best = max((c for c in progress.curves if name in c), key=lambda c: c[name], default=None)
    if best is None:
        return "no epoch was measured"
    where = "" if loop.reference is None else " (on the audited images)"
    text = (
        f"no epoch was better within what may be lost: held-out accuracy {what} was {start[name]:.1%} at the start"
        f"{where} and {best[name]:.1%} at best, in epoch {int(best['epoch']) + 1}, where accuracy on unchanged images "
        f"went from {start['held_accuracy']:.1%}{where} to {best['held_accuracy']:.1%}"
    )
    most = loop.training.max_clean_loss
    return text if most is None else f"{text} (max_clean_loss allows {100 * most:g} points)"


def earlier_refusal(run: RunDir) -> str:
    """Why an audit refused the weights of a training run that is there; empty where none did."""
    result = read_harden(run).result if run.exists(NAME) else None
    return str((result or {}).get("refused", ""))


def keep_start(run: RunDir, why: str) -> dict[str, Any]:
    """Put the starting weights in the place of the chosen ones, which an audit found worse.

    The reason is written first: whoever resumes after an interruption in between puts the weights there again.

    Args:
        run: a finished training whose starting weights are a candidate.
        why: what the audit found.

    Returns:
        The result, as `harden.json` has it.

    Raises:
        RunError: the training has not ended, or its starting weights are not there.
    """
    with locked(run):
        config = read_harden(run)
        if config.result is None or not run.exists(START):
            raise RunError(f"{run}: holds no finished training with {START}; start a new run")
        config.result |= {"chosen_epoch": 0, "start_kept": why, "refused": why, "figures": {}}
        run.write_json(config.model_dump(mode="json", by_alias=True), NAME)
        run.write(run.read(START), "model.safetensors")
    return config.result


START = "start.safetensors"
"""The starting weights, where they are a candidate."""
