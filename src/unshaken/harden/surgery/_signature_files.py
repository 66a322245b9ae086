"""Signatures as safetensors files: codes in few bits, places of the entries that are 0, and where it comes from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from unshaken.core.errors import ModelError
from unshaken.harden.surgery._arithmetic import Weights
from unshaken.harden.surgery._checksum import COUNTLESS
from unshaken.harden.surgery._quantise import dequantise, pack, quantise, unpack
from unshaken.harden.surgery._signature import Signature, SignatureMeta
from unshaken.models.loaders.weights import first_line
from unshaken.store.run_dir import RunDir

FORMAT = "unshaken-signature-1"


@dataclass(frozen=True, slots=True)
class SizeReport:
    """What a signature saves.

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
    """Read what `save_signature` wrote.

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
