"""Files of published weights: found in the local caches, fetched only when the call allows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from unshaken.core.errors import ModelError
from unshaken.core.imports import need
from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.loaders.weights import check_digest, first_line, refuse_disguised


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
