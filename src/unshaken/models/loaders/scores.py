"""`read_scores`: what a black box answers, as logits."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import ModelError, ParameterError, did_you_mean

Output = Literal["logits", "probabilities", "labels"]
Layout = Literal["NCHW", "NHWC"]
SMALLEST = float(np.finfo(np.float32).tiny)
"""Probability that stands for 0 under the logarithm."""
_OUTPUTS: dict[str, Output] = {name: name for name in get_args(Output)}
_LAYOUTS: dict[str, Layout] = {name: name for name in get_args(Layout)}


def check_output(text: str, where: str) -> Output:
    """The meaning of a model's numbers by its name.

    Raises:
        ParameterError: there is none of that name.
    """
    if text not in _OUTPUTS:
        raise ParameterError(f"{where}: there is no output {text!r}; {did_you_mean(text, _OUTPUTS)}")
    return _OUTPUTS[text]


def check_layout(text: str, where: str) -> Layout:
    """The order of an image's dimensions by its name.

    Raises:
        ParameterError: there is none of that name.
    """
    if text not in _LAYOUTS:
        raise ParameterError(f"{where}: there is no layout {text!r}; {did_you_mean(text, _LAYOUTS)}")
    return _LAYOUTS[text]


def read_scores(found: Any, n: int, *, output: Output, classes: int, what: str) -> NDArray[np.float32]:
    """Read a model's answer as logits.

    Args:
        found: array, tensor or nested lists: `[N, K]`; of labels `[N]`.
        n: images that were asked about.
        output: meaning of the numbers. Of probabilities the logarithm is taken; a label becomes 1 for its class and 0
            for the others.
        classes: K, needed for labels; 0 where it is not known.
        what: the numbers in messages, such as `the answer of f`.

    Returns:
        float32 `[N, K]`.

    Raises:
        ModelError: they are no numbers, of another shape, NaN or infinite, or not of that meaning.
    """
    kind = type(found).__name__
    if isinstance(found, Tensor):
        found = found.detach().cpu()
        found = (found.double() if found.is_floating_point() else found).numpy()
    try:
        if found is None or np.asarray(found).dtype.kind == "c":
            raise TypeError
        values = np.array(found, np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"{what} is of type {kind}, no array of numbers") from None
    if output == "labels":
        return _one_hot(values, n, classes, what)
    if values.ndim != 2 or len(values) != n or values.shape[1] < 2:
        hint = "; for a label an image give output=labels" if values.size == n else ""
        raise ModelError(
            f"{what} has the shape {list(values.shape)} for {n} image{'s' * (n != 1)}: [N, K] is expected with K of at "
            f"least 2{hint}"
        )
    if not np.isfinite(values).all():
        raise ModelError(f"{what} has scores that are NaN or infinite")
    if output == "probabilities":
        if values.size and (values.min() < 0 or values.max() > 1 + 1e-6):
            raise ModelError(
                f"{what} has {values.min():g} to {values.max():g} for probabilities: output=logits is meant"
            )
        values = np.log(np.maximum(values, SMALLEST))
    return values.astype(np.float32)


def _one_hot(values: NDArray[np.float64], n: int, classes: int, what: str) -> NDArray[np.float32]:
    labels = values.reshape(-1)
    if len(labels) != n:
        raise ModelError(f"{what} has {len(labels)} labels for {n} image{'s' * (n != 1)}")
    wrong = [label for label in labels.tolist() if label != label or label % 1 or not 0 <= label < classes]
    if wrong:
        raise ModelError(f"{what} has the label {wrong[0]:g}, which is none of 0 to {classes - 1}")
    return np.eye(classes, dtype=np.float32)[labels.astype(np.int64)]
