"""`mark`: images with a watermark that a detector looks for, in a folder."""

from __future__ import annotations

from pathlib import Path

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.keywords import keywords
from unshaken.core.package import public
from unshaken.core.registry import list_methods, parse_method
from unshaken.core.user_code import refuse_exit
from unshaken.data import DataSource, as_dataset, stream, subset
from unshaken.detect.engine.base import Bank
from unshaken.detect.engine.detector_set import load_detector
from unshaken.detect.watermark.watermark import WatermarkDetector
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir

RECORD = "marked.json"
"""The file that is written last: where it is, all images are there."""


@public()
@refuse_exit()
@keywords()
def mark(
    data: DataSource,
    method: str | WatermarkDetector,
    *,
    out: str | Path,
    detectors: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    download: bool = False,
) -> RunDir:
    """Set a watermark on images and keep them as PNG files, which `folder:DIR` reads as data.

    Args:
        data: a SPEC or an object, as for `audit`.
        method: `NAME[:k=v,...]` of a watermark, such as `dct:seed=3`, or the detector itself; its parameters are the
            key. With `detectors`, the label of a fitted watermark, such as `learned-watermark`.
        out: the folder: a folder a class where the data have labels, and `marked.json`.
        detectors: the folder of `detect fit` that holds the networks of a learned watermark.
        limit: images at most, a seeded and stratified subset.
        seed: of the choice.
        workers: threads that decode.
        download: allow the data to be fetched from their own source.

    Raises:
        ParameterError: the method is no watermark, or such images cannot carry it.
        DataError: no image can be read.
        RunError: the folder holds marked images already, or cannot be written.
    """
    check_folder(out, "out", (RECORD,))
    detector, bank = _watermark(method, detectors)
    folder = RunDir(out)
    if folder.exists(RECORD):
        raise RunError(f"{out}: holds marked images already; choose another --out")
    dataset = as_dataset(data, download=download)
    names: dict[str, str] = {}
    for item in stream(dataset, subset(dataset, limit, seed), workers=workers, batch_size=256):
        if isinstance(item, Batch):
            labels = [None] * len(item) if item.labels is None else item.labels.tolist()
            for sample, image, label in zip(item.ids, detector.mark(item.images, bank), labels, strict=True):
                known = label is not None and label < len(dataset.classes)
                place = dataset.classes[label] if known else f"{label:04d}" if label is not None else ""
                names[sample] = f"{place.replace('/', '-')}/{len(names):06d}.png".lstrip("/")
                folder.write_png(image, *names[sample].split("/"))
    if not names:
        raise DataError(f"none of the samples of {dataset.options.spec!r} can be read")
    about = {"schema": 1, "method": detector.info.name, "parameters": detector.model_dump(mode="json")}
    folder.write_json({**about, "data": dataset.options.spec, "images": names}, RECORD)
    return folder


def _watermark(method: str | WatermarkDetector, folder: str | Path | None) -> tuple[WatermarkDetector, Bank]:
    """The watermark, with the networks that a fit left of a learned one."""
    if folder is not None:
        fitted = load_detector(folder, method if isinstance(method, str) else method.info.name)
        detector, bank = fitted.method, fitted.bank
    else:
        detector, bank = (parse_method(method, "detect") if isinstance(method, str) else method), {}
    if not isinstance(detector, WatermarkDetector):
        known = [m.name for m in list_methods("detect") if issubclass(m.cls, WatermarkDetector)]
        raise ParameterError(f"{detector.info.name!r} is no watermark: use one of {', '.join(known)}")
    return detector, bank
