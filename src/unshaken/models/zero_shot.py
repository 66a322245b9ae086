"""`ZeroShot` and `DualEncoder`: classifiers from an image encoder and a text encoder that share a space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, View
from unshaken.core.device import device_of
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.numbers import shorten

TEMPLATE = "a photo of a {}."
PLACE = "{}"
"""Where a template has the class's name."""
IMAGES = "encoder"
"""The layer of a `ZeroShot` net whose output is the image's embedding; see `Classifier.features`."""
TEXTS = 256
"""Texts of one pass."""


class ImageEncoder(nn.Module):
    """The image half of a model, as a module of its own, so that its output is a layer with a name.

    Args:
        model: has `encode_image`, from normalised images to embeddings `[N, D]`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @override
    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.model.encode_image(images)  # type: ignore[operator]
        return found


class ImageTower(nn.Module):
    """Any network from images to vectors as the image half of a dual encoder.

    Args:
        net: from normalised images to `[N, D]`.
        scale: s, by which cosines are multiplied.
    """

    def __init__(self, net: nn.Module, scale: float = 100.0) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("logit_scale", torch.tensor(float(scale)).log())

    def encode_image(self, images: Tensor) -> Tensor:
        """The embeddings of images, `[N, D]`."""
        found: Tensor = self.net(images)
        return found


class ZeroShot(nn.Module):
    """Logits are the cosine between an image's embedding and each class's, times the model's scale.

    Args:
        model: has `encode_image` and `logit_scale`, the logarithm of the scale, such as an open_clip model.
        embeddings: one unit vector a class, `[K, D]`.
    """

    embeddings: Tensor
    scale: Tensor

    def __init__(self, model: nn.Module, embeddings: Tensor) -> None:
        super().__init__()
        self.encoder = ImageEncoder(model)
        self.register_buffer("embeddings", embeddings)
        self.register_buffer("scale", model.logit_scale.detach().exp())  # type: ignore[operator]

    @override
    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = F.normalize(self.encoder(images), dim=-1)
        return self.scale * found @ self.embeddings.T


def class_weights(embeddings: Tensor) -> Tensor:
    """One vector a class from those of its prompts: `normalise(mean_p normalise(e_{c,p}))`.

    Args:
        embeddings: of each class's P prompts, `[K, P, D]`, of any length but 0.

    Returns:
        `[K, D]`, of length 1.

    Raises:
        ModelError: a value is not finite, or the prompts of a class cancel each other.

    >>> class_weights(torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])).mul(1e4).round().tolist()
    [[7071.0, 7071.0]]
    """
    mean = unit(embeddings, "text").mean(1)
    return unit(mean, "class")


def unit(vectors: Tensor, what: str) -> Tensor:
    """Vectors of length 1.

    Args:
        vectors: `[..., D]`.
        what: they are of, for the message.

    Raises:
        ModelError: one is not finite, or has no direction.
    """
    rows = vectors.flatten(0, -2)
    if bool((wrong := ~rows.isfinite().all(1)).any()):
        raise ModelError(f"{int(wrong.sum())} of {len(rows)} {what} embeddings are not finite: check weights and input")
    if bool((wrong := rows.norm(dim=1) <= 1e-12).any()):
        raise ModelError(f"{int(wrong.sum())} of {len(rows)} {what} embeddings are 0 and have no direction")
    return F.normalize(vectors, dim=-1)


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Check the names of classes for prompts.

    Raises:
        ParameterError: there are fewer than two, one is empty, or two are the same, so that nothing tells them apart.
    """
    names = tuple(classes)
    if len(names) < 2:
        raise ParameterError(f"a zero-shot classifier needs 2 classes at least, not {len(names)}")
    empty = next((i for i, name in enumerate(names) if not name.strip()), None)
    if empty is not None:
        raise ParameterError(f"class {empty} has an empty name: give every class one")
    name, times = Counter(" ".join(n.split()).casefold() for n in names).most_common(1)[0]
    if times > 1:
        places = [str(i) for i, n in enumerate(names) if " ".join(n.split()).casefold() == name]
        raise ParameterError(
            f"{times} classes are called {shorten(name)} (numbers {', '.join(places[:5])}): give each a name of its "
            "own, such as 'crane bird' and 'crane machine'"
        )
    return names


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Check the templates of prompts.

    Raises:
        ParameterError: there is none, or one has no `{}`.
    """
    if isinstance(templates, str):
        raise ParameterError(f"templates must be a list of sentences, not the text {shorten(templates)}")
    wrong = next((t for t in templates if PLACE not in t), None)
    if wrong is not None or not templates:
        raise ParameterError(f"template {wrong!r} has no {{}} where the class name goes")
    return tuple(templates)


@dataclass(frozen=True, eq=False)
class DualEncoder:
    """An image encoder and a text encoder whose embeddings share a space.

    Args:
        model: has `encode_image` and `logit_scale`; see `ImageTower` for any other network.
        encode_text: from texts to embeddings `[M, D]`.
        mean: of the channels, in [0, 1] units; None where the model normalises images itself.
        std: as `mean`.
        view: how photos are cut.
        name: what reports call it.
    """

    model: nn.Module
    encode_text: Callable[[Sequence[str]], Any]
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    view: View | None = None
    name: str = "dual encoder"

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of length 1, float32 `[M, D]`.

        Raises:
            ModelError: the encoder gives another form, or values that are not finite.
        """
        parts = []
        with torch.no_grad():
            for first in range(0, len(texts), TEXTS):
                some = list(texts[first : first + TEXTS])
                found = torch.as_tensor(self.encode_text(some)).detach().float().cpu()
                if found.ndim != 2 or len(found) != len(some):
                    raise ModelError(f"{self.name}: {len(some)} texts gave embeddings of shape {tuple(found.shape)}")
                parts.append(found)
        return unit(torch.cat(parts), "text")

    def embed_prompts(self, classes: Sequence[str], templates: Sequence[str] = (TEMPLATE,)) -> Tensor:
        """Embeddings of each class's name in each template, of length 1, `[K, P, D]`.

        Raises:
            ParameterError: a name or a template is wrong; see `check_classes` and `check_templates`.
            ModelError: as in `embed_texts`.
        """
        names, sentences = check_classes(classes), check_templates(templates)
        found = self.embed_texts([t.replace(PLACE, name) for name in names for t in sentences])
        return found.reshape(len(names), len(sentences), -1)

    def classifier(self, classes: Sequence[str], templates: Sequence[str] = (TEMPLATE,)) -> Classifier:
        """A classifier by the classes' names.

        Args:
            classes: K names, different from each other.
            templates: sentences with `{}` where the name goes; a class has the mean of all.

        Raises:
            ParameterError: a name or a template is wrong.
            ModelError: as in `embed_texts`.
        """
        net = ZeroShot(self.model, class_weights(self.embed_prompts(classes, templates)))
        found = Classifier(net, mean=self.mean, std=self.std, classes=tuple(classes), view=self.view, name=self.name)
        return found.eval()


def with_classes(model: Classifier, weights: Tensor, classes: Sequence[str]) -> Classifier:
    """A model's image embeddings compared with other classes; the weights of the encoder are shared.

    Args:
        model: a zero-shot classifier, or one whose net has `encode_image` and `logit_scale`.
        weights: one vector of length 1 a class, `[K, D]`.
        classes: their K names.

    Raises:
        ModelError: the model has no image embeddings.
    """
    encoder = model.net.encoder.model if isinstance(model.net, ZeroShot) else model.net
    if not hasattr(encoder, "encode_image"):
        raise ModelError(f"model {model.name!r} is no zero-shot model (openclip:...): it has no image embeddings")
    return with_net(model, ZeroShot(encoder, weights.to(device_of(model))), classes)


def with_net(model: Classifier, net: nn.Module, classes: Sequence[str] = ()) -> Classifier:
    """Another net behind a model's preprocessing, in evaluation mode.

    Args:
        model: whose mean, deviation, view and name are kept.
        net: from normalised images to logits.
        classes: names in logit order.
    """
    mean, std = (None if v is None else v.flatten().tolist() for v in (model.mean, model.std))
    return Classifier(net, mean=mean, std=std, classes=classes, view=model.view, name=model.name).eval()
