"""`openclip:ARCH/WEIGHTS?classes=FILE`: a zero-shot classifier from an image-text model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.core.extras import need
from unshaken.models.loaders.hub import file_by_url, file_of_repository, offline
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.options import class_names, read_lines
from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.loaders.weights import first_line, read_weights
from unshaken.models.networks.architectures import near

TEMPLATE = "a photo of a {}."


class ZeroShot(nn.Module):
    """Logits are the cosine between an image's embedding and each class's, times the model's scale.

    Args:
        model: an open_clip model.
        embeddings: one unit vector a class, `[K, D]`.
    """

    embeddings: Tensor
    scale: Tensor

    def __init__(self, model: nn.Module, embeddings: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("embeddings", embeddings)
        self.register_buffer("scale", model.logit_scale.detach().exp())  # type: ignore[operator]

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images `[N, 3, H, W]` to logits `[N, K]`."""
        found: Tensor = F.normalize(self.model.encode_image(images), dim=-1)  # type: ignore[operator]
        return self.scale * found @ self.embeddings.T


def class_embeddings(model: Any, tokenizer: Any, classes: Sequence[str], templates: Sequence[str]) -> Tensor:
    """The mean over templates of each class's unit text embeddings, of unit length again, `[K, D]`."""
    with torch.no_grad():
        found = [
            F.normalize(
                F.normalize(model.encode_text(tokenizer([t.replace("{}", c) for t in templates])), dim=-1).mean(0),
                dim=0,
            )
            for c in classes
        ]
    return torch.stack(found)


@model_kind("openclip", form="openclip:ARCH/WEIGHTS?classes=FILE[&templates=FILE]", options=("templates",))
def load(spec: ModelSpec, download: bool) -> Classifier:
    """A zero-shot classifier.

    `WEIGHTS` is a file or a pretrained tag. The classes' file has one name a line; the templates' file one sentence a
    line with `{}` where the name goes (without it: "a photo of a {}.").

    Raises:
        MissingExtra: open_clip is absent.
        ParameterError: no such architecture or tag, no file of classes, or a template without `{}`.
        ModelError: the weights are absent, damaged, or do not fit.
    """
    why = f"model {str(spec)!r}"
    arch, _, wanted = spec.name.partition("/")
    if not arch or not wanted:
        raise ParameterError(f"{why}: write openclip:ARCH/WEIGHTS?classes=FILE")
    classes, templates = _texts(spec)
    library = need("open_clip", "open-clip-torch", "models", why)
    if arch not in library.list_models():
        raise ParameterError(f"open_clip has no architecture {arch!r}; {near(arch, library.list_models())}")
    published = library.get_pretrained_cfg(arch, wanted)
    path = _file(library, spec, arch, wanted, published, download)
    read_weights(path)
    with offline(spec, unless=download):
        try:
            model = library.create_model(
                arch,
                pretrained=str(path),
                force_quick_gelu=bool(published.get("quick_gelu")),
                force_preprocess_cfg={k: published[k] for k in ("mean", "std", "interpolation") if k in published},
            )
            tokenizer = library.get_tokenizer(arch)
        except (OSError, RuntimeError, ValueError, KeyError, ImportError) as error:
            raise ModelError(f"{why} cannot be made by open_clip: {first_line(error)}") from error
    model.eval()
    look = library.get_model_preprocess_cfg(model)
    height, width = (look["size"],) * 2 if isinstance(look["size"], int) else look["size"]
    return Classifier(
        ZeroShot(model, class_embeddings(model, tokenizer, classes, templates)),
        mean=list(look["mean"]),
        std=list(look["std"]),
        classes=classes,
        view=View(height, width, interpolation=look["interpolation"]),
        name=f"openclip:{spec.name}",
    )


def _texts(spec: ModelSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not spec.options.get("classes", "0").strip("0123456789"):
        raise ParameterError(f"model {str(spec)!r}: classes must be a file with one class name per line")
    given = spec.options.get("templates")
    templates = (TEMPLATE,) if given is None else read_lines(given, f"model {str(spec)!r}")
    wrong = next((t for t in templates if "{}" not in t), None)
    if wrong is not None or not templates:
        raise ParameterError(f"model {str(spec)!r}: template {wrong!r} has no {{}} where the class name goes")
    return class_names(spec), templates


def _file(library: Any, spec: ModelSpec, arch: str, wanted: str, published: dict[str, Any], download: bool) -> Path:
    if not published:
        if Path(wanted).is_file() or "/" in wanted or "." in wanted:
            return Path(wanted)
        tags = library.list_pretrained_tags_by_model(arch)
        raise ParameterError(f"{wanted!r} is neither a file nor weights of {arch}; {did_you_mean(wanted, tags)}")
    repository, _, name = published.get("hf_hub", "").rpartition("/")
    if repository:
        names = (name,) if name else ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
        return file_of_repository(repository, names, spec, download=download)
    return file_by_url(published["url"], spec, download=download)
