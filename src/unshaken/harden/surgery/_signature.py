"""`Signature`: a robustness patch: what weights learned on changed images that they did not learn on clean ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from unshaken.core.device import widen
from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.core.numbers import parse_whole, shorten
from unshaken.harden.surgery._arithmetic import (
    NormPolicy,
    Projection,
    Quantiser,
    Weights,
    added,
    architecture,
    check_levels,
    checksum,
    differences,
    norm_keys,
    quantised,
    same_body,
)


class SignatureMeta(BaseModel):
    """Where a signature comes from.

    Args:
        architecture: hash of the body's names and shapes.
        pretrained: checksum of the weights that both fine-tunings started from, the classifier aside.
        standard: checksum of the weights fine-tuned on clean images, the classifier aside.
        classifier: keys of the classifier, which is never patched.
        layers: keys of each layer that is patched, from the input on.
        corruption: what the robust weights learned from, in words.
        projection: as in `extract`.
        quantiser: None for full precision.
        levels: of the quantiser.
        kept: share of the entries that are not 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str
    pretrained: str
    standard: str
    classifier: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...]
    corruption: str = ""
    projection: Projection = "tensor"
    quantiser: Quantiser | None = None
    levels: int = 0
    kept: float = 1.0


@dataclass(frozen=True, slots=True)
class Signature:
    """Differences to add to weights of the same descent.

    Args:
        tensors: key to difference, float32, in the order of the layers.
        meta: where it comes from.
        norms: key to value of the robust weights' batch norms, at all depths.
    """

    tensors: dict[str, Tensor]
    meta: SignatureMeta
    norms: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def extract(
        cls,
        pretrained: Weights,
        standard: Weights,
        robust: Weights,
        *,
        layers: Sequence[Sequence[str]],
        classifier: Sequence[str],
        first: int | None = None,
        projection: Projection = "tensor",
        corruption: str = "",
    ) -> Signature:
        """Take the signature of three state dicts of one architecture.

        With `a = standard - pretrained` and `d = robust - pretrained`, each tensor is `d - (<d, a> / <a, a>) a`
        (Cai et al. 2023). Batch norms are not added to but kept whole, see `apply`.

        Args:
            pretrained: what both fine-tunings started from.
            standard: fine-tuned on clean images.
            robust: fine-tuned on changed images, in the same way.
            layers: parameter keys of each layer of the body in order, as from `body_of`.
            classifier: keys of the classifier; its shape may differ, and it is ignored.
            first: number of layers to patch from the input on; None for all.
            projection: `tensor` for each tensor by itself, `whole` for one vector of all, `none` for the plain
                difference `robust - standard`.
            corruption: what the robust weights learned from.

        Raises:
            ModelError: the weights do not fit each other, or a key is absent.
            ParameterError: there are fewer layers.
        """
        same_body({"pretrained": pretrained, "standard": standard, "robust": robust}, classifier)
        chosen = _first(layers, first)
        norms = norm_keys(robust)
        keys = [k for layer in chosen for k in layer if k not in norms]
        if absent := [k for k in keys if k not in robust]:
            raise ModelError(f"the weights have no key {absent[0]!r}: the layers are those of another architecture")
        meta = SignatureMeta(
            architecture=architecture(robust, classifier),
            pretrained=checksum(pretrained, classifier),
            standard=checksum(standard, classifier),
            classifier=tuple(classifier),
            layers=chosen,
            corruption=corruption,
            projection=projection,
        )
        kept = {k: robust[k].float().clone() for k in sorted(norms)}
        return cls(differences(pretrained, standard, robust, keys, projection), meta, kept)

    def apply(
        self, base: Weights, alpha: float = 1.0, *, norms: NormPolicy = "none", descent: Iterable[str] = (),
        unchecked: bool = False,
    ) -> dict[str, Tensor]:  # fmt: skip
        """`base + alpha signature`, a new state dict; see `patch` for several signatures and the options."""
        return patch(base, [self], [alpha], norms=norms, descent=descent, unchecked=unchecked)

    def remove(self, patched: Weights, alpha: float = 1.0) -> dict[str, Tensor]:
        """`patched - alpha signature`; equal to the base within one rounding of the larger of the two.

        Batch norms are left as they are: for a base bit for bit, keep the base.
        """
        return added(patched, self.tensors, -alpha)

    def scaled(self, factor: float) -> Signature:
        """The same, times a number."""
        return replace(self, tensors={k: factor * v for k, v in self.tensors.items()})

    def first(self, layers: int) -> Signature:
        """The part for the first `layers` of its layers.

        Raises:
            ParameterError: it has fewer.
        """
        chosen = _first(self.meta.layers, layers)
        keys = {k for layer in chosen for k in layer}
        meta = self.meta.model_copy(update={"layers": chosen})
        return replace(self, tensors={k: v for k, v in self.tensors.items() if k in keys}, meta=meta)

    def quantised(self, levels: int, quantiser: Quantiser = "linear") -> Signature:
        """Each tensor on `levels` levels; see `unshaken.harden.surgery.surgery.quantised`."""
        check_levels(levels, quantiser)
        meta = self.meta.model_copy(update={"quantiser": quantiser, "levels": levels})
        tensors = {}
        for key, value in self.tensors.items():
            there = value != 0 if self.meta.kept < 1 else torch.ones_like(value, dtype=torch.bool)
            tensors[key] = torch.zeros_like(value).masked_scatter(there, quantised(value[there], levels, quantiser))
        return replace(self, tensors=tensors, meta=meta)

    def sparse(self, share: float) -> Signature:
        """Only the largest entries, over all tensors; the others become 0. Do this before quantising.

        Args:
            share: of the entries that stay, in (0, 1].

        Raises:
            ParameterError: share is not in (0, 1].
        """
        if not 0 < share <= 1:
            raise ParameterError(f"share={share} of the entries to keep is not in (0, 1]")
        sizes = torch.cat([v.flatten().abs() for v in self.tensors.values()])
        least = sizes.topk(max(1, round(share * len(sizes)))).values[-1]
        tensors = {k: torch.where(v.abs() >= least, v, 0.0) for k, v in self.tensors.items()}
        return replace(self, tensors=tensors, meta=self.meta.model_copy(update={"kept": share}))

    def cosine(self, other: Signature) -> float:
        """The cosine to another signature, over the tensors that both have.

        Raises:
            ModelError: they have none in common.
        """
        keys = [k for k in self.tensors if k in other.tensors]
        if not keys:
            raise ModelError("the two signatures have no tensor in common")
        one, two = (widen(torch.cat([s.tensors[k].flatten() for k in keys])) for s in (self, other))
        return float((one * two).sum() / (one.norm() * two.norm()).clamp(min=1e-300))


