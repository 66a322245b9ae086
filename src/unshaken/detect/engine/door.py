"""`Door`: fitted detectors in front of a model. It scores, decides, and is kept as a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from unshaken.core.batch import Batch, in_unit_range
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError, ModelError, ParameterError, RunError, did_you_mean
from unshaken.core.oracle import Oracle
from unshaken.core.registry import find_method
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.banks import read_banks
from unshaken.detect.engine.screen import Fitted, Scored, check_scores, screen
from unshaken.measure.detection.conformal import Threshold, conformal_threshold
from unshaken.models import fingerprint
from unshaken.run.store import RunDir

LIST, BANKS = "detectors.json", "banks.safetensors"
CALIBRATION = "calibration"


class Door:
    """Fitted detectors in front of the model that they were fitted on.

    Args:
        model: the classifier.
        anatomy: what is known of its inside.
        detectors: by label, such as `knn`.
        about: where they come from: `fingerprint` of the model, `data`, how many samples served for what, `seed`.
    """

    def __init__(
        self, model: Classifier, anatomy: Anatomy, detectors: Mapping[str, Fitted], about: Mapping[str, Any]
    ) -> None:
        self.model, self.anatomy, self.detectors, self.about = model, anatomy, dict(detectors), dict(about)

    def __repr__(self) -> str:
        return f"<Door of {self.model.name!r}: {', '.join(self.detectors)}>"

    def only(self, *labels: str) -> Door:
        """The same door with some of its detectors.

        Raises:
            ParameterError: there is no such detector.
        """
        for label in labels:
            if label not in self.detectors:
                raise ParameterError(f"no detector {label!r} is fitted here; {did_you_mean(label, self.detectors)}")
        return Door(self.model, self.anatomy, {n: self.detectors[n] for n in labels}, self.about)

    def examine(self, batch: Batch | Tensor, *, limit: int = 256) -> dict[str, Scored]:
        """Scores with their cost; see `screen`.

        Args:
            batch: samples, or images float `[N, C, H, W]` in [0, 1].
            limit: images in one pass at most.

        Raises:
            DataError: a value is outside [0, 1], or a score is no number.
        """
        oracle = Oracle(self.model, limit=limit)
        samples = _samples(batch).to(oracle.device)
        with evaluating(self.model), torch.inference_mode(False):  # some detectors need gradients, whoever asks
            if samples.images.is_inference():
                samples = samples.with_images(samples.images.clone())
            return screen(self.detectors, self.anatomy, samples, oracle, int(self.about.get("seed", 0)))

    def score(self, batch: Batch | Tensor) -> dict[str, Tensor]:
        """How abnormal each image is, by each detector: float64 `[N]`, **higher is more abnormal**.

        Args:
            batch: samples, or images float `[N, C, H, W]` in [0, 1].

        Raises:
            DataError: a value is outside [0, 1], or a score is no number.
        """
        samples = _samples(batch)
        scores = {label: scored.score for label, scored in self.examine(samples).items()}
        for label, values in scores.items():
            check_scores(label, values, samples.ids)
        return scores

    def decide(self, batch: Batch | Tensor, *, accept: float = 0.95) -> dict[str, Tensor]:
        """Whether each image is let in, by each detector: bool `[N]`.

        Args:
            batch: as for `score`.
            accept: share of normal images that are let in at least; see `threshold`.
        """
        return {n: s.cpu() <= self.threshold(n, accept).value for n, s in self.score(batch).items()}

    def threshold(self, label: str, accept: float = 0.95) -> Threshold:
        """The largest score that is let in, with what is promised of it.

        Args:
            label: of the detector.
            accept: the share of normal images that are let in at least, in (0, 1).

        Raises:
            ParameterError: there is no such detector, or the share is outside (0, 1).
        """
        return conformal_threshold(self.only(label).detectors[label].calibration.numpy(), accept=accept)

    def calibrated(self, scores: Mapping[str, Tensor], data: str) -> Door:
        """The same detectors with other normal scores to set thresholds by.

        Args:
            scores: label to scores `[n]` of normal samples.
            data: where these come from.
        """
        fitted = {
            n: Fitted(f.method, f.bank, scores[n].double().cpu().sort().values) for n, f in self.detectors.items()
        }
        samples = {**self.about.get("samples", {}), CALIBRATION: len(next(iter(scores.values())))}
        return Door(self.model, self.anatomy, fitted, {**self.about, "samples": samples, "calibrated_on": data})

    def save(self, folder: str | Path) -> None:
        """Write `detectors.json` and `banks.safetensors`; the list comes last, so that what can be read is whole.

        Raises:
            RunError: the folder cannot be written.
        """
        tensors = {f"{n}/{k}": v.cpu().contiguous() for n, f in self.detectors.items() for k, v in f.bank.items()}
        tensors |= {f"{n}/{CALIBRATION}": f.calibration.cpu().contiguous() for n, f in self.detectors.items()}
        listed = [
            {"label": n, "method": f.method.info.name, "params": f.method.model_dump(mode="json")}
            for n, f in self.detectors.items()
        ]
        inside = {"head": self.anatomy.head, "stages": list(self.anatomy.stages), "classes": self.anatomy.classes}
        run = RunDir(str(folder))
        run.write(save_tensors(tensors), BANKS)
        run.write_json({"schema": 1, "detectors": listed, "anatomy": inside, "about": self.about}, LIST)

    @classmethod
    def load(cls, folder: str | Path, model: Classifier) -> Door:
        """Read what `save` wrote.

        Args:
            folder: of the detectors.
            model: the classifier they were fitted on.

        Raises:
            RunError: there are no detectors, or they are damaged.
            ModelError: they were fitted on another model.
        """
        told = read_list(folder)
        about, own = told["about"], fingerprint(model)
        if about.get("fingerprint") != own:
            raise ModelError(
                f"{folder}: fitted on another model ({about.get('model')}, {str(about.get('fingerprint'))[:12]}), not "
                f"on {model.name!r} ({own[:12]}): fit again with this one"
            )
        tensors, inside = _tensors(folder), told["anatomy"]
        anatomy = Anatomy.named(model, inside["classes"], inside["head"], tuple(inside["stages"]))
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        detectors = {}
        for entry in told["detectors"]:
            label = entry["label"]
            own_tensors = {k.removeprefix(f"{label}/"): v for k, v in tensors.items() if k.startswith(f"{label}/")}
            if CALIBRATION not in own_tensors:
                raise RunError(f"{folder}: {BANKS} holds nothing of {label!r}; fit the detectors again")
            calibration = own_tensors.pop(CALIBRATION)
            bank = {k: v.to(device) for k, v in own_tensors.items()}
            detectors[label] = Fitted(find_method(entry["method"], "detect").cls(**entry["params"]), bank, calibration)
        return cls(model, anatomy, detectors, about)


def read_list(folder: str | Path) -> dict[str, Any]:
    """What a folder of detectors says of itself, without the banks.

    Raises:
        RunError: there is nothing, or it is damaged.
    """
    run = RunDir(str(folder))
    if not run.exists(LIST):
        raise RunError(f"{folder}: no {LIST} there; give the folder that 'unshaken detect fit' wrote")
    told = run.read_json(LIST)
    if not isinstance(told, dict) or told.get("schema") != 1 or not {"detectors", "anatomy", "about"} <= set(told):
        raise RunError(f"{folder}: {LIST} is damaged or of another version; fit the detectors again")
    return told


def thresholds(folder: str | Path, accept: float = 0.95) -> dict[str, Threshold]:
    """The thresholds of a folder's detectors, by label; no model is needed.

    Raises:
        RunError: there are no detectors, or they are damaged.
        ParameterError: the share is outside (0, 1).
    """
    labels = [entry["label"] for entry in read_list(folder)["detectors"]]
    tensors = _tensors(folder)
    return {n: conformal_threshold(tensors[f"{n}/{CALIBRATION}"].numpy(), accept=accept) for n in labels}


def digest(folder: str | Path) -> str:
    """32 hexadecimal digits that change when the detectors of a folder do.

    Raises:
        RunError: there are none.
    """
    read_list(folder)
    run, found = RunDir(str(folder)), hashlib.sha256()
    for name in (LIST, BANKS):
        with run.fs.open(run.at(name), "rb") as file:
            while piece := file.read(2**24):
                found.update(piece)
    return found.hexdigest()[:32]


def _tensors(folder: str | Path) -> dict[str, Tensor]:
    run = RunDir(str(folder))
    try:
        return read_banks(run.at(BANKS)) if run.local else load_tensors(run.read(BANKS))
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise RunError(f"{folder}: {BANKS} cannot be read ({' '.join(str(error).split())}); fit again") from None


def _samples(batch: Batch | Tensor) -> Batch:
    if isinstance(batch, Batch):
        return batch
    if batch.ndim != 4:
        raise DataError(f"images must be [N, C, H, W], not of shape {tuple(batch.shape)}")
    return Batch(in_unit_range(batch, "images"), None, tuple(str(i) for i in range(len(batch))))
