"""`score_part`: the score endpoint as a part of a server."""

from __future__ import annotations

from pathlib import Path

from unshaken.core.device import find_device
from unshaken.core.errors import ParameterError
from unshaken.data import as_dataset
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.models import load_model
from unshaken.serve.app import Part
from unshaken.serve.score import endpoint
from unshaken.serve.score.calibration import calibrate
from unshaken.serve.score.history import History
from unshaken.serve.score.options import Limits
from unshaken.serve.score.reference import measure_reference
from unshaken.serve.score.scorer import Scorer
from unshaken.serve.score.service import ScoreService
from unshaken.store.run_dir import RunDir


def score_part(scorer: Scorer, *, limits: Limits | None = None, history: History | None = None) -> Part:
    """Make the part of a server with the addresses below `/v1`.

    Args:
        scorer: answers.
        limits: on requests.
        history: where windows of what was scored are kept; None for nowhere.
    """
    service = ScoreService(scorer, limits or Limits(), history)
    return Part(
        "score",
        service,
        [endpoint.counted, endpoint.router],
        most_bytes={"/v1/": service.limits.bytes},
        programs=("/v1/",),
        lifespan=service.lifespan,
    )


def open_score_part(
    model: str,
    *,
    detectors: str | Path | None = None,
    accept: float = 0.95,
    calibrate_on: str | None = None,
    coverage: float | None = None,
    history: str | Path | None = None,
    window: int = 1000,
    reference: str | None = None,
    max_batch: int | None = None,
    limits: Limits | None = None,
    device: str = "auto",
    download: bool = False,
) -> Part:
    """Load a model, and make the part of a server that scores images with it.

    Args:
        model: SPEC.
        detectors: folder of detectors that were fitted on it; None for none.
        accept: share of normal images that the detectors accept at least, each alone and all together.
        calibrate_on: SPEC of labelled data to calibrate the probabilities on; None for a temperature of 1.
        coverage: promised share of prediction sets that hold the label, for which half of that data is kept; None for
            no sets.
        history: run directory of windows; None for none.
        window: images of one.
        reference: SPEC of images that windows are compared with; None for none.
        max_batch: images in one pass at most; None for a number by their size.
        limits: on requests.
        device: `auto`, `cpu`, `cuda`, `mps`.
        download: allow model and data to be fetched from their own source.

    Raises:
        ModelError: the model or its detectors cannot be loaded, or do not belong together.
        ParameterError: the detectors cannot promise the share.
        DataError: there is too little data to calibrate on, or of the reference.
    """
    if not 0 < accept < 1:
        raise ParameterError(f"accept={accept:g} must lie inside (0, 1); 0.95 is usual")
    classifier = load_model(model, download=download, device=str(find_device(device)))
    found = None if detectors is None else DetectorSet.load(detectors, classifier)
    calibration = None
    if calibrate_on is not None:
        calibration = calibrate(classifier, as_dataset(calibrate_on, download=download), coverage=coverage)
    scorer = Scorer(classifier, found, accept=accept, calibration=calibration, most=max_batch)
    stored = None
    if history is not None:
        of = None if reference is None else measure_reference(scorer, as_dataset(reference, download=download))
        stored = History(RunDir(history), scorer, images=window, reference=of)
    return score_part(scorer, limits=limits, history=stored)
