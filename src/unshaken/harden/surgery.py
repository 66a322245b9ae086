"""Weight surgery: robustness as a small file that is added to weights, and taken off again.

`Signature` is the patch, `patch` adds several, `choose` looks for how many layers and how much of it; `extract`, `add`
and `subtract` do the same with files.

Source: Cai et al. 2023, Robust Weight Signatures, arXiv:2302.12480; interpolation: Wortsman et al. 2022,
arXiv:2109.01903.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
from safetensors.torch import save
from torch import nn

from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden._checksum import checksum
from unshaken.harden._layers import ordered_layers
from unshaken.harden._norms import NormPolicy, norm_keys, re_estimate
from unshaken.harden._quantise import Quantiser, quantised
from unshaken.harden._signature import (
    Projection,
    Signature,
    SignatureMeta,
    Weights,
    coefficients,
    interpolate,
    matched_noise,
    orthogonal,
    patch,
    relative_change,
)
from unshaken.harden._signature_files import SizeReport, load_signature, save_signature, size_report
from unshaken.models.architectures import build, build_for
from unshaken.models.from_run import read_record
from unshaken.models.weights import read_weights
from unshaken.run.store import RunDir

__all__ = [
    "Body",
    "Choice",
    "NormPolicy",
    "Projection",
    "Quantiser",
    "Signature",
    "SignatureMeta",
    "SizeReport",
    "Trial",
    "add",
    "best_trial",
    "body_of",
    "checksum",
    "choose",
    "coefficients",
    "extract",
    "interpolate",
    "load_signature",
    "matched_noise",
    "norm_keys",
    "orthogonal",
    "patch",
    "quantised",
    "re_estimate",
    "relative_change",
    "save_signature",
    "size_report",
    "subtract",
]
DESCENT = "descent"
"""Metadata of files that `add` writes: checksums of the weights that they descend from, with spaces between."""


@dataclass(frozen=True, slots=True)
class Body:
    """A network's layers, told apart from its classifier.

    Args:
        layers: parameter keys of each layer, from the input on.
        classifier: keys of the last layer.
    """

    layers: tuple[tuple[str, ...], ...]
    classifier: tuple[str, ...]


def body_of(net: nn.Module) -> Body:
    """The layers of a network in the order in which it registers them, and its classifier, the last of them.

    A layer is a convolution or linear layer with its norm, or a whole block of residual networks and transformers.

    Raises:
        ModelError: there is no body apart from a classifier.
    """
    *body, last = ordered_layers(net)
    return Body(tuple(layer.keys for layer in body), last.keys)


@dataclass(frozen=True, slots=True)
class Trial:
    """One patch that was tried.

    Args:
        layers: patched, from the input on.
        alpha: how much of the signature.
        clean: accuracy on clean images, in [0, 1].
        robust: accuracy on changed images, in [0, 1].
    """

    layers: int
    alpha: float
    clean: float
    robust: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What came of a search.

    Args:
        best: the trial of highest `robust` among those that lose less clean accuracy than allowed; None if none is.
        trials: all.
        base: without a patch (no layers, alpha 0).
    """

    best: Trial | None
    trials: tuple[Trial, ...]
    base: Trial


def choose(
    base: Weights,
    signature: Signature,
    score: Callable[[Weights], tuple[float, float]],
    *,
    layers: Iterable[int],
    alphas: Iterable[float] = (0.25, 0.5, 0.75, 1.0),
    most_lost: float = 0.05,
    unchecked: bool = False,
) -> Choice:
    """Try how many layers and how much of a signature to add, on images held out for this.

    Args:
        base: weights to patch.
        signature: of as many layers as the largest to try.
        score: gives clean and robust accuracy of weights.
        layers: numbers of layers to try.
        alphas: factors to try.
        most_lost: clean accuracy that a patch must lose less of than this, in [0, 1].
        unchecked: as in `patch`.
    """
    before = Trial(0, 0.0, *score(base))
    trials = []
    for k in layers:
        part = signature.first(k)
        trials += [Trial(k, a, *score(part.apply(base, a, unchecked=unchecked))) for a in alphas]
    return Choice(best_trial(before, trials, most_lost), tuple(trials), before)


def best_trial(base: Trial, trials: Iterable[Trial], most_lost: float) -> Trial | None:
    """The trial of highest robust accuracy among those that lose less clean accuracy than allowed; None without any."""
    allowed = [t for t in trials if round(base.clean - t.clean, 9) < most_lost]
    return max(allowed, key=lambda t: t.robust, default=None)


