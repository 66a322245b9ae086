"""`DetectorSet`: fitted detectors of one model. It scores, decides, and is saved as a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch, in_unit_range
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.consent import refuse_code
from unshaken.core.device import device_of, float64_device
from unshaken.core.errors import DataError, ModelError, ParameterError, RunError, did_you_mean
from unshaken.core.notebook import facts_card
from unshaken.core.options import DETECTOR_RECORDS
from unshaken.core.oracle import Oracle
from unshaken.core.registry import find_method
from unshaken.data.dataset import BadSample
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Detector
from unshaken.detect.engine.detector_folder import (
    BANKS,
    CALIBRATION,
    LIST,
    DetectorRecord,
    checked_banks,
    read_list,
    sha256_of,
)
from unshaken.detect.engine.screen import DetectorScores, FittedDetector, check_scores, screen
from unshaken.measure.detection.conformal import Threshold, calibration_needed, conformal_threshold
from unshaken.models import fingerprint
from unshaken.store.address import bare
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir

FIRST = 3
"""Samples that could not be read, of which a set says why."""


class DetectorSet:
    """Fitted detectors with the model that they were fitted on.

    Args:
        model: the classifier.
        anatomy: what is known of its inside.
        detectors: by label, such as `knn`.
        about: where they come from: `fingerprint` of the model, `data`, how many samples served for what, `seed`.
    """

    def __init__(
        self, model: Classifier, anatomy: Anatomy, detectors: Mapping[str, FittedDetector], about: Mapping[str, Any]
    ) -> None:
        self.model, self.anatomy, self.detectors, self.about = model, anatomy, dict(detectors), dict(about)

    @override
    def __repr__(self) -> str:
        return f"<DetectorSet of {self.model.name!r}: {', '.join(self.detectors)}>"

    def _repr_html_(self) -> str:
        samples = ", ".join(f"{n} {use}" for use, n in self.about.get("samples", {}).items())
        facts = {"detectors": ", ".join(self.detectors), "fitted on": self.about.get("data", ""), "samples": samples}
        following = "Next: unshaken detect score scores other images of the same kind with them."
        return facts_card(f"Detectors of {self.model.name}", facts, following)

    def only(self, *labels: str) -> DetectorSet:
        """Select some of the detectors.

        Raises:
            ParameterError: there is no such detector.
        """
        for label in labels:
            if label not in self.detectors:
                raise ParameterError(f"no detector {label!r} is fitted here; {did_you_mean(label, self.detectors)}")
        return DetectorSet(self.model, self.anatomy, {n: self.detectors[n] for n in labels}, self.about)

    def examine(self, batch: Batch | Tensor, *, limit: int = 256) -> dict[str, DetectorScores]:
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
        """Whether each detector accepts each image: bool `[N]`.

        Args:
            batch: as for `score`.
            accept: share of normal images that are accepted at least; see `threshold`.
        """
        return {n: s.cpu() <= self.threshold(n, accept).value for n, s in self.score(batch).items()}

    def threshold(self, label: str, accept: float = 0.95) -> Threshold:
        """The largest score that is accepted, with its guarantee.

        Args:
            label: of the detector.
            accept: the share of normal images that are accepted at least, in (0, 1).

        Raises:
            ParameterError: there is no such detector, or the share is outside (0, 1).
        """
        return conformal_threshold(self.only(label).detectors[label].calibration.numpy(), accept=accept)

    def calibrated(self, scores: Mapping[str, Tensor], data: str, bad: Sequence[BadSample] = ()) -> DetectorSet:
        """Take thresholds from other normal scores, for the same detectors.

        Args:
            scores: label to scores `[n]` of normal samples.
            data: where these come from.
            bad: samples of that data that could not be read.
        """
        fitted = {
            n: FittedDetector(f.method, f.bank, scores[n].double().cpu().sort().values)
            for n, f in self.detectors.items()
        }
        samples = {**self.about.get("samples", {}), CALIBRATION: len(next(iter(scores.values())))}
        unread = {"samples": len(bad), "first": [str(one) for one in bad[:FIRST]]}
        about = {**self.about, "samples": samples, "calibrated_on": data, "unread": unread}
        return DetectorSet(self.model, self.anatomy, fitted, about)

    def save(self, folder: str | Path) -> None:
        """Write `banks.safetensors`, and last `detectors.json` with their digest: a list never goes with other banks.

        Raises:
            ParameterError: the folder holds other files.
            RunError: the folder cannot be written.
        """
        check_folder(folder, "folder", DETECTOR_RECORDS)
        run, (banks, record) = RunDir(str(folder)), self.pack()
        run.write(banks, BANKS)
        run.write_json(record, LIST)

    def pack(self) -> tuple[bytes, dict[str, Any]]:
        """The content of the two files that `save` writes: that of `banks.safetensors`, and of `detectors.json`."""
        tensors = {f"{n}/{k}": v.cpu().contiguous() for n, f in self.detectors.items() for k, v in f.bank.items()}
        tensors |= {f"{n}/{CALIBRATION}": f.calibration.cpu().contiguous() for n, f in self.detectors.items()}
        listed = [
            {"label": n, "method": f.method.info.name, "params": f.method.model_dump(mode="json")}
            for n, f in self.detectors.items()
        ]
        anatomy = self.anatomy
        inside = {"head": anatomy.head, "stages": list(anatomy.stages), "classes": anatomy.classes}
        inside |= {"maps": anatomy.maps, "rectified": anatomy.rectified}
        banks = save_tensors(tensors)
        own = {"banks": hashlib.sha256(banks).hexdigest()}
        return banks, {"schema": 1, "detectors": listed, "anatomy": inside, "about": self.about, **own}

    @classmethod
    def load(cls, folder: str | Path, model: Classifier) -> DetectorSet:
        """Read what `save` wrote.

        Args:
            folder: of the detectors.
            model: the classifier they were fitted on.

        Raises:
            RunError: there are no detectors, or they are damaged.
            ModelError: they were fitted on another model or view of photos, or name code that this call did not.
        """
        found = read_list(str(folder))
        about, own, shown = found.about, fingerprint(model), bare(str(folder))
        if about.fingerprint != own:
            raise ModelError(
                f"{shown}: these detectors were fitted on another model ({about.model}, "
                f"{str(about.fingerprint)[:12]}), not on {model.name!r} ({own[:12]}): fit again with this one"
            )
        about.check_view(model.view, model.name, shown)
        tensors, inside = checked_banks(folder, found), found.anatomy
        layers = inside.head, tuple(inside.stages), inside.maps, inside.rectified
        anatomy = Anatomy.named(model, inside.classes, *layers)
        device = float64_device(device_of(model))
        detectors = {e.label: _fitted(folder, e, tensors, device) for e in found.detectors}
        return cls(model, anatomy, detectors, about.model_dump(exclude_unset=True))


def load_detector(folder: str | Path, label: str) -> FittedDetector:
    """Load one detector that `DetectorSet.save` wrote, on the CPU and without its model.

    Args:
        folder: of the detectors.
        label: of the detector.

    Raises:
        RunError: there are no detectors, or they are damaged.
        ParameterError: there is no such detector.
    """
    found = read_list(str(folder))
    entries = {entry.label: entry for entry in found.detectors}
    if label not in entries:
        raise ParameterError(f"no detector {label!r} in {bare(str(folder))}; {did_you_mean(label, entries)}")
    return _fitted(folder, entries[label], checked_banks(folder, found), torch.device("cpu"))


def thresholds(folder: str | Path, accept: float = 0.95) -> dict[str, Threshold]:
    """The thresholds of a folder's detectors, by label; no model is needed.

    Raises:
        RunError: there are no detectors, or they are damaged.
        ParameterError: the share is outside (0, 1).
    """
    found = read_list(str(folder))
    tensors = checked_banks(folder, found)
    labels = [entry.label for entry in found.detectors]
    return {n: conformal_threshold(tensors[f"{n}/{CALIBRATION}"].numpy(), accept=accept) for n in labels}


def check_accept(accept: float, samples: int) -> None:
    """Refuse a share that a number of calibration samples cannot promise.

    Args:
        accept: share of normal samples to accept.
        samples: that set the thresholds.

    Raises:
        ParameterError: the threshold would be infinite, or the share is outside (0, 1).
    """
    needed = calibration_needed(accept)
    if needed > samples:
        raise ParameterError(
            f"accept={accept:g} needs {needed:,} calibration samples and there are {samples:,}, so everything would be "
            "accepted: give more data, or a smaller share"
        )


def digest(folder: str | Path) -> str:
    """32 hexadecimal digits that change when the detectors of a folder do.

    Raises:
        RunError: there are none.
    """
    read_list(str(folder))
    run = RunDir(str(folder))
    return hashlib.sha256("".join(sha256_of(run, name) for name in (LIST, BANKS)).encode()).hexdigest()[:32]


def _fitted(
    folder: str | Path, entry: DetectorRecord, tensors: Mapping[str, Tensor], device: torch.device
) -> FittedDetector:
    shown = bare(str(folder))
    refuse_code(entry.params, f"{shown}/{LIST}")
    own = {k.removeprefix(f"{entry.label}/"): v for k, v in tensors.items() if k.startswith(f"{entry.label}/")}
    calibration = own.pop(CALIBRATION)
    method = find_method(entry.method, "detect").cls(**entry.params)
    if not isinstance(method, Detector):
        raise RunError(f"{shown}: {LIST} is damaged ({entry.method!r} is no detector to fit); fit again")
    return FittedDetector(method, {k: v.to(device) for k, v in own.items()}, calibration)


def _samples(batch: Batch | Tensor) -> Batch:
    if isinstance(batch, Batch):
        return batch
    if batch.ndim != 4:
        raise DataError(f"images must be [N, C, H, W], not of shape {tuple(batch.shape)}")
    return Batch(in_unit_range(batch, "images"), None, tuple(str(i) for i in range(len(batch))))
