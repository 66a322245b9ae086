"""`harden`: a training run with a directory: what decides it, what came out, and the weights that `run:DIR` loads."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.torch import save as save_tensors
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import RunError
from unshaken.core.values import text_of
from unshaken.data import DataSource, as_dataset
from unshaken.data.dataset import BadSample, Dataset
from unshaken.data.resident import Samples
from unshaken.harden.engine._checkpoint import PLACE, Progress
from unshaken.harden.engine._processes import Processes
from unshaken.harden.engine.checks import Validation
from unshaken.harden.engine.compose import check_recipe_budgets
from unshaken.harden.engine.harden_file import NAME as NAME
from unshaken.harden.engine.harden_file import HardenConfig as HardenConfig
from unshaken.harden.engine.harden_file import earlier_refusal, further_content, keep_start, read_harden, result_of
from unshaken.harden.engine.judgement import Reference
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.prepared import prepared
from unshaken.harden.engine.recipe import UNLABELLED, Recipe
from unshaken.harden.engine.start import keep_normalisation
from unshaken.harden.engine.tracking import tracked
from unshaken.harden.engine.training import Training
from unshaken.models.loaders.from_run import ShapeRecord, read_record, record_of, spec_of_run, tensors_of
from unshaken.store.lock import locked
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir
from unshaken.store.tracking import sink_of

FREE = {"provenance", "result", "model", "data"}
"""What may differ on resuming."""


@dataclass(frozen=True, slots=True)
class FinishedTraining:
    """A finished training run.

    Args:
        run: its directory.
        model: the chosen checkpoint, in evaluation mode.
        summary: what `harden.json` says of it.
        bad_samples: those that could not be used, with the reason.
    """

    run: RunDir
    model: Classifier = field(repr=False)
    summary: dict[str, Any] = field(repr=False)
    bad_samples: tuple[BadSample, ...] = ()

    @property
    def spec(self) -> str | None:
        """The SPEC that loads the chosen checkpoint; None where the network is an object of a program."""
        return spec_of_run(self.run.path, read_record(self.run.path).arch)


def recipe_text(recipe: Recipe) -> str:
    """A recipe as it is written on the command line.

    >>> from unshaken.harden.recipes.adversarial.trades import Trades
    >>> recipe_text(Trades(beta=1.0))
    'trades:beta=1.0'
    """
    given = recipe.model_dump(mode="json", exclude_defaults=True)
    return recipe.info.name + (":" + ",".join(f"{k}={text_of(v)}" for k, v in given.items()) if given else "")


def train_run(
    model: str | nn.Module,
    data: DataSource,
    recipes: Sequence[Recipe],
    training: Training,
    *,
    out: str,
    resume: bool = False,
    new_head: bool = False,
    limit: int | None = None,
    device: str = "cpu",
    devices: int = 1,
    nodes: int = 1,
    workers: int | None = None,
    download: bool = False,
    track: str | None = None,
    validation: Validation | None = None,
    reference: Reference | None = None,
    allow_large_eps: bool = False,
) -> FinishedTraining:
    """Train in a run directory; see `unshaken.api.harden`, and `Loop` for `validation` and `reference`."""
    check_recipe_budgets(recipes, None, allow=allow_large_eps)
    run, sink = RunDir(out), sink_of(track)
    processes = Processes(device=device, devices=devices, nodes=nodes, precision=training.precision)
    dataset = as_dataset(data, download=download)
    start, samples = prepared(
        model, dataset, training, new_head=new_head, limit=limit, workers=workers, download=download,
        unlabelled=any("loss" in r.takes and UNLABELLED in r.learns_from for r in recipes),
    )  # fmt: skip
    check_recipe_budgets(recipes, prod(samples.shape), allow=allow_large_eps)
    classifier = start.model
    for recipe in recipes:
        classifier = recipe.rebuild(classifier)
    if resume:
        keep_normalisation(classifier, run)
    classifier.to(processes.device)
    shaping = [*start.recipes, *(recipe_text(r) for r in recipes if type(r).rebuild is not Recipe.rebuild)]
    name = model if isinstance(model, str) else f"<{type(classifier.net).__name__}>"
    config = _config(name, start.arch, classifier, dataset, samples, recipes, training, processes.world)
    record = record_of(classifier, arch=start.arch, shape=config.shape if shaping else None, recipes=shaping)
    classifier.classes = tuple(config.classes)

    def keep(kept: Classifier, name: str, progress: Progress) -> None:
        run.write(save_tensors(tensors_of(kept)), f"{name}.safetensors")
        run.write(record.model_dump_json(indent=1, by_alias=True).encode() + b"\n", "model.json")
        run.write(_curves(progress), "curves.parquet")

    loop = Loop(
        classifier, samples, recipes, training, processes=processes, run=run, keep=keep, validation=validation,
        reference=reference,
    )  # fmt: skip
    config.images["held_out"] = len(loop.held) if samples.labelled else loop.held_out
    if processes.rank:
        loop.train(resume=resume)
        processes.end()
        return FinishedTraining(run, classifier, {})
    with locked(run) as lock:
        refused = earlier_refusal(run) if resume else ""
        _opened(run, config, resume=resume)
        loop.renew = lock.renew
        with tracked(sink, run, config, recipes, lambda: loop.progress.flags) as tracker:
            loop.after_epoch = tracker.log_epoch
            progress = loop.train(resume=resume)
            processes.end()
            config.result = result_of(loop, progress)
            run.write_json(config.model_dump(mode="json", by_alias=True), NAME)
            tracker.ended(config.result)
    if refused:
        config.result = keep_start(run, refused)
    bad = tuple(BadSample(dataset.ids[i], reason) for i, reason in samples.bad.items())
    return FinishedTraining(run, chosen_weights(loop.kept(), run), config.result, bad)


def _config(
    name: str,
    arch: str,
    classifier: Classifier,
    dataset: Dataset,
    samples: Samples,
    recipes: Sequence[Recipe],
    training: Training,
    processes: int,
) -> HardenConfig:
    """Configuration of a run as `harden.json` holds it: all that decides the weights."""
    return HardenConfig(
        schema=1,
        model=name,
        data=dataset.options.spec,
        recipes=[recipe_text(r) for r in recipes],
        training=training.model_dump(mode="json"),
        arch=arch,
        classes=list(classifier.classes or dataset.classes) or [str(i) for i in range(samples.classes)],
        shape=ShapeRecord(classes=samples.classes, channels=samples.shape[0], side=samples.shape[1]),
        data_fingerprint=dataset.fingerprint,
        labels_version=dataset.labels_version,
        images={"usable": len(samples.good)},
        processes=processes,
        further=further_content(recipes),
        provenance=provenance(),
    )


def _opened(run: RunDir, config: HardenConfig, *, resume: bool) -> None:
    """Write the configuration; refuse a directory that holds another run."""
    wanted = config.model_dump(mode="json", by_alias=True)
    if run.exists(NAME):
        there = read_harden(run).model_dump(mode="json", by_alias=True)
        if not resume:
            raise RunError(f"{run}: holds a training run already; go on with --resume, or choose another --out")
        if not there["further"]:  # a run of an earlier version, or of recipes that name nothing
            there["further"] = wanted["further"]
        differ = [k for k in wanted if k not in FREE and json.dumps(there.get(k)) != json.dumps(wanted[k])]
        if differ:
            differences = "; ".join(_difference(k, there.get(k), wanted[k]) for k in differ)
            raise RunError(f"{run}: cannot resume with another configuration ({differences}); choose another --out")
        return
    if resume and run.exists(*PLACE):
        raise RunError(f"{run}: has a state but no {NAME}; choose another --out")
    run.write_json(wanted, NAME)


def _curves(progress: Progress) -> bytes:
    names = list(dict.fromkeys(k for record in progress.curves for k in record))
    table = pa.table({n: pa.array([r.get(n) for r in progress.curves], pa.float64()) for n in names})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def chosen_weights(model: Classifier, run: RunDir) -> Classifier:
    """The classifier with the weights that a run keeps, in evaluation mode.

    Raises:
        RunError: they are damaged.
    """
    from safetensors.torch import load as load_tensors

    try:
        model.net.load_state_dict(load_tensors(run.read("model.safetensors")))
    except (SafetensorError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        raise RunError(f"{run}: model.safetensors is damaged ({why}); start a new run") from None
    return model.eval()


def _difference(name: str, there: Any, now: Any) -> str:
    if name == "further" and there.keys() == now.keys():
        return f"{name}: the content of {next(n for n in now if there[n] != now[n])!r} is another one"
    return f"{name}: {_short(there)} there, {_short(now)} now"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
