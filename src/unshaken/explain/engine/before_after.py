"""Maps of the examples that an audit kept, before and after the change that damaged them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of
from unshaken.core.errors import DataError, RunError, did_you_mean
from unshaken.core.part import CLEAN
from unshaken.core.progress import track
from unshaken.core.registry import parse_method
from unshaken.explain.engine.attribution import Attribution
from unshaken.explain.engine.run import attribute
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile

MAPS_RECORD = ("maps", "before-after.json")
"""By which method maps were made, and of which conditions."""


def map_file(condition: str) -> tuple[str, str]:
    """The file of a condition: tensors `before`, `after`, `class_before` and `class_after`, a row a sample."""
    return ("maps", f"before-after.{condition}.safetensors")


def explain_examples(
    run: RunDir,
    model: Classifier,
    method: Attribution[Any] | str = "gradcam",
    *,
    conditions: Sequence[str] = (),
    seed: int = 0,
    limit: int = 256,
) -> list[str]:
    """Explain what a model predicts for the kept examples of an audit, and for the same samples unchanged.

    The maps are written beside the run's rows, for its report: of each condition, a file with `before` and `after`,
    float32 `[N, H, W]`, and the classes explained, `class_before` and `class_after`, int64 `[N]`.

    Args:
        run: of an audit that kept examples.
        model: the one that was audited.
        method: an attribution, or `NAME[:k=v,...]`.
        conditions: those whose examples are explained; empty for all.
        seed: of methods that draw.
        limit: images in one pass at most.

    Returns:
        The conditions whose examples were explained.

    Raises:
        RunError: the run kept no examples, or none of a condition that was named.
        ModelError: the model does not have what the method needs.
        DataError: the model does not take these images, or a map is not finite.
    """
    found = parse_method(method, "explain") if isinstance(method, str) else method
    files = run.names("examples", suffix=".safetensors")
    kept = [c for c in dict.fromkeys(f.rpartition("-")[0] for f in files) if c != CLEAN.id]
    clean = run.examples(CLEAN.id)
    if not kept or not clean:
        raise RunError(f"{run}: it kept no examples to explain; audit again with --save-examples 20")
    for name in conditions:
        if name not in kept:
            raise RunError(f"{run}: it kept no examples of {name!r}; {did_you_mean(name, kept)}")
    explained = []
    with track("maps", len(chosen := list(conditions) or kept)) as task:
        for condition in chosen:
            images = {i: x for i, x in run.examples(condition).items() if i in clean and clean[i].shape == x.shape}
            if images:
                file = _maps_of(model, found, {i: clean[i] for i in images}, images, seed=seed, limit=limit)
                run.write_tensors(file, *map_file(condition))
                explained.append(condition)
            task.advance()
    record = {"method": found.info.name, "params": found.model_dump(mode="json"), "conditions": explained}
    run.write_json({**record, "seed": seed, "model": model.name}, *MAPS_RECORD)
    return explained


def _maps_of(
    model: Classifier, method: Attribution[Any], clean: dict[str, Tensor], changed: dict[str, Tensor],
    *, seed: int, limit: int,
) -> TensorFile:  # fmt: skip
    """The maps of some samples before and after, under their ids."""
    ids = list(changed)
    device = device_of(model)
    held: dict[str, Tensor] = {}
    for when, images in (("before", clean), ("after", changed)):
        stacked = torch.stack([images[i] for i in ids]).to(device)
        if model.input_size not in (None, tuple(stacked.shape[2:])):
            raise DataError(
                f"the kept examples have {tuple(stacked.shape[2:])} pixels, the model takes {model.input_size}"
            )
        found = attribute(model, stacked, method, ids=ids, seed=seed, limit=limit)
        held |= {when: found.maps.float(), f"class_{when}": found.classes}
    return TensorFile(held, ids)