def patch(
    base: Weights,
    signatures: Sequence[Signature],
    alphas: Sequence[float],
    *,
    norms: NormPolicy = "none",
    descent: Iterable[str] = (),
    unchecked: bool = False,
) -> dict[str, Tensor]:
    """`base + sum alpha signature`: a new state dict; what no signature touches, the classifier too, is the base's.

    Args:
        base: the weights that all signatures' standard weights are, or others of the same descent.
        signatures: of one architecture.
        alphas: a factor each; see `coefficients`.
        norms: batch norms of the result; see `NormPolicy`.
        descent: checksums of weights that the base was fine-tuned from.
        unchecked: add to weights of unknown descent, which makes no sense of a signature from other pretrained weights.

    Raises:
        ModelError: architectures differ, or the base does not descend from the signatures' pretrained weights.
        ParameterError: not one alpha a signature.
    """
    if len(signatures) != len(alphas) or not signatures:
        raise ParameterError(
            f"{len(signatures)} signatures came with {len(alphas)} alphas: give one each, and at least one"
        )
    known = set(descent)
    for signature in signatures:
        if not unchecked:
            _refuse_stranger(base, signature.meta, known)
    found = dict(base)
    for signature, alpha in zip(signatures, alphas, strict=True):
        found = added(found, signature.tensors, alpha)
    if norms == "none":
        return found
    sources = [signatures[-1]] if norms == "copy" else list(signatures)
    for key in signatures[-1].norms:
        found[key] = torch.stack([s.norms[key] for s in sources]).mean(0).to(base[key])
    return found


def _first(layers: Sequence[Sequence[str]], first: int | None) -> tuple[tuple[str, ...], ...]:
    if first is not None and not 1 <= first <= len(layers):
        raise ParameterError(f"layers={first}: there are {len(layers)} layers beside the classifier")
    return tuple(tuple(layer) for layer in layers[:first])


def _refuse_stranger(base: Weights, meta: SignatureMeta, descent: set[str]) -> None:
    if architecture(base, meta.classifier) != meta.architecture:
        raise ModelError("the weights are not of the signature's architecture (names or shapes of its body differ)")
    own = checksum(base, meta.classifier)
    known = {own, *descent}
    if not known & {meta.pretrained, meta.standard}:
        raise ModelError(
            f"the weights (checksum {own}) are neither those that the signature was taken beside ({meta.standard}) nor "
            f"known to descend from its pretrained weights ({meta.pretrained}): name these as what they were tuned "
            "from, or add unchecked"
        )