def extract(
    pretrained: Path | str,
    standard: Path | str,
    robust: Path | str,
    out: Path | str,
    *,
    layers: int | None = None,
    arch: str | None = None,
    projection: Projection = "tensor",
    corruption: str = "",
    keep: float = 1.0,
    levels: int = 0,
    quantiser: Quantiser = "linear",
) -> SizeReport:
    """Take the signature of three files of weights, and write it.

    Args:
        pretrained: weights that both fine-tunings started from: a file, or a run directory of `unshaken harden`.
        standard: fine-tuned on clean images.
        robust: fine-tuned in the same way on changed images.
        out: the signature, a safetensors file.
        layers: patch only so many layers from the input on; None for all but the classifier.
        arch: architecture of the weights, as in `weights:FILE?arch=NAME`; None to read it beside a run's weights.
        projection: see `Signature.extract`.
        corruption: what the robust weights learned from, in words.
        keep: share of the entries to keep, the largest.
        levels: of the quantiser; 0 for full precision.
        quantiser: `linear`, `log` or `tanh`.

    Returns:
        What it saves.

    Raises:
        ModelError: files are absent, damaged, or not of one architecture.
        ParameterError: an option is not allowed.
    """
    files = [_file(path) for path in (pretrained, standard, robust)]
    theta_p, theta_s, theta_c = (read_weights(path) for path in files)
    body = _body(arch, files, theta_s)
    signature = Signature.extract(
        theta_p,
        theta_s,
        theta_c,
        layers=body.layers,
        classifier=body.classifier,
        first=layers,
        projection=projection,
        corruption=corruption,
    )
    signature = signature.sparse(keep) if keep != 1 else signature
    signature = signature.quantised(levels, quantiser) if levels else signature
    save_signature(signature, out)
    return size_report(signature, theta_s)


def add(
    base_file: Path | str,
    signature_file: Path | str | Sequence[Path | str],
    alpha: float,
    out: Path | str,
    *,
    pretrained: Path | str | None = None,
    norms: NormPolicy = "none",
    official_scaling: bool = False,
    unchecked: bool = False,
) -> None:
    """Add signatures to weights in a file, and write the result.

    Args:
        base_file: weights, or a run directory of `unshaken harden`.
        signature_file: one signature, or several that share `alpha`, see `coefficients`.
        alpha: how much; 1 for all of it.
        out: the patched weights, a safetensors file that records what it descends from.
        pretrained: weights that the base was fine-tuned from, where it is not what the signature was taken beside.
        norms: batch norms of the result: `none`, `copy` or `mean`.
        official_scaling: as in `coefficients`.
        unchecked: add to weights of unknown descent.

    Raises:
        ModelError: a file is absent or damaged, or the weights do not descend from the signature's pretrained ones.
    """
    if Path(out).exists() and Path(out).resolve() == _file(base_file).resolve():
        raise ParameterError(f"{str(out)!r} holds the base: write the patched weights to another file")
    several = [signature_file] if isinstance(signature_file, (str, Path)) else list(signature_file)
    signatures = [load_signature(path) for path in several]
    base, descent = read_weights(_file(base_file)), _descent(_file(base_file))
    classifier = signatures[0].meta.classifier if signatures else ()
    if pretrained is not None:
        descent |= {checksum(read_weights(_file(pretrained)), classifier)}
    factors = coefficients(alpha, len(signatures), official_scaling=official_scaling)
    found = patch(base, signatures, factors, norms=norms, descent=descent, unchecked=unchecked)
    _write(found, out, descent | {checksum(base, classifier)})


def subtract(base_file: Path | str, signature_file: Path | str, alpha: float, out: Path | str) -> None:
    """Take a signature off weights in a file, and write the result; each entry is back within one rounding.

    Args:
        base_file: weights that `add` wrote.
        signature_file: one signature.
        alpha: what it was added with.
        out: the weights without it, a safetensors file.

    Raises:
        ModelError: a file is absent or damaged, or the weights do not descend from the signature's pretrained ones.
    """
    signature, base = load_signature(signature_file), read_weights(_file(base_file))
    found = signature.apply(base, -alpha, descent=_descent(_file(base_file)))
    _write(found, out, _descent(_file(base_file)) | {checksum(base, signature.meta.classifier)})


def _file(path: Path | str) -> Path:
    """The weights in a run directory, or the file itself."""
    path = Path(path)
    return path / "model.safetensors" if path.is_dir() else path


def _body(arch: str | None, files: Sequence[Path], weights: Weights) -> Body:
    """Layers and classifier by the architecture that is named, or recorded beside one of the files."""
    if arch is not None:
        return body_of(build_for(arch, weights)[0])
    recorded = next((path.parent for path in files if (path.parent / "model.json").is_file()), None)
    if recorded is None:
        raise ParameterError(
            "the order of layers does not stand in files of weights: name the architecture (arch, as in "
            "'torchvision:resnet50')"
        )
    record = read_record(recorded)
    if record.arch.startswith("py:"):
        raise ModelError(f"{recorded}: the net is your own ({record.arch}): take Signature.extract in Python")
    return body_of(
        build(record.arch, **record.shape.model_dump()) if record.shape else build_for(record.arch, weights)[0]
    )


def _descent(path: Path) -> set[str]:
    """Checksums that a file of `add` bears; none for other files."""
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            return set((file.metadata() or {}).get(DESCENT, "").split())
    except safetensors.SafetensorError:
        return set()


def _write(weights: Weights, out: Path | str, descent: set[str]) -> None:
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}
    RunDir(Path(out).parent).write(save(tensors, {DESCENT: " ".join(sorted(descent))}), Path(out).name)
