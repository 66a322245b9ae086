"""Diffusion models as files: one safetensors file that says what it holds."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors

from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import find_method, list_methods
from unshaken.generate.diffusion import Diffusion, DiffusionSettings
from unshaken.generate.unet import UNet, UNetSettings
from unshaken.models.loaders.weights import first_line, load_weights, refuse_disguised
from unshaken.run.store import RunDir

FORMAT = "unshaken-diffusion-1"


def save(model: Diffusion, path: Path | str) -> None:
    """Write a model as one file, whole or not at all.

    Args:
        model: of this package's kinds, with a `UNet`.
        path: the file; its folder is made where it is absent.

    Raises:
        ModelError: the network is not this package's.
        RunError: the file cannot be written.
    """
    if not isinstance(model.net, UNet) or not _is_known(model.kind):
        raise ModelError(f"only models with a UNet of this package are saved, not {type(model.net).__name__}")
    metadata = {
        "format": FORMAT,
        "kind": model.kind,
        "settings": model.settings.model_dump_json(),
        "net": model.net.settings.model_dump_json(),
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.net.state_dict().items()}
    path = Path(path)
    RunDir(path.parent).write(save_tensors(tensors, metadata), path.name)


def load(path: Path | str) -> Diffusion:
    """Read what `save` wrote.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        ModelError: the file is absent, damaged, or holds something else.
    """
    path = Path(path)
    refuse_disguised(path)
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            weights = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a complete safetensors file ({first_line(error)}): get it again") from None
    if metadata.get("format") != FORMAT or not _is_known(metadata.get("kind", "")):
        raise ModelError(f"{path} is no diffusion model of this package (weights of a classifier?)")
    try:
        net = UNet(UNetSettings(**json.loads(metadata["net"])))
        settings: DiffusionSettings = find_method(metadata["kind"], "generate").cls(**json.loads(metadata["settings"]))
        model = settings.build(net)
    except (ParameterError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(f"{path} is a damaged diffusion model ({first_line(error)})") from None
    load_weights(net, weights, path)
    if any(not bool(torch.isfinite(v).all()) for v in weights.values()):
        raise ModelError(f"{path} holds weights that are no numbers: it is damaged, or its training failed")
    return model.eval()


def _is_known(kind: str) -> bool:
    return kind in {method.name for method in list_methods("generate")}
