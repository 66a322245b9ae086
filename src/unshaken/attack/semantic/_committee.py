"""`Committee`: oracles that say whether an image still shows its class; asked without gradients, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.losses import CrossEntropy
from unshaken.core.classifier import Classifier, fit_view, predict
from unshaken.core.consent import unescape
from unshaken.core.errors import UNFIT_INPUT, ParameterError
from unshaken.core.numbers import parse_whole
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Gradient
from unshaken.core.texts import first_line
from unshaken.models.loaders.load import second_model
from unshaken.models.loaders.options import read_lines
from unshaken.models.within import choose_same

Vote = Literal["mean", "majority", "unanimous"]
TINY = 1e-30


def approved(probabilities: Tensor, labels: Tensor, vote: Vote, min_confidence: float = 0.0) -> Tensor:
    """Whether a committee sees the given class in each image.

    Args:
        probabilities: of each oracle, `[M, N, K]`; a row with NaN sees no class.
        labels: int64 `[N]`.
        vote: `mean`: the class of the largest mean probability is the label; `majority`: more than half of the oracles
            say the label; `unanimous`: all do.
        min_confidence: least probability of the label, of the mean or of each oracle.

    Returns:
        Bool `[N]`.

    >>> two = torch.tensor([[[0.9, 0.1]], [[0.4, 0.6]]])
    >>> [bool(approved(two, torch.tensor([0]), vote)) for vote in ("mean", "majority", "unanimous")]
    [True, False, False]
    """
    if vote == "mean":
        probabilities = probabilities.mean(0, keepdim=True)
    own = probabilities.gather(2, labels.expand(len(probabilities), -1)[..., None])[..., 0]
    says = (predict(probabilities) == labels) & (own >= min_confidence)
    return says.sum(0) * 2 > len(says) if vote == "majority" else says.all(0)


class MappedClasses(nn.Module):
    """An oracle as the attacked model's classes see it: log-probabilities `[N, K]` of images in the model's form.

    Images are resized to the oracle's own input size, and grey ones repeated over the colours or colours averaged.
    Probabilities of the oracle's classes that belong to one of the model's are added up; classes that belong to none
    are left out, as a zero-shot model would not have been asked for them.

    Args:
        oracle: the classifier.
        index: int64 `[K']`: the model's class of each of the oracle's, -1 for none; None where both have the same.
        classes: K.
    """

    index: Tensor | None

    def __init__(self, oracle: Classifier, index: Tensor | None, classes: int) -> None:
        super().__init__()
        self.oracle, self.classes = oracle, classes
        self.register_buffer("index", index, persistent=False)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.oracle(fit_view(images, self.oracle.view)).float()
        if self.index is None:
            return logits.log_softmax(1)
        named = self.index >= 0
        shares = logits[:, named].softmax(1)
        return (shares @ F.one_hot(self.index[named], self.classes).to(shares)).clamp_min(TINY).log()


def load_oracles(specs: tuple[str, ...]) -> list[Classifier]:
    """Oracles by their SPECs.

    Raises:
        ModelError: one cannot be loaded.
    """
    return [second_model(unescape(spec)) for spec in specs]


def fit_oracles(
    oracles: Sequence[Classifier], maps: tuple[str, ...], classes: int, images: Tensor, method: str,
    model: Classifier | None = None,
) -> list[Classifier]:  # fmt: skip
    """Oracles, each with the attacked model's classes.

    Args:
        oracles: as they are.
        maps: files of class maps, one for all oracles or one each; empty for the same classes.
        classes: K.
        images: `[n, C, H, W]` in [0, 1] that they must take.
        method: for messages.
        model: that is attacked: an oracle without a map gives its classes by name; None to take them by position.

    Raises:
        ParameterError: an oracle has other classes and no map, a map does not fit, or it cannot take the images.
    """
    files = list(maps) or [""]
    if len(files) not in (1, len(oracles)):
        raise ParameterError(f"{method}: {len(files)} class maps for {len(oracles)} oracles: give one, or one for each")
    files = files * len(oracles) if len(files) == 1 else files
    found = []
    for given, file in zip(oracles, files, strict=True):
        oracle = given.to(images.device)
        if model is not None and not file:
            oracle = choose_same(oracle, model, purpose=f"{method}: the oracle")
        found.append(_fitted(oracle, file, classes, images[:1], method))
    return found


def _fitted(oracle: Classifier, file: str, classes: int, images: Tensor, method: str) -> Classifier:
    index = _read_map(file, classes, method) if file else None
    try:
        with torch.no_grad():
            count = MappedClasses(oracle, None, classes)(images).shape[1]
    except UNFIT_INPUT as error:
        shape = "x".join(str(n) for n in images.shape[1:])
        raise ParameterError(
            f"{method}: the oracle {oracle.name!r} cannot take images of {shape} ({first_line(error)}): name "
            "its input size in the SPEC, as in ?size=224"
        ) from None
    if index is None and count != classes:
        raise ParameterError(
            f"{method}: the oracle {oracle.name!r} has {count} classes, the model {classes}: give map=FILE with a line "
            "for each class of the oracle, the number of the model's class or -1"
        )
    if index is not None and len(index) != count:
        raise ParameterError(
            f"{method}: the class map {file} has {len(index)} lines, the oracle {oracle.name!r} has {count} classes"
        )
    net = MappedClasses(oracle, None if index is None else index.to(images.device), classes)
    return Classifier(net, name=oracle.name, differentiable=oracle.differentiable).eval().requires_grad_(False)


def _read_map(file: str, classes: int, method: str) -> Tensor:
    lines = read_lines(file, f"{method}: map")
    try:
        index = torch.tensor([parse_whole(line, least=-1, most=classes - 1) for line in lines])
    except ParameterError as error:
        raise ParameterError(f"{method}: the class map {file}: {error}; -1 stands for none") from None
    if not bool((index >= 0).any()):
        raise ParameterError(f"{method}: the class map {file} names no class of the model")
    return index


class Committee:
    """Oracles that decide together.

    Args:
        oracles: one each, counting on the run's meter; none at all approves of everything.
        vote: see `approved`.
        min_confidence: likewise.
    """

    def __init__(self, oracles: Sequence[Oracle], vote: Vote = "mean", min_confidence: float = 0.0) -> None:
        self.oracles, self.vote, self.min_confidence = tuple(oracles), vote, min_confidence

    def __len__(self) -> int:
        return len(self.oracles)

    def approves(self, images: Tensor, labels: Tensor) -> Tensor:
        """Bool `[N]`: whether it sees the labels in images; `len(self)` forward passes an image."""
        if not self.oracles or not len(images):
            return torch.ones_like(labels, dtype=torch.bool)
        shares = torch.stack([oracle.exact(images).softmax(1) for oracle in self.oracles])
        return approved(shares, labels, self.vote, self.min_confidence)

    def loss_gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        """The gradient by the images of the oracles' mean cross-entropy against the labels, `[N, C, H, W]`."""
        query = Gradient(images, of=CrossEntropy(labels))
        return torch.stack([required(oracle.ask(query).gradient) for oracle in self.oracles]).mean(0)
