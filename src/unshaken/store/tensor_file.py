"""Tensors with the ids of their rows, as one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from unshaken.core.errors import RunError


@dataclass(frozen=True, slots=True, eq=False)
class TensorFile:
    """The content of a file of tensors.

    Args:
        tensors: by name.
        ids: of the samples, in the order of the tensors' rows; empty where the rows are no samples.
    """

    tensors: Mapping[str, Tensor]
    ids: Sequence[str] = field(default=())

    def to_bytes(self) -> bytes:
        """The file's content."""
        return save(self._on_cpu(), self._metadata())

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The file's content piece by piece; tensors of float32 are not copied where they are on the CPU."""
        held = self._on_cpu()
        if any(tensor.dtype != torch.float32 for tensor in held.values()):
            yield self.to_bytes()
            return
        header: dict[str, Any] = {"__metadata__": self._metadata()}
        end = 0
        for name in sorted(held):
            begin, end = end, end + held[name].nbytes
            header[name] = {"dtype": "F32", "shape": list(held[name].shape), "data_offsets": [begin, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        yield len(text).to_bytes(8, "little") + text
        for name in sorted(held):
            yield held[name].numpy().reshape(-1).data

    def _on_cpu(self) -> dict[str, Tensor]:
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}

    def _metadata(self) -> dict[str, str]:
        return {"ids": json.dumps(list(self.ids))}

    @classmethod
    def of(cls, data: bytes, where: str) -> TensorFile:
        """Read a file.

        Args:
            data: its content.
            where: what messages call it.

        Raises:
            RunError: it is damaged.
        """
        with _explained(where):
            tensors, size = load(data), int.from_bytes(data[:8], "little")
            return cls(tensors, _ids(json.loads(data[8 : 8 + size])["__metadata__"]))

    @classmethod
    def map(cls, path: str, where: str) -> TensorFile:
        """Map a local file into memory: what is not looked at is not read.

        Args:
            path: of a regular file, which nobody changes in place.
            where: what messages call it.

        Raises:
            RunError: it is damaged.
        """
        with _explained(where), safe_open(path, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (it is no mapping)
            return cls(tensors, _ids(opened.metadata() or {}))


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn an error of reading into a `RunError` that names the file."""
    try:
        yield
    except (SafetensorError, ValueError, LookupError, TypeError, RecursionError, OSError) as error:
        raise RunError(f"{where} is damaged ({' '.join(str(error).split())[:200]}); delete it") from None


def _ids(metadata: Mapping[str, str]) -> list[str]:
    ids = json.loads(metadata["ids"])
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        raise ValueError("its ids are no list of texts")
    return ids
