"""Tensors with the ids of their rows, as one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from safetensors import SafetensorError
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
        held = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        return save(held, metadata={"ids": json.dumps(list(self.ids))})

    @classmethod
    def of(cls, data: bytes, where: str) -> TensorFile:
        """Read a file.

        Args:
            data: its content.
            where: what messages call it.

        Raises:
            RunError: it is damaged.
        """
        try:
            tensors = load(data)
            size = int.from_bytes(data[:8], "little")
            ids = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["ids"])
            if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
                raise ValueError("its ids are no list of texts")
        except (SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise RunError(f"{where} is damaged ({' '.join(str(error).split())[:200]}); delete it") from None
        return cls(tensors, ids)
