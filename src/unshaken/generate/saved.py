"""Generative models as files: a safetensors file with its settings, or a folder of the library diffusers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.imports import need
from unshaken.core.numbers import MAX_SIDE
from unshaken.core.registry import find_method, list_methods
from unshaken.generate.class_gaussian import ClassGaussian, ClassGaussianSettings
from unshaken.generate.ddpm import DDPM, DDPMSettings
from unshaken.generate.generator import Diffusion, DiffusionSettings, Generator, NoiseNet
from unshaken.generate.latent.vae import VAE, VAESettings
from unshaken.generate.unet import UNet, UNetSettings
from unshaken.models.loaders.weights import first_line, load_weights, refuse_disguised
from unshaken.store.run_dir import RunDir

FORMAT, GAUSSIAN, VAES = "unshaken-diffusion-1", "unshaken-class-gaussian-1", "unshaken-vae-1"


def save(model: Generator, path: Path | str) -> None:
    """Write a model as one file, whole or not at all.

    Args:
        model: of this package's kinds; a diffusion model with a `UNet`.
        path: the file; its folder is made where it is absent.

    Raises:
        ModelError: the network is not this package's.
        RunError: the file cannot be written.
    """
    if isinstance(model, ClassGaussian | VAE):
        settings = {"settings": model.settings.model_dump_json(), "image": json.dumps(model.image)}
        _write(path, model.state_dict(), {"format": VAES if isinstance(model, VAE) else GAUSSIAN, **settings})
        return
    if not isinstance(model, Diffusion) or not isinstance(model.net, UNet) or not _is_known(model.kind):
        name = type(model.net).__name__ if isinstance(model, Diffusion) else type(model).__name__
        raise ModelError(f"only models with a UNet of this package are saved, not {name}")
    net, own = model.net.settings.model_dump_json(), model.settings.model_dump_json()
    _write(path, model.net.state_dict(), {"format": FORMAT, "kind": model.kind, "settings": own, "net": net})


def load(path: Path | str) -> Diffusion:
    """Read a diffusion model that `save` wrote.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        ModelError: the file is absent, damaged, or holds something else.
    """
    path = Path(path)
    metadata, weights = read_tensors(path)
    if metadata.get("format") != FORMAT or not _is_known(metadata.get("kind", "")):
        raise ModelError(f"{path} is no diffusion model of this package (weights of a classifier?)")
    try:
        net = UNet(UNetSettings(**json.loads(metadata["net"])))
        settings: DiffusionSettings = find_method(metadata["kind"], "generate").cls(**json.loads(metadata["settings"]))
        model = settings.build(net)
    except (ParameterError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(f"{path} is a damaged diffusion model ({first_line(error)})") from None
    load_weights(net, weights, path)
    check_finite(weights, path)
    return model.eval()


def load_generator(path: Path | str) -> Generator:
    """Read a model of any kind that `save` wrote.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        ModelError: the file is absent, damaged, or holds something else.
    """
    path = Path(path)
    metadata, weights = read_tensors(path)
    if metadata.get("format") == VAES:
        return _vae(path, metadata, weights)
    if metadata.get("format") != GAUSSIAN:
        return load(path)
    try:
        channels, height, width = (int(side) for side in json.loads(metadata["image"]))
        settings = ClassGaussianSettings(**json.loads(metadata["settings"]))
        tensors = [weights[name] for name in ("mean", "basis", "share", "owner")]
        mean, basis, share, owner = tensors
        count = len(share)
        fits = (
            mean.shape == (count, channels * height * width)
            and (basis.ndim, basis.shape[0], basis.shape[2:]) == (3, count, mean.shape[1:])
            and owner.shape == share.shape == (count,)
            and owner.dtype == torch.int64
            and count > 0
        )
    except (ParameterError, ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise ModelError(f"{path} is a damaged class-gaussian model ({first_line(error)})") from None
    if not fits:
        raise ModelError(f"{path} is a damaged class-gaussian model: its tensors do not fit each other")
    check_finite(weights, path)
    return ClassGaussian(mean, basis, share, owner, (channels, height, width), settings).eval()


def _vae(path: Path, metadata: Mapping[str, str], weights: Mapping[str, Tensor]) -> VAE:
    try:
        channels, height, width = (int(side) for side in json.loads(metadata["image"]))
        if max(channels, height, width) > MAX_SIDE:
            raise ValueError(f"its images are of {channels}x{height}x{width}")
        model = VAE(VAESettings(**json.loads(metadata["settings"])), (channels, height, width))
    except (ParameterError, ValueError, TypeError, KeyError, RuntimeError, RecursionError) as error:
        raise ModelError(f"{path} is a damaged vae ({first_line(error)})") from None
    load_weights(model, dict(weights), path)
    check_finite(weights, path)
    return model.eval()


def _write(path: Path | str, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    path = Path(path)
    whole = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    RunDir(path.parent).write(save_tensors(whole, metadata), path.name)


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a whole safetensors file.

    Raises:
        ModelError: the file is absent, not complete, or of another format under this name.
    """
    refuse_disguised(path)
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            return metadata, {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a complete safetensors file ({first_line(error)}): get it again") from None


def check_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights of a file that are infinite or NaN.

    Raises:
        ModelError: a weight is.
    """
    if any(not bool(torch.isfinite(v).all()) for v in weights.values()):
        raise ModelError(f"{path} holds weights that are no numbers: it is damaged, or its training failed")


def _is_known(kind: str) -> bool:
    return kind in {method.name for method in list_methods("generate") if issubclass(method.cls, DiffusionSettings)}


PREDICTIONS = ("epsilon", "v_prediction", "sample")


class UNet2D(NoiseNet):
    """A `UNet2DModel` that outputs the noise, whatever it was trained to predict.

    Args:
        net: the `UNet2DModel`.
        image: channels, height and width.
        alpha_bar: float64 `[T]` of its chain.
        prediction: its output: `epsilon`, `v_prediction` or `sample`.
    """

    def __init__(self, net: nn.Module, image: tuple[int, int, int], alpha_bar: Tensor, prediction: str) -> None:
        super().__init__(image)
        self.unet, self.alpha_bar, self.prediction = net, alpha_bar, prediction

    @override
    def forward(self, x: Tensor, position: Tensor, labels: Tensor | None = None) -> Tensor:
        t = (position * len(self.alpha_bar) / 1000).round().long()
        out: Tensor = self.unet(x, t).sample[:, : self.image[0]]  # guided diffusion gives its variance after the noise
        a = self.alpha_bar[t.cpu()].to(x).view(-1, 1, 1, 1)
        if self.prediction == "v_prediction":
            return a.sqrt() * out + (1 - a).sqrt() * x
        return (x - a.sqrt() * out) / (1 - a).sqrt() if self.prediction == "sample" else out


def load_diffusers(folder: Path | str) -> DDPM:
    """A `UNet2DModel` that someone saved with diffusers, and its chain of noise.

    Args:
        folder: of a pipeline (with `unet/` and `scheduler/`), or of the network alone, whose chain is then taken to be
            that of Ho et al. 2020. Nothing is downloaded, weights must be safetensors.

    Raises:
        MissingExtra: diffusers is absent.
        ModelError: there is no such folder, or it holds something else.
    """
    folder, name = Path(folder), f"denoiser 'diffusers:{folder}'"
    if not folder.is_dir():
        raise ModelError(f"{name}: no folder {str(folder)!r}; download the model yourself and give its folder")
    library = need("diffusers", "diffusers", "diffusers", name)
    try:
        place = {"subfolder": "unet"} if (folder / "unet").is_dir() else {}
        net = library.UNet2DModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, **place)
        chain = (
            library.DDPMScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True)
            if (folder / "scheduler").is_dir()
            else library.DDPMScheduler()
        )
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise ModelError(f"{name} cannot be loaded ({first_line(error)})") from error
    config = net.config
    if config.class_embed_type or config.num_class_embeds:
        raise ModelError(f"{name} must be told the class of every image: only unconditional models denoise")
    if chain.config.prediction_type not in PREDICTIONS:
        raise ModelError(f"{name} predicts {chain.config.prediction_type!r}, not one of {', '.join(PREDICTIONS)}")
    if config.sample_size is None:
        raise ModelError(f"{name} does not say for what size of image it is (sample_size in its config.json)")
    alpha_bar, size = widen(chain.alphas_cumprod), config.sample_size
    sides = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    image = (config.in_channels, *sides)
    adapted = UNet2D(net, image, alpha_bar, chain.config.prediction_type)
    return DDPM(adapted, DDPMSettings(timesteps=len(alpha_bar)), alpha_bar).eval()
