"""Labelled sets of generated images, as one parquet file that says how each image was made."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from unshaken.store.run_dir import RunDir

PROVENANCE = b"unshaken.generated"
"""Key of the file's metadata: JSON of generator, seed, guidance, condition and filters."""
ROW_GROUP = 4096


def write_labelled_set(
    path: Path | str,
    images: Tensor,
    labels: Tensor,
    columns: Mapping[str, Sequence[Any]],
    provenance: Mapping[str, Any],
) -> None:
    """Write a labelled set, whole or not at all; the same arguments give the same bytes.

    Args:
        path: the parquet file.
        images: float `[N, C, H, W]` in [0, 1], C 1 or 3; stored as PNG of 8 bits.
        labels: int64 `[N]`.
        columns: further columns by name, such as `number` and `source`; `id` is made of `number` where there is one.
        provenance: JSON values that say how the set was made; without times, so that it can be made again.

    Raises:
        RunError: the file cannot be written.
    """
    path = Path(path)
    pixels = images.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    files = []
    for image in pixels:
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
        files.append(buffer.getvalue())
    names = [f"{number:07d}" for number in columns.get("number", range(len(images)))]
    table = pa.table(
        {"id": names, "image": pa.array(files, pa.binary()), "label": pa.array(labels.tolist(), pa.int64()), **columns}
    )
    table = table.replace_schema_metadata({PROVENANCE: json.dumps(dict(provenance), sort_keys=True).encode()})
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=ROW_GROUP)
    RunDir(path.parent).write(out.getvalue(), path.name)


def read_provenance(path: Path | str) -> dict[str, Any] | None:
    """How a labelled set was made; None for a parquet file that says nothing of it."""
    text = (pq.read_schema(path).metadata or {}).get(PROVENANCE)
    found: dict[str, Any] | None = None if text is None else json.loads(text)
    return found
