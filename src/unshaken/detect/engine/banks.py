"""Banks from a file, in memory of their own, without twice the memory on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from torch import Tensor

from unshaken.core.errors import RunError
from unshaken.detect.engine.detector_list import BANKS, CALIBRATION, LIST, DetectorList
from unshaken.store.run_dir import RunDir

PIECE = 2**26
"""Bytes that are read at once."""


def read_banks(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    A tensor that stays mapped is slower to search, for its pages are small; one that is read whole takes its memory
    twice for a moment. So large ones are copied piece by piece, and the file is mapped anew for each.

    Args:
        path: a local file.

    Raises:
        SafetensorError: it holds something else.
        OSError: it cannot be read.
    """
    found, large = {}, []
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  # not a mapping
            tensor = file.get_tensor(name)
            if tensor.ndim and tensor.nbytes > PIECE:
                found[name] = torch.empty_like(tensor)
                large.append((name, max(1, PIECE * len(tensor) // tensor.nbytes)))
            else:
                found[name] = tensor.clone()
            del tensor
    for name, rows in large:
        for start in range(0, len(found[name]), rows):
            with safe_open(path, framework="pt") as file:
                found[name][start : start + rows] = file.get_slice(name)[start : start + rows]
    return found


def sha256_of(run: RunDir, name: str) -> str:
    """The SHA-256 of a file of a folder of detectors.

    Raises:
        RunError: it cannot be read.
    """
    found = hashlib.sha256()
    run.check_file(name)
    try:
        with run.fs.open(run.at(name), "rb") as file:
            while piece := file.read(2**24):
                found.update(piece)
    except OSError as error:
        raise RunError(f"{run}: {name} cannot be read ({error.strerror or error}); fit again") from None
    return found.hexdigest()


def checked_banks(folder: str | Path, listed: DetectorList) -> dict[str, Tensor]:
    """The banks, which must be those of the list, and a calibration for each detector.

    Raises:
        RunError: they are not, or they are damaged.
    """
    run = RunDir(str(folder))
    try:
        tensors = read_banks(run.at(BANKS)) if run.local else load_tensors(run.read(BANKS))
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{run}: {BANKS} cannot be read ({' '.join(str(error).split())}); fit again") from None
    if listed.banks is not None and sha256_of(run, BANKS) != listed.banks:
        raise RunError(
            f"{run}: {BANKS} and {LIST} are of two different fits, as when a fit was stopped between them; fit again"
        )
    for entry in listed.detectors:
        scores = tensors.get(f"{entry.label}/{CALIBRATION}")
        if scores is None:
            raise RunError(f"{run}: {BANKS} holds nothing of {entry.label!r}; fit the detectors again")
        if scores.ndim != 1 or not len(scores) or not scores.is_floating_point() or bool(scores.isnan().any()):
            raise RunError(f"{run}: the calibration scores of {entry.label!r} are damaged; fit the detectors again")
    return tensors
