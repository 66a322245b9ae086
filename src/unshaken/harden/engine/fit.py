"""`fit`: train a model on images in memory; the loop without a run directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.core.masks import IGNORED
from unshaken.core.notebook import facts_card
from unshaken.core.rng import seeded
from unshaken.data.resident import Samples
from unshaken.harden.engine._checkpoint import Progress
from unshaken.harden.engine.checks import moved
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.recipe import Memory, Recipe
from unshaken.harden.engine.training import Training
from unshaken.models.networks.architectures import build


@dataclass(frozen=True, slots=True)
class FitResult:
    """Result of a training in memory.

    Args:
        model: chosen on held-out images, in evaluation mode.
        last: after the last step.
        progress: curves, flags and cost.
        memory: what recipes remember at the end, by their names, such as corrected labels.
    """

    model: Classifier
    last: Classifier
    progress: Progress
    memory: Mapping[str, Memory]

    def _repr_html_(self) -> str:
        end = {k: f"{v:.4g}" for k, v in (self.progress.curves[-1] if self.progress.curves else {}).items()}
        passes = f"{self.progress.forwards:,} forward, {self.progress.backwards:,} backward"
        flags = {f"flag {name}": detail for name, detail in self.progress.flags.items()}
        return facts_card(f"Trained {self.model.name}", {**end, "passes": passes, **flags})


def fit(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    recipes: Sequence[Recipe] = (),
    training: Training | None = None,
    *,
    classes: int | None = None,
    after_epoch: Callable[[Classifier], object] | None = None,
) -> FitResult:
    """Train a model; the same arguments give the same weights on a CPU.

    Args:
        model: as it starts; trained in place.
        images: uint8 `[N, C, H, W]`, all in memory.
        labels: int64 `[N]`, from 0; or masks, uint8 `[N, H, W]`, 255 where a pixel is not to count.
        recipes: what is learned; none for plain cross-entropy.
        training: how long, how fast, how checked.
        classes: number of classes K; default the largest label and one.
        after_epoch: is shown the live classifier when an epoch has ended; it must leave it as it is.

    Raises:
        ParameterError: recipes do not go together.
        DataError: a class has no image.
        RunError: the loss is no number any more.
    """
    for recipe in recipes:
        model = recipe.rebuild(model)
    stored: dict[str, dict[str, Tensor]] = {}

    def keep(found: Classifier, name: str, progress: Progress) -> None:
        stored[name] = {k: v.detach().cpu().clone() for k, v in found.net.state_dict().items()}

    if classes is None:
        classes = int((labels if labels.ndim == 1 else labels[labels != IGNORED]).max()) + 1
    samples = Samples.of(images, labels, classes)
    loop = Loop(model, samples, recipes, training or Training(), keep=keep)
    if after_epoch is not None:
        loop.after_epoch = lambda record: after_epoch(loop.live)
    progress = loop.train()
    last = loop.kept()
    return FitResult(moved(last, stored["model"]).eval(), last.eval(), progress, loop.memory)


def fresh(arch: str, images: Tensor, *, classes: int, seed: int) -> Classifier:
    """A classifier with weights drawn from a seed and the mean and deviation of images' channels inside.

    Args:
        arch: as in `unshaken.models.networks.architectures`.
        images: uint8 `[N, C, H, W]`.
        classes: number of classes K.
        seed: of the weights.
    """
    with seeded(seed):
        net = build(arch, classes=classes, channels=images.shape[1], side=images.shape[2])
    some = images[:5000].float() / 255
    return Classifier(net, mean=some.mean((0, 2, 3)).tolist(), std=some.std((0, 2, 3)).clamp(min=1e-3).tolist())
