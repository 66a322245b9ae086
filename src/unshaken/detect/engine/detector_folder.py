"""A folder of fitted detectors: `detectors.json`, which lists them, and the file of their banks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from torch import Tensor

from unshaken.core.classifier import View
from unshaken.core.documents import validate
from unshaken.core.errors import ModelError, RunError
from unshaken.core.numbers import LARGEST_SEED, MAX_CLASSES
from unshaken.store.run_dir import RunDir

LIST, BANKS = "detectors.json", "banks.safetensors"
CALIBRATION = "calibration"
"""The bank of each detector that holds its scores of normal samples."""

Count = Annotated[int, Field(ge=0, le=10**12)]


class DetectorRecord(BaseModel):
    """Record of a fitted detector.

    Args:
        label: unique in the folder, and fit for a file name.
        method: registry name.
        params: its parameters.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    label: str = Field(pattern=r"^[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,99}$")
    method: str
    params: dict[str, Any] = {}


class AnatomyRecord(BaseModel):
    """Record of the model's layers that detectors read; see `Anatomy`."""

    model_config = ConfigDict(extra="forbid")

    head: str | None
    stages: list[str]
    classes: int = Field(ge=1, le=MAX_CLASSES)
    maps: str | None = None
    rectified: bool = False


class FitRecord(BaseModel):
    """Record of the fit that made the detectors; it may have further fields.

    Args:
        view: the model's view of photos, as `view_text` gives it; None in folders of earlier versions.
        shape: of the images that the model got, `[C, H, W]`; likewise.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str | None = None
    fingerprint: str | None = None
    data: str | None = None
    data_fingerprint: str | None = None
    labels_version: str | None = None
    samples: dict[str, Count] = {}
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    view: str | None = None
    shape: Annotated[list[int], Field(min_length=3, max_length=3)] | None = None

    def check_view(self, view: View | None, model: str, folder: str) -> None:
        """Refuse a model that sees photos otherwise than the one that the detectors were fitted on.

        A fixed size is also accepted where the fit's model took any size and its images had this one.

        Args:
            view: of the model.
            model: its name.
            folder: of the detectors.

        Raises:
            ModelError: with both views.
        """
        if self.view is None or self.view == view_text(view):
            return
        fitted_view = self.view
        if self.view == view_text(None) and self.shape is not None:
            if view is not None and [view.height, view.width] == self.shape[1:]:
                return
            fitted_view = f"{self.view}, {self.shape[1]} x {self.shape[2]} pixels"
        raise ModelError(
            f"{folder}: these detectors were fitted on photos seen so: {fitted_view}; {model!r} sees them so: "
            f"{view_text(view)}: give the model the size of the fit, or fit again with this one"
        )


def view_text(view: View | None) -> str:
    """Describe a view of photos in words.

    >>> view_text(None)
    'as they are'
    """
    return str(view or "as they are")


class DetectorList(BaseModel):
    """The content of `detectors.json`.

    Args:
        detectors: in the order of the fit.
        anatomy: of the model.
        about: where they come from.
        banks: SHA-256 of the banks that belong to this list; None in folders of earlier versions.
    """

    model_config = ConfigDict(extra="forbid")

    schema_: Literal[1] = Field(alias="schema")
    detectors: list[DetectorRecord] = Field(min_length=1)
    anatomy: AnatomyRecord
    about: FitRecord
    banks: str | None = None


def read_list(folder: str) -> DetectorList:
    """Read the list of a folder of detectors.

    Raises:
        RunError: there is nothing, or it is damaged.
    """
    run = RunDir(folder)
    if not run.exists(LIST):
        raise RunError(f"{run}: no {LIST} found; give a folder written by 'unshaken detect fit'")
    found = validate(DetectorList, run.read_json(LIST), f"{run}: {LIST}", RunError, "fit the detectors again")
    labels = [d.label for d in found.detectors]
    if len(set(labels)) < len(labels):
        raise RunError(f"{run}: {LIST} is damaged (a label stands twice); fit the detectors again")
    return found


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
