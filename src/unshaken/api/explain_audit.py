"""`explain_audit`: what a model looks at in the examples of an audit, before and after each change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from unshaken.api.job import choose_device
from unshaken.core.consent import of_arguments
from unshaken.core.errors import RunError
from unshaken.explain.engine.attribution import Attribution
from unshaken.explain.engine.before_after import explain_examples
from unshaken.models import as_classifier, fingerprint
from unshaken.report.write import write_report
from unshaken.store.config import read_config
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir


@of_arguments
def explain_audit(
    run: str | Path,
    method: str | Attribution[Any] = "gradcam",
    *,
    model: str | nn.Module | None = None,
    conditions: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    download: bool = False,
) -> list[str]:
    """Make maps of the examples that an audit kept, unchanged and changed, and show them in its report.

    Args:
        run: directory of an audit, or of another command with a plan.
        method: an attribution, `NAME[:k=v,...]` or an object.
        model: the one that was audited; None for the SPEC of the run.
        conditions: those whose examples are explained; empty for all.
        seed: of methods that draw.
        batch_size: images in one pass at most.
        device: `auto`, `cpu`, `cuda`, `mps`.
        download: whether the model may be fetched.

    Returns:
        The conditions whose examples were explained.

    Raises:
        RunError: the directory holds no such run, no examples, or another model's.
        ModelError: the model does not have what the method needs.
    """
    directory = RunDir(run)
    config = read_config(directory)
    classifier = as_classifier(config.model if model is None else model, download=download).eval()
    if fingerprint(classifier) != config.model_fingerprint:
        raise RunError(
            f"{directory}: its examples are those of another model than {classifier.name!r} is now: give the one that "
            "was audited"
        )
    with locked(directory):
        explained = explain_examples(
            directory, classifier.to(choose_device(device)), method, conditions=conditions, seed=seed, limit=batch_size
        )
        write_report(directory)
    return explained
