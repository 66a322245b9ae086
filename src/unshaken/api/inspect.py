"""`inspect` and `drift`: the health of a data set, and how another one differs from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unshaken.api.evaluate import EvaluateResult, evaluate
from unshaken.api.job import default_out
from unshaken.core.consent import of_arguments
from unshaken.core.package import public
from unshaken.core.registry import method_text
from unshaken.data import DataSource
from unshaken.inspect.engine.base import Check
from unshaken.tasks.inspection.data_drift import DataDrift
from unshaken.tasks.inspection.data_health import DataHealth


@public("inspect")
@of_arguments
def inspect(
    data: DataSource,
    checks: str | Check | Sequence[str | Check] = (),
    *,
    against: str | Sequence[str] = (),
    model: str = "",
    run: str | Path = "",
    limit: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    gates: str | Sequence[str] = (),
    device: str = "auto",
    workers: int | None = None,
    download: bool = False,
) -> EvaluateResult:
    """Inspect a data set: copies, damaged, dark, blurry or odd images, class balance, and labels given away.

    Args:
        data: a SPEC or an object as for `audit`.
        checks: `NAME[:k=v,...]` of the room `inspect`, or objects; default all that data and model allow.
        against: SPECs of further sets, such as the training data: images of the data that are in one of these as well
            are a leak.
        model: SPEC of a model, for outliers.
        run: directory of a run on the data, such as of `audit`: what its accuracy owes to images of another set.
        limit: samples of each set at most: a seeded, stratified draw.
        seed: of all that is drawn.
        out: the run directory; default `runs/` and a name.
        resume: go on with the run that is there; what was measured is not measured again.
        gates: conditions on figures, such as `share_exact_duplicates <= 0` or `leak_duplicates <= 0`.
        device: `auto`, `cpu`, `cuda`, `mps`.
        workers: threads that decode and measure.
        download: whether models and data may be fetched.

    Raises:
        ParameterError: a check, a gate or an option is not known, or does not fit the data.
        DataError: the data cannot be read.
        RunError: the directory holds another run, or cannot be written; or `run` has no predictions of the data.
    """
    given = [checks] if isinstance(checks, str | Check) else list(checks)
    health = DataHealth(
        checks=tuple(one if isinstance(one, str) else method_text(one) for one in given),
        against=(against,) if isinstance(against, str) else tuple(against), model=model, run=str(run),
    )  # fmt: skip
    return evaluate(
        health, data=data, limit=limit, seed=seed, out=out or default_out("inspect", data, "health"), resume=resume,
        gates=gates, device=device, workers=workers, download=download,
    )  # fmt: skip


@public("drift")
@of_arguments
def drift(
    reference: str,
    data: DataSource,
    *,
    model: str = "",
    alpha: float = 0.05,
    permutations: int = 999,
    limit: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    gates: str | Sequence[str] = (),
    device: str = "auto",
    workers: int | None = None,
    download: bool = False,
) -> EvaluateResult:
    """Test whether a data set differs from a reference: in features, properties, classes, and a model's outputs.

    Args:
        reference: SPEC of the reference, such as the training data.
        data: a SPEC or an object as for `audit`.
        model: SPEC of a model, for tests of its outputs and for shares of classes without labels.
        alpha: probability of a difference being shown, by any of the tests, where there is none.
        permutations: random divisions of a permutation test.
        limit: samples of each set at most: a seeded, stratified draw.
        seed: of all that is drawn.
        out: the run directory; default `runs/` and a name.
        resume: go on with the run that is there; what was measured is not measured again.
        gates: conditions on figures, such as `p_value >= 0.05` or `auroc_pixels <= 0.6`.
        device: `auto`, `cpu`, `cuda`, `mps`.
        workers: threads that decode and measure.
        download: whether models and data may be fetched.

    Raises:
        ParameterError: a gate or an option is not known, or there are too few permutations for alpha.
        DataError: a set cannot be read, or has too few images.
        ModelError: the model does not take the images.
        RunError: the directory holds another run, or cannot be written.
    """
    found = DataDrift(reference=reference, model=model, alpha=alpha, permutations=permutations)
    return evaluate(
        found, data=data, limit=limit, seed=seed, out=out or default_out("drift", data, "drift"), resume=resume,
        gates=gates, device=device, workers=workers, download=download,
    )  # fmt: skip
