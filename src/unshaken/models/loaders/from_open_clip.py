"""`openclip:ARCH/WEIGHTS?classes=FILE`: a zero-shot classifier from an image-text model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError, ParameterError, did_you_mean, near
from unshaken.core.imports import need
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.options import class_names, read_lines
from unshaken.models.loaders.spec import ModelSpec, parse_model_spec
from unshaken.models.loaders.weights import file_by_url, file_of_repository, first_line, offline, read_weights
from unshaken.models.zero_shot import TEMPLATE, DualEncoder, check_classes, check_templates


@model_kind("openclip", form="openclip:ARCH/WEIGHTS?classes=FILE[&templates=FILE]", options=("templates",))
def load(spec: ModelSpec, download: bool) -> Classifier:
    """A zero-shot classifier from an image-text model.

    `WEIGHTS` is a file or a pretrained tag. The classes' file has one name a line; the templates' file one sentence a
    line with `{}` where the name goes (without it: "a photo of a {}.").

    Raises:
        MissingExtra: open_clip is absent.
        ParameterError: no such architecture or tag, no file of classes, or a template without `{}`.
        ModelError: the weights are absent, damaged, or do not fit.
    """
    _parts_of(spec)  # a SPEC without weights is reported before its options
    classes, templates = _texts(spec)
    return _dual_encoder(spec, download).classifier(classes, templates)


def load_dual_encoder(spec: str, *, download: bool = False) -> DualEncoder:
    """Both encoders of a model, for prompts and captions of any kind.

    Args:
        spec: `openclip:ARCH/WEIGHTS`; its options are not read.
        download: whether the weights may be fetched.

    Raises:
        MissingExtra: open_clip is absent.
        ParameterError: the SPEC is of another kind, or names no such architecture or tag.
        ModelError: the weights are absent, damaged, or do not fit.
    """
    parsed = parse_model_spec(spec)
    if parsed.kind != "openclip":
        raise ParameterError(f"model {spec!r} has no text encoder: give openclip:ARCH/WEIGHTS")
    return _dual_encoder(parsed, download)


def _dual_encoder(spec: ModelSpec, download: bool) -> DualEncoder:
    why = f"model {str(spec)!r}"
    arch, wanted = _parts_of(spec)
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
    cfg = library.get_model_preprocess_cfg(model)
    height, width = (cfg["size"],) * 2 if isinstance(cfg["size"], int) else cfg["size"]

    def encode(texts: Sequence[str]) -> Tensor:
        found: Tensor = model.encode_text(tokenizer(list(texts)))
        return found

    return DualEncoder(
        model,
        encode,
        mean=list(cfg["mean"]),
        std=list(cfg["std"]),
        view=View(height, width, interpolation=cfg["interpolation"]),
        name=f"openclip:{spec.name}",
    )


def _parts_of(spec: ModelSpec) -> tuple[str, str]:
    """Architecture and weights."""
    arch, _, wanted = spec.name.partition("/")
    if not arch or not wanted:
        raise ParameterError(f"model {str(spec)!r}: write openclip:ARCH/WEIGHTS?classes=FILE")
    return arch, wanted


def _texts(spec: ModelSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not spec.options.get("classes", "0").strip("0123456789"):
        raise ParameterError(f"model {str(spec)!r}: classes must be a file with one class name per line")
    given = spec.options.get("templates")
    templates = (TEMPLATE,) if given is None else read_lines(given, f"model {str(spec)!r}")
    try:
        return check_classes(class_names(spec)), check_templates(templates)
    except ParameterError as error:
        raise ParameterError(f"model {str(spec)!r}: {error}") from None


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
