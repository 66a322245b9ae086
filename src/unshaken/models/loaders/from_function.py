"""`from_function`: a plain function of images as a model. A black box: no gradient passes."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError, UnshakenError
from unshaken.core.texts import first_line
from unshaken.core.user_code import takes
from unshaken.models.loaders.options import class_names
from unshaken.models.loaders.scores import Layout, Output, check_layout, check_output, read_scores
from unshaken.models.loaders.settings import mark_source
from unshaken.models.loaders.spec import ModelSpec

OPTIONS = ("output", "layout", "revision")
"""Options of kinds whose model is a function."""


class FunctionNet(nn.Module):
    """A function of images, as a module without parameters.

    Args:
        function: from images, a NumPy array of its own in float32, to scores.
        name: for messages.
        output: meaning of the scores; None where it is not given: logits, and what looks like probabilities is refused.
        layout: order of the dimensions of the images that it takes.
        classes: K, where it is known; 0 where the first answer tells it.
    """

    def __init__(
        self, function: Callable[..., Any], name: str, *, output: Output | None, layout: Layout, classes: int
    ) -> None:
        super().__init__()
        self._function, self._output, self._layout, self._classes = function, output, layout, classes
        self.name = name

    @property
    def labels_only(self) -> bool:
        """Whether the answers are labels, which `forward` gives as 1 for the class and 0 for the others."""
        return self._output == "labels"

    @override
    def forward(self, images: Tensor) -> Tensor:
        if not len(images):
            return images.new_zeros(0, self._classes)
        pixels = np.array(images.detach().to("cpu", torch.float32).numpy())  # a copy: a function may write into it
        if self._layout == "NHWC":
            pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        try:
            answer = self._function(pixels)
        except UnshakenError:
            raise
        except Exception as error:
            raise ModelError(
                f"model {self.name!r} raised {type(error).__name__} on images of shape {pixels.shape}: "
                f"{first_line(error)}"
            ) from error
        what = f"the answer of model {self.name!r}"
        scores = read_scores(answer, len(pixels), output=self._output or "logits", classes=self._classes, what=what)
        if self._output is None and not self._classes and _are_probabilities(scores):
            raise ModelError(
                f"{what} looks like probabilities, and nothing says what it is: give "
                "unshaken.models.from_function(FUNCTION, output='probabilities'), or output='logits'"
            )
        if self._classes and scores.shape[1] != self._classes:
            raise ModelError(f"{what} has {scores.shape[1]} scores an image, but the model has {self._classes} classes")
        self._classes = scores.shape[1]
        return torch.from_numpy(scores).to(images.device)


def from_function(
    function: Callable[..., Any],
    *,
    output: Output | None = None,
    classes: int | Sequence[str] = (),
    layout: Layout = "NCHW",
    revision: str = "",
    name: str = "",
) -> Classifier:
    """Make a model of a plain function, such as a predictor of another framework: a black box without gradients.

    Args:
        function: takes images in [0, 1], a NumPy array float32 `[N, C, H, W]`, and returns `[N, K]` scores, or `[N]`
            labels: an array, a tensor or nested lists. An image's scores may not depend on the others of its batch.
        output: `logits`, `probabilities`, or `labels` from 0, which need `classes`. None for logits; a first answer
            that looks like probabilities is then refused, since it may be either.
        classes: names of the K classes in the order of the scores, or K.
        layout: `NHWC` for a function that takes `[N, H, W, C]`.
        revision: any word. A run is only resumed with the same code and revision: change it with the weights that the
            function reads, which no one sees from outside.
        name: for reports; by default the function's.

    Returns:
        A classifier whose `differentiable` is False; methods that need gradients refuse it.

    Raises:
        ParameterError: an argument is not of its kind.

    >>> model = from_function(lambda images: images[:, 0, :2, 0], output="logits", name="two pixels")
    >>> model(torch.eye(2)[None, None]).tolist(), model.differentiable
    ([[1.0, 0.0]], False)
    """
    name = name or str(getattr(function, "__qualname__", type(function).__name__))
    names = tuple(map(str, range(classes) if isinstance(classes, int) else classes))
    known = None if output is None else check_output(output, f"model {name!r}")
    return _classifier(
        function, name, f"model {name!r}", output=known, layout=layout, names=names,
        identity=f"{_code(function)}\0{revision}",
    )  # fmt: skip


def function_of_spec(function: Callable[..., Any], spec: ModelSpec, identity: str) -> Classifier:
    """The model of a function that a SPEC names.

    Args:
        function: as of `from_function`.
        spec: with `OPTIONS`, of which `output` is needed.
        identity: what tells the function from others, beside the option `revision`.

    Raises:
        ParameterError: an option has a value that is not allowed.
    """
    where = f"model {str(spec)!r}"
    return _classifier(
        function, f"{spec.kind}:{spec.name}", where, output=check_output(spec.options["output"], where),
        layout=spec.options.get("layout", "NCHW"), names=class_names(spec),
        identity=f"{identity}\0{spec.options.get('revision', '')}",
    )  # fmt: skip


def _classifier(
    function: Callable[..., Any], name: str, where: str, *, output: Output | None, layout: str, names: tuple[str, ...],
    identity: str,
) -> Classifier:  # fmt: skip
    if isinstance(function, nn.Module | type) or not callable(function):
        kind = f"the class {function.__name__}" if isinstance(function, type) else f"of type {type(function).__name__}"
        raise ParameterError(f"{where} is no function of images, but {kind}")
    if not takes(function, 1):
        raise ParameterError(
            f"{where}: the function cannot be called with images alone; for a factory of a net leave output out"
        )
    if output == "labels" and not names:
        raise ParameterError(f"{where} answers with labels: say how many classes there are by classes=K")
    if len(names) == 1:
        raise ParameterError(f"{where}: classes gives 1 class; the minimum is 2")
    net = FunctionNet(function, name, output=output, layout=check_layout(layout, where), classes=len(names))
    mark_source(net, hashlib.sha256(identity.encode()).hexdigest())
    return Classifier(net, classes=names, differentiable=False, name=name).eval()


def _are_probabilities(scores: np.ndarray) -> bool:
    return bool(scores.min() >= 0 and np.abs(scores.astype(np.float64).sum(1) - 1).max() < 1e-4)


def _code(function: Callable[..., Any]) -> str:
    """Source of a function, of a method or of the class of a callable object; else its name."""
    shown: Any = function if inspect.isroutine(function) else type(function)
    try:
        return f"{shown.__qualname__}\0{inspect.getsource(shown)}"
    except (OSError, TypeError):  # of C, or typed into a prompt
        return f"{shown.__module__}.{shown.__qualname__}"
