"""`attribute`: maps of images by one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unshaken.core.batch import Batch, usual_batch
from unshaken.core.classifier import Classifier, evaluating, predict
from unshaken.core.driver import drive
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.notebook import facts_card
from unshaken.core.oracle import Oracle
from unshaken.core.progress import Task
from unshaken.core.registry import parse_method
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
from unshaken.explain.engine.attribution import Attribution, Target


@dataclass(frozen=True, slots=True, eq=False)
class AttributionResult:
    """Maps of N images, and what they cost.

    Args:
        maps: float32 `[N, H, W]`; a larger value counts more for the class.
        classes: int64 `[N]`: the class explained.
        error: how far a map's sum is from the total that it should have, `[N]`; None where a method promises none.
        forwards: passes that the method spent on each image, int64 `[N]`; one more tells the class where none is given.
        backwards: as `forwards`.
        seconds: each image's share of the time, `[N]`.
    """

    maps: Tensor
    classes: Tensor
    error: Tensor | None
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor

    def _repr_html_(self) -> str:
        n = max(len(self.maps), 1)
        facts = {
            "forward passes an image": f"{int(self.forwards.sum()) / n:,.1f}",
            "backward passes an image": f"{int(self.backwards.sum()) / n:,.1f}",
            "seconds an image": f"{float(self.seconds.sum()) / n:.3g}",
        }
        if self.error is not None and len(self.error):
            facts["largest error of a sum"] = f"{float(self.error.abs().max()):.3g}"
        return facts_card(f"{len(self.maps):,} maps of {' x '.join(map(str, self.maps.shape[1:]))} pixels", facts)


class NonFiniteMapError(DataError):
    """Maps of some images are not finite; `places` are those of the images in the batch."""

    def __init__(self, text: str, places: list[int]) -> None:
        super().__init__(text)
        self.places = places


def attribute(
    model: Classifier,
    images: Tensor,
    method: Attribution[Any] | str = "gradcam",
    *,
    classes: Tensor | None = None,
    ids: Sequence[str] | None = None,
    seed: int = 0,
    limit: int | None = None,
    progress: Task | None = None,
) -> AttributionResult:
    """Explain a class of each image by a map of its pixels.

    A map depends on the image, its id and the seed, never on the others in the batch. Methods of many passes ask a
    quicker copy of the model, whose logits are the same to 1e-4 of the largest.

    Args:
        model: a classifier; left as it was found.
        images: float32 `[N, C, H, W]` in [0, 1].
        method: an attribution, or `NAME[:k=v,...]`.
        classes: int64 `[N]`, the class to explain; default what the model predicts.
        ids: one a sample; default its number.
        seed: of the run, for methods that draw.
        limit: images in one pass at most; default `usual_batch`.
        progress: advanced by one for each image that is done.

    Raises:
        ParameterError: no attribution goes by this name.
        ModelError: the model does not have what the method needs, or gives no prediction for an image.
        DataError: images or ids are not of the form above, a class is out of range, or a map is not finite.
    """
    found = parse_method(method, "explain") if isinstance(method, str) else method
    if not isinstance(found, Attribution):
        raise ParameterError(f"{method!r} is no attribution method; see unshaken list explain")
    names = Batch(images, None, tuple(map(str, range(len(images))) if ids is None else ids)).ids
    if not len(images):
        raise DataError("there is no image to explain: give one or more")
    limit = limit or usual_batch(images[0].numel(), images.device)
    with evaluating(model):
        quick = search_copy(model, images[:2]) if found.repeated else None
        oracle = Oracle(model, limit=limit, search_copy=quick)
        if "gradient" in found.needs:
            oracle.check_gradients()
        found = found.prepare(model, images[:1])
        target = Target(images, explained_classes(oracle, images, classes))
        rng = SampleRng.of(seed, f"explain {found.info.name}", names).to(images.device)
        outcome = drive(found, target, oracle, rng, width=max(1, limit // found.width), progress=progress)
        maps = outcome.result.map
        if "gradient" in found.needs and (quick is not None or not bool(maps.any())):
            _check_connected(model, images[:1])
    wrong = (~maps.flatten(1).isfinite().all(1)).nonzero().flatten().tolist()
    if wrong:
        text = (
            f"{found.info.name}: the map of image {names[wrong[0]]!r} is not finite: the model's outputs or gradients "
        )
        raise NonFiniteMapError(f"{text}are infinite or NaN there", wrong)
    return AttributionResult(
        maps, target.classes, outcome.result.error, outcome.forwards, outcome.backwards, outcome.seconds
    )


def _check_connected(model: Classifier, images: Tensor) -> None:
    """Refuse a model whose output is detached from its input: all gradients by it are 0, and say nothing.

    Its quicker copy may have gradients all the same, and so maps that are not those of the model.
    """
    with torch.enable_grad():
        logits = model(images.detach().clone().requires_grad_())
    if not logits.requires_grad:
        raise ModelError(
            f"model {model.name!r} cuts gradients off (torch.no_grad or detach in its forward): take that out, or use "
            "a method that needs scores alone, such as rise or occlusion"
        )


def explained_classes(oracle: Oracle, images: Tensor, classes: Tensor | None) -> Tensor:
    """The classes that are explained: those given, or those predicted.

    Raises:
        ModelError: the model gives no prediction for an image.
        DataError: a class is out of range.
    """
    if classes is None:
        predicted = torch.cat([predict(oracle.exact(part)) for part in torch.split(images, oracle.limit)])
        if bool((predicted < 0).any()):
            place = int((predicted < 0).nonzero()[0])
            raise ModelError(
                f"model {oracle.model.name!r} gives no prediction for image {place}: its output is not finite"
            )
        return predicted
    known = oracle.exact(images[:1]).shape[1]
    if classes.shape != images.shape[:1] or bool(((classes < 0) | (classes >= known)).any()):
        raise DataError(f"classes must be {len(images)} whole numbers from 0 to {known - 1}, one an image")
    return classes.long()