def matched_noise(signature: Signature, seed: int) -> Signature:
    """The control of every patch: normal tensors, each of the norm that the signature's has.

    Args:
        signature: what it stands in for.
        seed: of the draws.
    """
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for key, value in signature.tensors.items():
        noise = torch.randn(value.shape, generator=draw)
        found[key] = noise * (value.norm() / noise.norm().clamp(min=1e-30))
    return replace(signature, tensors=found)


ZERO_STAYS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardtanh, nn.Tanh, nn.Identity, nn.Dropout, nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
)  # fmt: skip
"""Layers that give 0 where they are given 0, channel by channel."""
AFFINE = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm)
"""Layers whose output channel is 0 where its weights and its bias are."""


def ablation(net: nn.Module, units: Mapping[str, Sequence[int]]) -> Signature:
    """A signature that, added to the weights of `net`, makes some units 0 for every image.

    The output of a layer is 0 in a channel if the convolution, linear layer or batch norm that makes it has no weight
    and no bias there, and only activations follow.

    Args:
        net: with the weights.
        units: layer to the numbers of its channels.

    Raises:
        ModelError: there is no such layer or unit, or the layer's output is made by something else, such as a sum.
        ParameterError: no unit is named.
    """
    weights = net.state_dict()
    tensors: dict[str, Tensor] = {}
    for layer, numbers in units.items():
        path = _maker(net, layer)
        module = net.get_submodule(path)
        for name in ("weight", "bias"):
            key, own = f"{path}.{name}", getattr(module, name)
            if own is None:
                continue
            if outside := [n for n in numbers if not 0 <= n < len(own)]:
                raise ModelError(f"layer {layer!r} has the units 0 to {len(own) - 1}, not {outside[0]}")
            tensors.setdefault(key, torch.zeros_like(own.detach()))
            tensors[key][list(numbers)] = -own.detach()[list(numbers)]
    if not any(units.values()):
        raise ParameterError("no unit is named: write LAYER:UNIT, as in body.2:17")
    named = ", ".join(f"{layer}:{n}" for layer, numbers in units.items() for n in numbers)
    own_checksum = checksum(weights)
    meta = SignatureMeta(
        architecture=architecture(weights), pretrained=own_checksum, standard=own_checksum, classifier=(),
        layers=(tuple(tensors),), corruption=f"without the units {named}", projection="none",
    )  # fmt: skip
    return Signature(tensors, meta)


def parse_units(texts: Iterable[str]) -> dict[str, list[int]]:
    """The units of each layer, of texts `LAYER:UNIT`.

    Raises:
        ParameterError: a text is of another form.

    >>> parse_units(["body.0:3", "body.0:1", "head:0"])
    {'body.0': [3, 1], 'head': [0]}
    """
    found: dict[str, list[int]] = {}
    for text in texts:
        layer, colon, unit = text.rpartition(":")
        if not colon or not layer:
            raise ParameterError(f"{shorten(text)} is no unit: write LAYER:UNIT, as in body.2:17")
        found.setdefault(layer, []).append(parse_whole(unit, least=0))
    return found


def _maker(net: nn.Module, layer: str) -> str:
    """The path of the layer whose weights make the output of `layer`."""
    modules = dict(net.named_modules())
    if layer not in modules:
        raise ModelError(f"the network has no layer {layer!r}; {did_you_mean(layer, modules)}")
    path = layer
    while not isinstance(modules[path], AFFINE) or getattr(modules[path], "weight", None) is None:
        module = modules[path]
        parent, _, name = path.rpartition(".")
        if isinstance(module, nn.Sequential) and len(module):
            path = f"{path}.{[child for child, _ in module.named_children()][-1]}"
        elif isinstance(module, ZERO_STAYS) and (before := _before(modules[parent], name)):
            path = f"{parent}.{before}" if parent else before
        else:
            raise ModelError(
                f"the output of layer {layer!r} is made by {path!r} ({type(module).__name__}), whose units no weights "
                "turn off: name the convolution, linear layer or batch norm before it, or ablate units by a hook"
            )
    return path


def _before(parent: nn.Module, name: str) -> str:
    """The name of the layer before one in a sequence; empty where there is none."""
    names = [child for child, _ in parent.named_children()] if isinstance(parent, nn.Sequential) else [name]
    place = names.index(name)
    return names[place - 1] if place else ""
