"""Weight surgery on files of weights: `extract`, `ablate`, `add` and `subtract`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import safetensors
from safetensors.torch import save
from torch import nn

from unshaken.core.consent import is_code
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.engine.layers import Body, body_of
from unshaken.harden.surgery._ablation import read_ablation
from unshaken.harden.surgery._arithmetic import Projection, Weights, coefficients
from unshaken.harden.surgery._checksum import checksum
from unshaken.harden.surgery._norms import NormPolicy
from unshaken.harden.surgery._quantise import Quantiser
from unshaken.harden.surgery._signature import Signature, patch
from unshaken.harden.surgery._signature_files import SizeReport, load_signature, save_signature, size_report
from unshaken.models.loaders.from_run import read_record
from unshaken.models.loaders.weights import read_weights
from unshaken.models.networks.architectures import build, build_for
from unshaken.store.run_dir import RunDir

DESCENT = "descent"
"""Metadata of files that `add` writes: checksums of the weights that they descend from, with spaces between."""


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


def ablate(base: Path | str, units: Sequence[str], out: Path | str, *, arch: str | None = None) -> int:
    """Write the signature that takes units out of weights: `add` applies it with alpha 1, `subtract` takes it off.

    Args:
        base: weights, or a run directory of `unshaken harden`.
        units: texts `LAYER:UNIT`, such as `body.2:17`.
        out: the signature, a safetensors file.
        arch: architecture of the weights; None to read it beside a run's weights.

    Returns:
        The number of units.

    Raises:
        ModelError: the file is absent or damaged, or a unit cannot be taken out by weights.
        ParameterError: a unit is no `LAYER:UNIT`, or the architecture is not known.
    """
    file = _file(base)
    weights = read_weights(file)
    save_signature(read_ablation(file, _net(arch, [file], weights), weights, units), out)
    return len(units)


def _file(path: Path | str) -> Path:
    """The weights in a run directory, or the file itself."""
    path = Path(path)
    return path / "model.safetensors" if path.is_dir() else path


def _body(arch: str | None, files: Sequence[Path], weights: Weights) -> Body:
    """Layers and classifier by the architecture that is named, or recorded beside one of the files."""
    return body_of(_net(arch, files, weights))


def _net(arch: str | None, files: Sequence[Path], weights: Weights) -> nn.Module:
    """A net of the architecture that is named, or recorded beside one of the files."""
    if arch is not None:
        return build_for(arch, weights)[0]
    recorded = next((path.parent for path in files if (path.parent / "model.json").is_file()), None)
    if recorded is None:
        raise ParameterError(
            "files of weights do not record the order of layers: give the architecture (arch, as in "
            "'torchvision:resnet50')"
        )
    record = read_record(recorded)
    if is_code(record.arch):
        raise ModelError(f"{recorded}: the network is your own ({record.arch}): use Signature.extract in Python")
    return build(record.arch, **record.shape.model_dump()) if record.shape else build_for(record.arch, weights)[0]


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
