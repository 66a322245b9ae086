"""TrAct: a first layer that learns as if its pre-activations were trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field, PositiveFloat, PrivateAttr
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Recipe, Setup, Step

__all__ = ["TrAct", "first_layer", "tract", "tract_gradient"]

Form = Literal["auto", "primal", "dual"]
PIECE = 2**23
"""Numbers of an unfolded input that are held at once when only their second moment is wanted."""


def tract_gradient(gradient: Tensor, rows: Tensor, ridge: float, *, form: Form = "auto") -> Tensor:
    """`GradW (C + lambda I)^-1` with `C = X^T X / b`: the ridge fit of a weight change to a step on pre-activations.

    `dual` is the same by Woodbury's identity, `GradW (I - X^T (X X^T + lambda b I)^-1 X) / lambda`, for b < n.

    Args:
        gradient: GradW = G^T X, `[M, n]`.
        rows: X `[b, n]`, what the layer saw.
        ridge: lambda; above 0 in the dual form.
        form: `primal` inverts an n x n matrix, `dual` a b x b one, `auto` the smaller of the two.

    Returns:
        `[M, n]`.

    Raises:
        ParameterError: the form is unknown, or the matrix cannot be inverted with this lambda.

    >>> x = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]])
    >>> [[round(v, 4) for v in row] for row in tract_gradient(torch.tensor([[1.0, 3.0], [3.0, -2.0]]), x, 0.1).tolist()]
    [[0.4367, 1.4979], [0.7936, -0.8264]]
    """
    b, n = rows.shape
    if form not in get_args(Form):
        raise ParameterError(f"form {form!r} is not one of {', '.join(get_args(Form))}")
    if form == "primal" or (form == "auto" and b >= n):
        return whitened(gradient, rows.mT @ rows / b, ridge)
    if ridge <= 0:
        raise ParameterError(f"tract: lambda={ridge:g} must be above 0 in the dual form")
    kernel = rows @ rows.mT
    return (gradient - _solved(kernel, ridge * b, rows @ gradient.mT).mT @ rows) / ridge


def whitened(gradient: Tensor, moment: Tensor, ridge: float) -> Tensor:
    """`GradW (C + lambda I)^-1`.

    Args:
        gradient: `[M, n]`.
        moment: C `[n, n]`.
        ridge: lambda.

    Raises:
        ParameterError: the matrix cannot be inverted with this lambda.
    """
    return _solved(moment, ridge, gradient.mT).mT


def _solved(matrix: Tensor, ridge: float, right: Tensor) -> Tensor:
    """`(A + ridge I)^-1 B` by Cholesky, A being symmetric and not negative."""
    factor, failed = torch.linalg.cholesky_ex(matrix + ridge * torch.eye(len(matrix)).to(matrix))
    if bool(failed):
        raise ParameterError(f"tract: the input's second moment has no inverse with lambda={ridge:g}: raise lambda")
    return torch.cholesky_solve(right, factor)


def patches(layer: nn.Conv2d | nn.Linear, inputs: Tensor) -> Tensor:
    """The rows that a layer multiplies its weights with: one for each place of the input.

    Args:
        layer: of one group.
        inputs: `[N, C, H, W]`, or `[..., n]` for a linear layer.

    Returns:
        X `[b, n]`: the places of an image, row by row, one image after the other.
    """
    if isinstance(layer, nn.Linear):
        return inputs.reshape(-1, inputs.shape[-1])
    x = _padded(layer, inputs.transpose(0, 1)).contiguous()  # channels first: rows of the result lie in one piece
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.stride, layer.dilation
    high, wide = (
        (side - d * (k - 1) - 1) // s + 1
        for side, k, s, d in zip(x.shape[2:], (kh, kw), (sh, sw), (dh, dw), strict=True)
    )
    c, n, h, w = x.stride()
    every = x.as_strided((len(x), kh, kw, x.shape[1], high, wide), (c, dh * h, dw * w, n, sh * h, sw * w))
    return every.reshape(len(x) * kh * kw, -1).mT


def _padded(layer: nn.Conv2d, images: Tensor) -> Tensor:
    if layer.padding_mode != "zeros":
        return F.pad(images, layer._reversed_padding_repeated_twice, mode=layer.padding_mode)
    if isinstance(layer.padding, str):
        return F.pad(images, layer._reversed_padding_repeated_twice) if layer.padding == "same" else images
    rows, columns = layer.padding
    return F.pad(images, (columns, columns, rows, rows))


def check_layer(layer: nn.Module, name: str) -> nn.Conv2d | nn.Linear:
    """The layer, if its weight gradient can be turned.

    Raises:
        ModelError: it is no plain convolution or linear layer of one group with weights that learn.
    """
    plain = (nn.Conv2d, nn.Linear)
    if not isinstance(layer, plain) or type(layer).forward not in (nn.Conv2d.forward, nn.Linear.forward):
        raise ModelError(f"tract: layer {name!r} is a {type(layer).__name__}; it must be a plain Conv2d or Linear")
    weight = layer._parameters.get("weight")
    if weight is None or not weight.requires_grad:
        why = "is reparametrised" if weight is None else "does not learn"
        raise ModelError(f"tract: the weight of layer {name!r} {why}: choose another layer")
    if isinstance(layer, nn.Conv2d) and layer.groups != 1:
        raise ModelError(f"tract: layer {name!r} has {layer.groups} groups; only one group is supported")
    return layer


class PreconditionedLayer:
    """The hooks of one layer.

    Args:
        layer: see `check_layer`.
        name: for messages.
        ridge: lambda.
        form: see `tract_gradient`.
        average: makes tensors the mean over all processes, in place; None for one process.
    """

    def __init__(
        self,
        layer: nn.Conv2d | nn.Linear,
        name: str,
        ridge: float,
        form: Form,
        average: Callable[[list[Tensor]], None] | None,
    ) -> None:
        self.layer, self.name, self.ridge, self.form, self.average = layer, name, ridge, form, average
        self.inputs: list[Tensor] = []
        self.gradients = 0

    def record(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Record the input of the layer, before a forward pass with a graph."""
        if torch.is_grad_enabled():
            self.inputs.append(inputs[0].detach())

    def watch(self, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """After a forward pass: let a backward pass that keeps a graph be refused."""
        if output.requires_grad:
            output.register_hook(self.refuse_graph)  # type: ignore[no-untyped-call]

    def refuse_graph(self, _: Tensor) -> None:
        """In a backward pass through the layer.

        Raises:
            ModelError: it keeps a graph for a second derivative.
        """
        if torch.is_grad_enabled():
            raise ModelError(
                f"tract: layer {self.name!r} has no second derivative (create_graph): leave the gradient penalty out"
            )

    def turn(self, gradient: Tensor) -> Tensor:
        """The layer's whole weight gradient of one backward pass, over all that it was shown for it.

        Raises:
            ModelError: the layer itself was not run.
        """
        self.refuse_graph(gradient)
        if not self.inputs:
            raise ModelError(f"tract: the weight of layer {self.name!r} is used without running it: name another")
        flat = gradient.reshape(len(gradient), -1)
        wide = torch.promote_types(torch.float32, flat.dtype)
        with torch.autocast(flat.device.type, enabled=False):
            turned = self._turned(flat.to(wide), [x.to(wide) for x in self.inputs])
        self.inputs, self.gradients = [], self.gradients + 1
        return torch.empty_like(gradient).copy_(turned.reshape(gradient.shape))  # in the layout of the weight

    def _turned(self, gradient: Tensor, inputs: list[Tensor]) -> Tensor:
        n = gradient.shape[1]
        rows = sum(places(self.layer, x) for x in inputs)
        if self.form == "dual" or (self.form == "auto" and rows < n):
            joined = torch.cat([patches(self.layer, x) for x in inputs])
            return tract_gradient(gradient, joined, self.ridge, form="dual")
        moment = gradient.new_zeros(n, n)
        for x in inputs:
            for part in torch.split(x, max(1, PIECE * len(x) // (n * places(self.layer, x)))):
                shown = patches(self.layer, part)
                moment.addmm_(shown.mT, shown)
        moment /= rows
        if self.average is not None:
            self.average([moment])
        return whitened(gradient, moment, self.ridge)


def places(layer: nn.Conv2d | nn.Linear, inputs: Tensor) -> int:
    """Number of rows of `patches`."""
    if isinstance(layer, nn.Linear):
        return inputs.numel() // inputs.shape[-1]
    return len(inputs) * len(patches(layer, inputs[:1]))


@contextmanager
def tract(
    layer: nn.Module,
    *,
    ridge: float = 0.1,
    form: Form = "auto",
    name: str = "",
    average: Callable[[list[Tensor]], None] | None = None,
) -> Iterator[PreconditionedLayer]:
    """While open, a backward pass gives a layer's weight the TrAct gradient; all else is as before.

    The layer itself runs, so that outputs, input gradients and the gradient of the bias are the same to the bit. Run
    forward and backward inside, one backward pass for each optimizer step: gradients added up over several passes are
    turned each by its own second moment.

    Args:
        layer: a plain `Conv2d` of one group, or a `Linear`, whose input is the image, normalised.
        ridge: lambda, above 0; 0.1 is meant for inputs of mean 0 and deviation 1.
        form: see `tract_gradient`.
        name: of the layer, for messages.
        average: makes tensors the mean over all processes, in place: then the second moment is that of all of them. In
            the dual form each process has its own.

    Raises:
        ModelError: the layer cannot be turned, or a second derivative is asked for.
        ParameterError: lambda is not above 0, or too small to invert with.
    """
    if not ridge > 0:
        raise ParameterError(f"tract: lambda={ridge:g} must be above 0")
    checked = check_layer(layer, name or type(layer).__name__)
    turned = PreconditionedLayer(checked, name or type(layer).__name__, ridge, form, average)
    with (
        checked.register_forward_pre_hook(turned.record),
        checked.register_forward_hook(turned.watch),
        checked.weight.register_hook(turned.turn),  # type: ignore[no-untyped-call]
    ):
        yield turned


@register("tract", reference="Petersen et al. 2024, arXiv:2410.23970")
class TrAct(Recipe):
    """TrAct: preconditions the first layer's gradient so that its activations learn faster, `GradW (C + lambda I)^-1`.

    The plain gradient is proportional to pixel values, so that bright images and images of much contrast dominate. This
    one is the ridge least-squares fit to a gradient step on the pre-activations: `dW = argmin_D sum_i |-eta b g_i -
    D x_i|^2 + lambda b |D|^2`. Network, outputs, optimizer, input gradients and all other gradients are unchanged.

    It speeds early training up and weighs weak, high-frequency directions of the input up to 1/lambda times more, at a
    cost in robustness to noise: measure it. The input must be normalised; with pixels in [0, 1] there is no gain.
    """

    model_config = ConfigDict(populate_by_name=True)
    takes: ClassVar[frozenset[str]] = frozenset({"layer"})
    refuses: ClassVar[Mapping[str, str]] = {
        "weights": "moved weights would follow the turned gradient; leave one of the two out"
    }

    layer: str = Field(
        default="auto", description="name of a Conv2d or Linear in the network; auto: the first one that runs"
    )
    ridge: PositiveFloat = Field(
        default=0.1, alias="lambda", description="lambda, for inputs of mean 0 and deviation 1"
    )
    form: Form = Field(
        default="auto", description="primal inverts n x n, dual b x b, n inputs and b rows; auto: the smaller"
    )
    _place: str = PrivateAttr(default="")

    @override
    def begin(self, setup: Setup) -> None:
        self._place = self.found(setup.model, setup.images)

    def found(self, model: Classifier, images: Tensor) -> str:
        """The layer's name in `model.net`; the network is run on a few images.

        Args:
            model: any mode.
            images: `[N, C, H, W]` in [0, 1].

        Raises:
            ModelError: see `begin`.
        """
        layers = dict(model.net.named_modules())
        if self.layer != "auto":
            if self.layer not in layers:
                near = did_you_mean(self.layer, [n for n, m in layers.items() if isinstance(m, nn.Conv2d | nn.Linear)])
                raise ModelError(f"tract: the network has no layer {self.layer!r}; {near}")
            check_layer(layers[self.layer], self.layer)
            return self.layer
        name, learned = first_layer(model, images)
        check_layer(layers[name], name)
        if learned:
            raise ModelError(
                f"tract: before {name!r}, the first Conv2d or Linear, something learns: its input is no image; "
                "name the layer to turn it all the same"
            )
        return name

    @contextmanager
    @override
    def around(self, step: Step, loss: Callable[[], Tensor]) -> Iterator[None]:
        name = self._place
        layer = step.classifier.net.get_submodule(name)
        with tract(layer, ridge=self.ridge, form=self.form, name=name, average=step.average) as turned:
            yield
        if not turned.gradients:
            raise ModelError(f"tract: no gradient reached layer {name!r}: name one that the loss depends on")


def first_layer(model: Classifier, images: Tensor) -> tuple[str, bool]:
    """The first convolution or linear layer that runs, and whether what it is shown depends on weights that learn.

    Args:
        model: left in the mode it is in.
        images: `[N, C, H, W]` in [0, 1].

    Raises:
        ModelError: there is none.
    """
    met: list[tuple[str, bool]] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _module, inputs: met.append((name, bool(inputs[0].requires_grad)))

    layers = [(n, m) for n, m in model.net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    modes = [(m, m.training) for m in model.modules()]
    try:  # not `evaluating`: which weights learn decides
        with torch.enable_grad(), ExitStack() as hooks:
            for name, layer in layers:
                hooks.enter_context(layer.register_forward_pre_hook(note(name)))
            model.eval()(images.detach())
    finally:
        for module, mode in modes:
            module.training = mode
    if not met:
        raise ModelError("tract: the network runs no Conv2d or Linear: there is no layer to turn")
    return met[0]
