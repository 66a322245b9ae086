"""Weights from files: tensors only, never code, and a readable line for every file that is something else.

Files of published weights are found in the local caches, and fetched only when the call allows it.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from unshaken.core.errors import ModelError
from unshaken.core.imports import need
from unshaken.core.texts import first_line as first_line
from unshaken.models.loaders.spec import ModelSpec, require_weights

_WRAPPERS = ("state_dict", "model_state_dict", "model")


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read a state dict from a safetensors file or a PyTorch checkpoint, distinguished by content.

    A checkpoint that keeps its weights under `state_dict`, `model_state_dict` or `model` is opened there; a prefix
    `module.` or `_orig_mod.` that every key bears (`DataParallel`, `torch.compile`) is taken off.

    Raises:
        ModelError: the file is absent, is a web page, is damaged, holds code, or holds no state dict.
    """
    path = Path(path)
    start = refuse_disguised(path)
    try:
        if start.startswith(b"PK"):
            _refuse_bomb(path)
        if start.startswith((b"PK", b"\x80")):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Detected pickle protocol")
                loaded = torch.load(path, map_location="cpu", weights_only=True)
            return _bare(_tensors(loaded, path))
        return _bare(dict(load_file(path)))
    except SafetensorError as error:
        raise ModelError(
            f"{path} is not a complete safetensors file ({error}): it is truncated or damaged: download it again"
        ) from None
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"code ({code[1]})" if code else "more than tensors"
        raise ModelError(
            f"{path} is a pickle that contains {what} and is not loaded: ask its author to save the state dict with "
            "safetensors"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read as weights ({first_line(error)}): it is damaged, download it again"
        ) from None


def refuse_disguised(path: Path) -> bytes:
    """The first bytes of a file that may hold weights.

    Raises:
        ModelError: there is no such file, or it is empty, a web page, or the pointer of a large file left behind.
    """
    require_weights(path)
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ModelError(f"cannot read the weights file {str(path)!r}: {error.strerror}") from None
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise ModelError(f"{path} is empty: download it again")
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")):
        raise ModelError(
            f"{path} is an HTML page, not weights: the download returned a login or error page; download it again"
        )
    if text.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path} is a Git LFS pointer, not weights: run 'git lfs pull' where it came from")
    return start


def _refuse_bomb(path: Path) -> None:
    """Refuse a packed checkpoint that is far larger unpacked than weights are, before it is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
        return  # its reader says what is wrong
    there = path.stat().st_size
    if size > max(256 << 20, 10 * there):
        raise ModelError(f"{path} claims {size:,} bytes in a file of {there:,}, which no weights make: get it again")


def load_weights(net: nn.Module, weights: Mapping[str, Tensor], source: Path | str) -> None:
    """Put weights into a net; every key and every shape must fit.

    Raises:
        ModelError: keys are missing or unknown, or shapes differ; the first few are named.
    """
    own = net.state_dict()
    missing = [k for k in own if k not in weights and not k.endswith("num_batches_tracked")]
    unknown = [k for k in weights if k not in own]
    differ = [
        f"{k} {tuple(weights[k].shape)} for {tuple(own[k].shape)}"
        for k in own
        if k in weights and weights[k].shape != own[k].shape
    ]
    trouble = [
        f"{len(keys)} keys {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("unknown", unknown), ("of another shape", differ))
        if keys
    ]
    if trouble:
        raise ModelError(f"{source} does not fit {type(net).__name__}: {'; '.join(trouble)}")
    net.load_state_dict(dict(weights), strict=False)


def check_digest(path: Path, digest: str, command: str) -> None:
    """Compare a file's SHA-256 with the digits that its source states.

    Raises:
        ModelError: they differ.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(digest):
        raise ModelError(
            f"{path} is damaged or another file: its SHA-256 begins {found[: len(digest)]}, not {digest}; "
            f"delete it and download it again: {command}"
        )


def _tensors(loaded: Any, path: Path) -> dict[str, Tensor]:
    """The dict of tensors in what a checkpoint holds."""
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not loaded:
        raise ModelError(f"{path} holds a {type(loaded).__name__}, not a state dict")
    strange = next((k for k, v in loaded.items() if not (isinstance(k, str) and isinstance(v, Tensor))), None)
    if strange is not None:
        raise ModelError(f"{path} is not a state dict: entry {strange!r} is a {type(loaded[strange]).__name__}")
    return dict(loaded)


def _bare(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in ("module.", "_orig_mod."):
        if weights and all(k.startswith(prefix) for k in weights):
            weights = {k.removeprefix(prefix): v for k, v in weights.items()}
    return weights


def how_to_fetch(spec: ModelSpec) -> str:
    """Instructions for getting the weights of a SPEC."""
    return f"run again with --download, or load_model({str(spec)!r}, download=True)"


def file_by_url(url: str, spec: ModelSpec, *, download: bool, digest: str = "") -> Path:
    """The file of a URL in torch.hub's folder of checkpoints.

    Args:
        url: where it is published; a name such as `net-0123abcd.pth` states the start of its SHA-256.
        spec: the model that needs it.
        download: fetch it where it is absent.
        digest: the start of its SHA-256, where the name does not tell.

    Raises:
        ModelError: it is absent and may not be fetched, cannot be fetched, or is not what was published.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        if not download:
            raise ModelError(f"the weights of {str(spec)!r} are not at {path}: {how_to_fetch(spec)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except (OSError, RuntimeError) as error:
            raise ModelError(f"cannot download {url} ({first_line(error)}): put the file at {path}") from None
    refuse_disguised(path)
    stated = re.search(r"-([0-9a-f]{8,64})\.\w+$", path.name)
    if digest or stated:
        check_digest(path, digest or (stated[1] if stated else ""), how_to_fetch(spec))
    return path


def file_of_repository(repository: str, names: tuple[str, ...], spec: ModelSpec, *, download: bool) -> Path:
    """The first of some files that a repository on the Hugging Face hub has.

    Raises:
        ModelError: none is in the local cache and they may not be fetched, or none can be.
    """
    hub = need("huggingface_hub", "huggingface_hub", "models", f"model {str(spec)!r}")
    for name in names:
        try:
            found = hub.try_to_load_from_cache(repository, name)
        except ValueError as error:
            raise ModelError(f"model {str(spec)!r}: {first_line(error)}") from None
        if isinstance(found, str):
            return Path(found)
    if not download:
        raise ModelError(
            f"the weights of {str(spec)!r} are not in the local cache of {repository!r}: {how_to_fetch(spec)}"
        )
    trouble = "no such files"
    for name in names:
        try:
            return Path(hub.hf_hub_download(repository, name))
        except (OSError, ValueError, RuntimeError) as error:
            trouble = first_line(error)
    raise ModelError(f"cannot download {' or '.join(names)} of {repository!r} ({trouble})")


@contextmanager
def offline(spec: ModelSpec, *, unless: bool) -> Iterator[None]:
    """Keep the Hugging Face libraries to their local cache, as the environment variable HF_HUB_OFFLINE does."""
    need("huggingface_hub", "huggingface_hub", "models", f"model {str(spec)!r}")
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not unless
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
