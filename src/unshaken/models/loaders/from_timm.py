"""`timm:NAME`: timm's classifiers, with the preprocessing that their pretrained configuration states."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import nn

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.imports import need
from unshaken.models.class_names import imagenet_classes, learned_imagenet
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.options import stem_channels
from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.loaders.weights import file_by_url, file_of_repository, load_weights, read_weights
from unshaken.models.networks.architectures import build_for, timm_net


@model_kind("timm", form="timm:NAME[?weights=FILE|none]", options=("weights",), learned=learned_imagenet)
def load(spec: ModelSpec, download: bool) -> Classifier:
    """A classifier of timm, such as `timm:resnet18.a1_in1k`.

    Its pretrained weights are read from the local cache of the Hugging Face hub or of torch.hub. Option `weights=FILE`
    puts other weights in, `weights=none` leaves random ones; mean, std, size, crop and interpolation stay those of the
    published configuration unless the SPEC gives its own.

    Raises:
        MissingExtra: timm is absent.
        ParameterError: there is no such model.
        ModelError: the weights are absent, damaged, or do not fit.
    """
    given = spec.options.get("weights")
    if given is None:
        net = _pretrained(spec, download)
    elif given == "none":
        net = timm_net(spec.name)
    else:
        weights = read_weights(given)
        net, _ = build_for(f"timm:{spec.name}", weights)
        load_weights(net, weights, given)
    timm = need("timm", "timm", "models", f"model {str(spec)!r}")
    config = timm.data.resolve_model_data_config(net)
    _, height, width = config["input_size"]
    channels = stem_channels(net) or len(config["mean"])
    fits = channels == len(config["mean"])
    if not fits and not {"mean", "std"} <= spec.options.keys():
        raise ParameterError(
            f"model {str(spec)!r} takes {channels} channels, the published mean and std have {len(config['mean'])}: "
            "give both"
        )
    published = given is None and timm.data.infer_imagenet_subset(net) == "imagenet-1k"
    return Classifier(
        net,
        mean=list(config["mean"]) if fits else None,
        std=list(config["std"]) if fits else None,
        classes=imagenet_classes() if published else (),
        view=View(
            height,
            width,
            resize=math.floor(min(height, width) / config["crop_pct"]),
            interpolation=config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bicubic",
            channels=channels,
        ),
        name=f"timm:{spec.name}" + ("" if given is None else f"?weights={given}"),
    )


def _pretrained(spec: ModelSpec, download: bool) -> nn.Module:
    """The model with its published weights, read as tensors before timm takes them in."""
    timm = need("timm", "timm", "models", f"model {str(spec)!r}")
    if not (timm.is_model(spec.name.partition(".")[0]) and timm.is_model_pretrained(spec.name)):
        timm_net(spec.name)  # says so where there is no such model
        raise ModelError(f"timm publishes no weights for {str(spec)!r}: give weights=FILE or weights=none")
    published = timm.models.get_pretrained_cfg(spec.name)
    path = _file(published, spec, download)
    read_weights(path)
    return timm_net(spec.name, pretrained=True, pretrained_cfg_overlay={"file": str(path), "source": ""})


def _file(published: Any, spec: ModelSpec, download: bool) -> Path:
    if published.hf_hub_id:
        names = (
            (published.hf_hub_filename,) if published.hf_hub_filename else ("model.safetensors", "pytorch_model.bin")
        )
        return file_of_repository(published.hf_hub_id, names, spec, download=download)
    return file_by_url(published.url, spec, download=download)
