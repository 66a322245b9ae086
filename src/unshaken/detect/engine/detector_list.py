"""`detectors.json`: what a folder of fitted detectors says of itself, beside the banks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    """One fitted detector.

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
    """Where in the model the detectors look; see `Anatomy`."""

    model_config = ConfigDict(extra="forbid")

    head: str | None
    stages: list[str]
    classes: int = Field(ge=1, le=MAX_CLASSES)


class FitRecord(BaseModel):
    """Where the detectors come from; a fit may say more.

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
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
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
        seen = self.view
        if self.view == view_text(None) and self.shape is not None:
            if view is not None and [view.height, view.width] == self.shape[1:]:
                return
            seen = f"{self.view}, {self.shape[1]} x {self.shape[2]} pixels"
        raise ModelError(
            f"{folder}: these detectors were fitted on photos seen so: {seen}; {model!r} sees them so: "
            f"{view_text(view)}: give the model the size of the fit, or fit again with this one"
        )


def view_text(view: View | None) -> str:
    """A view in words.

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
    """What a folder of detectors says of itself.

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
