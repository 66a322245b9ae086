"""Options of `unshaken detect`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.complete import complete_detector
from unshaken.cli.values import COUNT, LIMIT, SEED, SHARE, WORKERS
from unshaken.core.numbers import LARGEST_BATCH

DEFAULT = ("msp", "max-logit", "energy", "knn", "vim", "mahalanobis")
"""Detectors that are fitted where none is named."""

Detectors = Annotated[
    str, typer.Option(metavar="DETECTORS", help="Folder written by 'unshaken detect fit'.", show_default=False)
]
NewDetectors = Annotated[
    str, typer.Option(metavar="DETECTORS", help="Folder to write the detectors to.", show_default=False)
]
MovedDetectors = Annotated[
    str | None,
    typer.Option(
        metavar="DETECTORS",
        help="Folder for the detectors with new thresholds (with --data). Default: --detectors.",
        show_default=False,
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:k=v,...]",
        help=f"Detector, e.g. knn:k=50; see 'unshaken list detect'. May be repeated. Default: {', '.join(DEFAULT)}.",
        autocompletion=complete_detector,
        show_default=False,
    ),
]
FittedModel = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="Model that the detectors were fitted on (with --data).", show_default=False),
]
NormalData = Annotated[
    str | None, typer.Option(metavar="SPEC", help="Normal images to set new thresholds on.", show_default=False)
]
Accept = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", **SHARE, help="Share of normal images that is accepted at least (0.95).", show_default=False
    ),
]
Keep = Annotated[
    int, typer.Option(metavar="N", **COUNT, help="Maximum number of samples to keep for nearest-neighbour search.")
]
Tune = Annotated[
    int, typer.Option(metavar="N", **COUNT, help="Maximum number of samples for tuning scales and weights.")
]
Calibration = Annotated[
    float, typer.Option(metavar="SHARE", **SHARE, help="Share of the data that is used to set thresholds.")
]
Limit = Annotated[
    int | None,
    typer.Option(
        metavar="N", **LIMIT, help="Maximum number of samples (a stratified random subset).", show_default=False
    ),
]
Seed = Annotated[int, typer.Option(metavar="S", **SEED, help="Random seed.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=LARGEST_BATCH,
        help="Maximum number of images in one forward pass.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Device to run on.")]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        **WORKERS,
        help="Number of threads that decode images. Default: number of cores.",
        show_default=False,
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GROUP=SPEC",
        help="Abnormal images to score, e.g. far=mnist or near/dogs=folder:DOGS. May be repeated.",
        show_default=False,
    ),
]
Shift = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME-SEVERITY",
        help="Also score the images under this corruption, e.g. gaussian_noise-3. May be repeated.",
        show_default=False,
    ),
]
Attacked = Annotated[
    bool,
    typer.Option(
        "--attacked/--not-attacked", help="Also attack the model and each detector together (an adaptive attack)."
    ),
]
Attack = Annotated[str, typer.Option(metavar="NAME[:k=v,...]", help="Attack for --attacked.")]
Norm = Annotated[str, typer.Option(metavar="linf|l2|l1", help="Norm of the attack's perturbation.")]
Eps = Annotated[
    list[str] | None,
    typer.Option(
        metavar="E",
        help="Maximum size of the attack's perturbation. Default: 8/255. May be repeated.",
        show_default=False,
    ),
]
Samples = Annotated[int, typer.Option(metavar="N", **COUNT, help="Maximum number of samples to attack.")]
Window = Annotated[int, typer.Option(metavar="N", **COUNT, help="Number of samples per window.")]
Promised = Annotated[
    float, typer.Option(metavar="SHARE", **SHARE, help="Minimum share of samples that should be accepted.")
]
Alpha = Annotated[float, typer.Option(metavar="P", **SHARE, help="Probability of a false alarm over the whole run.")]
