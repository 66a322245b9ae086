"""Weight surgery on files of weights: `extract`, `ablate`, `add` and `subtract`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from unshaken.core.consent import is_code
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.engine.layers import body_of
from unshaken.harden.surgery._arithmetic import (
    COUNTLESS,
    NormPolicy,
    Projection,
    Quantiser,
    Weights,
    checksum,
    coefficients,
    dequantise,
    pack,
    quantise,
    unpack,
)
from unshaken.harden.surgery._signature import Signature, SignatureMeta, ablation, parse_units, patch
from unshaken.models.loaders.from_run import read_record
from unshaken.models.loaders.weights import first_line, read_weights
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
        layers: number of layers to patch from the input on; None for all but the classifier.
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
    body = body_of(_net(arch, files, theta_s))
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
    net = _net(arch, [file], weights)
    try:
        net.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise ModelError(f"{file} does not hold weights of this architecture ({first_line(error)})") from None
    save_signature(ablation(net, parse_units(units)), out)
    return len(units)


def _file(path: Path | str) -> Path:
    """The weights in a run directory, or the file itself."""
    path = Path(path)
    return path / "model.safetensors" if path.is_dir() else path


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


FORMAT = "unshaken-signature-1"


@dataclass(frozen=True, slots=True)
class SizeReport:
    """Sizes of a signature and of a full copy of the weights.

    Args:
        full: parameters of the whole network, the classifier too.
        patched: parameters of the signature.
        full_bytes: of a copy of all parameters in float32.
        bytes: of the signature's entries as they are stored, batch norms too.
    """

    full: int
    patched: int
    full_bytes: int
    bytes: int

    @property
    def ratio(self) -> float:
        """A full copy over the signature, before quantisation."""
        return self.full / self.patched

    @property
    def stored_ratio(self) -> float:
        """A full copy over the signature, as stored."""
        return self.full_bytes / self.bytes


def size_report(signature: Signature, weights: Weights) -> SizeReport:
    """Compare a signature with a copy of weights.

    Args:
        signature: as it would be stored.
        weights: a state dict of the whole network; running statistics do not count as parameters.
    """
    full = sum(v.numel() for k, v in weights.items() if not k.endswith(COUNTLESS))
    patched = sum(v.numel() for v in signature.tensors.values())
    stored = sum(v.numel() * v.element_size() for v in _parts(signature)[0].values())
    return SizeReport(full, patched, 4 * full, stored)


def save_signature(signature: Signature, path: Path | str) -> None:
    """Write a signature as one safetensors file, whole or not at all."""
    tensors, ranges = _parts(signature)
    metadata = {"format": FORMAT, "meta": signature.meta.model_dump_json(), "tensors": json.dumps(ranges)}
    path = Path(path)
    RunDir(path.parent).write(save(tensors, metadata), path.name)


def load_signature(path: Path | str) -> Signature:
    """Read a signature that `save_signature` wrote.

    Raises:
        ModelError: the file is absent, damaged, or no signature.
    """
    if not Path(path).is_file():
        raise ModelError(f"no signature file {str(path)!r}: make one with 'unshaken harden surgery extract'")
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            stored = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        if metadata.get("format") != FORMAT:
            raise ModelError(f"{path} is not a robustness signature (weights of a model?)")
        meta = SignatureMeta.model_validate_json(metadata["meta"])
        ranges = json.loads(metadata["tensors"])
        tensors = {key: _restored(key, record, stored, meta) for key, record in ranges.items()}
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise ModelError(f"{path} is a damaged signature ({first_line(error)})") from None
    norms = {k.removeprefix("norm:"): v for k, v in stored.items() if k.startswith("norm:")}
    return Signature(tensors, meta, norms)


def _parts(signature: Signature) -> tuple[dict[str, Tensor], dict[str, dict[str, object]]]:
    """Stored tensors, and a record for each tensor of the signature, in its order."""
    meta = signature.meta
    stored = {f"norm:{k}": v.contiguous() for k, v in signature.norms.items()}
    ranges: dict[str, dict[str, object]] = {}
    for key, value in signature.tensors.items():
        record: dict[str, object] = {"shape": list(value.shape)}
        entries, there = value.detach().cpu().contiguous().flatten(), value.detach().cpu().flatten() != 0
        if _saves(entries, there, meta):
            stored[f"places:{key}"] = pack(there.long(), 2)
            entries = entries[there]
            record["kept"] = int(there.sum())
        if meta.quantiser is None:
            stored[f"values:{key}"] = entries.clone()
        else:
            codes, low, high = quantise(entries, meta.levels, meta.quantiser)
            stored[f"codes:{key}"] = pack(codes, meta.levels)
            record |= {"low": low, "high": high}
        ranges[key] = record
    return stored, ranges


def _saves(entries: Tensor, there: Tensor, meta: SignatureMeta) -> bool:
    """Whether zeros are to be kept as places: where that is smaller, or zeros have no code of their own."""
    zeros = int((~there).sum())
    if not zeros:
        return False
    if meta.quantiser is not None:
        return meta.kept < 1 or meta.quantiser == "log"
    return zeros * 32 > len(entries)


def _restored(key: str, record: dict[str, object], stored: Weights, meta: SignatureMeta) -> Tensor:
    shape = torch.Size(record["shape"])  # type: ignore[arg-type]
    total = shape.numel()
    kept = int(record.get("kept", total))  # type: ignore[call-overload]
    held = sum(8 * v.nbytes for k, v in stored.items() if k.partition(":")[2] == key)
    if total > max(held, 1) or not 0 <= kept <= total:  # a bit for each number is the least that is stored
        raise ValueError(f"{key}: its shape {tuple(shape)} is larger than what is stored")
    if meta.quantiser is None:
        entries = stored[f"values:{key}"]
    else:
        codes = unpack(stored[f"codes:{key}"], kept, meta.levels)
        entries = dequantise(codes, float(record["low"]), float(record["high"]), meta.levels, meta.quantiser)  # type: ignore[arg-type]
    if "kept" in record:
        there = unpack(stored[f"places:{key}"], total, 2).bool()
        entries = torch.zeros(total).masked_scatter(there, entries)
    return entries.view(shape)
