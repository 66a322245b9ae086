"""`harden` and `mend`: the Python calls behind `unshaken harden`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from unshaken.core.errors import ParameterError
from unshaken.core.registry import parse_method
from unshaken.data import load_data
from unshaken.data.dataset import Dataset
from unshaken.run.store import RunDir

if TYPE_CHECKING:
    from unshaken.api import Audit
    from unshaken.harden.mend import MendingPlan
    from unshaken.harden.run import Hardened
    from unshaken.report import Comparisons


def harden(
    model: str | nn.Module,
    data: str | Dataset,
    recipes: str | Sequence[Any] = (),
    *,
    out: str | Path | None = None,
    resume: bool = False,
    new_head: bool = False,
    limit: int | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    workers: int | None = None,
    download: bool = False,
    track: str | None = None,
    **training: Any,
) -> Hardened:
    """Train a model by recipes, in a run directory that `run:DIR` loads.

    Args:
        model: an architecture, which gets fresh weights (`small`, `small-cnn`, `small-vit`, `new:torchvision:NAME`,
            `new:timm:NAME`), or a SPEC or module whose weights are trained on.
        data: a SPEC or a `Dataset`, labelled; a seeded part of it is held out and chooses the checkpoint.
        recipes: `NAME[:k=v,...]`, or objects of the room `harden`; none for plain cross-entropy.
        out: the run directory; default `runs/` and a name.
        resume: go on with the run that is there; the weights are those of a run that never stopped.
        new_head: replace the last linear layer where the data has other classes than the model.
        limit: take so many images: seeded, stratified.
        device: `auto`, `cpu`, `cuda`, `mps`.
        devices: processes that train together on this machine; under `torchrun` what it started.
        nodes: machines.
        workers: threads that decode.
        download: whether model and data may be fetched.
        track: tell each epoch to MLflow (a folder or a tracking URI), or write event files (`tensorboard:DIR`).
        training: see `unshaken.harden.training.Training`.

    Returns:
        A `Hardened`: its run, the chosen model, and the result.

    Raises:
        UnshakenError: model, data, recipes or directory are wrong, or training diverged; the message says what to do.
    """
    from unshaken.api_job import chosen_device, default_out
    from unshaken.harden.run import train_run
    from unshaken.harden.training import Training
    from unshaken.report.training import write_training_report

    done = train_run(
        model,
        data,
        _recipes(recipes),
        Training.from_text(training),
        out=str(out or default_out(model, data, "harden")),
        resume=resume,
        new_head=new_head,
        limit=limit,
        device=chosen_device(device),
        devices=devices,
        nodes=nodes,
        workers=workers,
        download=download,
        track=track,
    )
    if done.result:  # the first of several processes has it
        write_training_report(done.run)
    return done


def _recipes(given: str | Sequence[Any]) -> list[Any]:
    texts = [given] if isinstance(given, str) else list(given)
    return [_recipe(r) if isinstance(r, str) else r for r in texts]


def _recipe(text: str) -> Any:
    """The recipe of a text.

    Raises:
        ParameterError: the name is not a recipe's.
    """
    from unshaken.harden.recipe import Recipe

    found = parse_method(text, "harden")
    if not isinstance(found, Recipe):
        raise ParameterError(
            f"{found.info.name!r} is a defence at inference, not a recipe: give it to attack --defence"
        )
    return found


@dataclass(frozen=True, slots=True)
class Mended:
    """A model that was trained on what shook it.

    Args:
        plan: what was done.
        hardened: the training run.
        after: the audit of the trained model, on the samples of the one before.
        comparison: before and after, paired.
    """

    plan: MendingPlan
    hardened: Hardened
    after: Audit
    comparison: Comparisons


def plan_mending(
    run: str | Path,
    *,
    model: str | None = None,
    data: str | Dataset | None = None,
    recipes: str | Sequence[Any] = (),
    limit: int | None = None,
    workers: int | None = None,
    download: bool = False,
    **training: Any,
) -> MendingPlan:
    """What would mend what an audit found, and what it would cost.

    Args:
        run: of a finished audit.
        model: SPEC to train on; default the audited one, but a `py:` model must be given again, for loading runs it.
        data: training images; default the training part of a named set that was audited.
        recipes: further ones, before those proposed.
        limit: take so many images.
        workers: threads that decode.
        download: whether model and data may be fetched.
        training: see `unshaken.harden.training.Training`; by default 5 epochs at a rate of 0.02.

    Raises:
        ParameterError: nothing was shaken, or the training images are those that were audited.
        RunError: the audit has not ended.
    """
    from unshaken.harden import mend as how
    from unshaken.harden.audit_summary import read_summary
    from unshaken.harden.run import prepared
    from unshaken.harden.training import Training

    directory = RunDir(run)
    config = how.read_audit(directory)
    findings, chosen = how.choose(how.findings_of(directory), _recipes(recipes))
    if not chosen:
        raise ParameterError(
            f"{run}: nothing in this audit cost the model {how.SHAKEN:.0%} of its accuracy: there is nothing to mend; "
            "choose a recipe yourself with --recipe and --model"
        )
    spec = model or config.model
    if model is None and spec.startswith(("py:", "<")):
        raise ParameterError(f"the audited model is {spec!r}, code of your own: give it again with --model")
    source = data if data is not None else how.training_data(config)
    dataset = load_data(source, download=download) if isinstance(source, str) else source
    how.check_apart(config, dataset.options.spec, dataset.fingerprint)
    settings = Training.from_text({**how.TUNING, "seed": config.seed, **training})
    start, samples = prepared(spec, dataset, settings, new_head=False, limit=limit, workers=workers, download=download)
    seconds, passes = how.expected_cost(start, samples, chosen, settings)
    before = read_summary(directory).cost.seconds
    told = source if isinstance(source, str) else dataset.options.spec
    return how.MendingPlan(
        spec, told, tuple(findings), tuple(chosen), settings, len(samples.good), seconds, passes, before
    )


def mend(
    run: str | Path,
    plan: MendingPlan,
    *,
    out: str | Path,
    data: str | Dataset | None = None,
    resume: bool = False,
    limit: int | None = None,
    device: str = "auto",
    workers: int | None = None,
    download: bool = False,
    track: str | None = None,
) -> Mended:
    """Carry out a plan: train, audit the trained model on the same samples, and compare with the audit before.

    Args:
        run: of the audit before.
        plan: see `plan_mending`.
        out: the training run; the audit goes to `audit` in it, the page of both to `before-after`.
        data: training images where they are no SPEC.
        resume: go on with what is there.
        limit: as for the plan.
        device: `auto`, `cpu`, `cuda`, `mps`.
        workers: threads that decode.
        download: whether model and data may be fetched.
        track: of the training; see `harden`.
    """
    from unshaken.api import audit, compare
    from unshaken.harden.mend import read_audit
    from unshaken.report import write_comparison

    config = read_audit(RunDir(run))
    hardened = harden(
        plan.model, plan.data if data is None else data, plan.recipes, out=out, resume=resume, limit=limit,
        device=device, workers=workers, download=download, track=track, **plan.training.model_dump(),
    )  # fmt: skip
    own = f"?net={plan.model.partition('?')[0]}" if plan.model.startswith("py:") else ""
    entries = [entry.model_dump(exclude_none=True) for entry in config.plan]
    after = audit(
        f"run:{out}{own}", config.data, entries, out=f"{out}/audit", resume=resume, limit=config.limit,
        seed=config.seed, device=device, workers=workers, download=download, eot=config.eot, precision=config.precision,
    )  # fmt: skip
    comparison = compare(RunDir(run), after.run)
    write_comparison(RunDir(f"{out}/before-after"), comparison)
    return Mended(plan, hardened, after, comparison)
