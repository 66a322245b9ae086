"""`load_head`: a prototype head from its file, which may come from anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, StrictStr
from safetensors import SafetensorError, safe_open

from unshaken.core.device import widen
from unshaken.core.errors import ModelError
from unshaken.models.loaders.weights import first_line, refuse_disguised
from unshaken.tasks.few_shot.head import FORMAT, SHORTEST, PrototypeHead


class _Classes(BaseModel):
    """Names and scale in a file of prototypes."""

    classes: list[StrictStr]
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]


def load_head(path: Path | str) -> PrototypeHead:
    """Read a head that `PrototypeHead.save` wrote; classes keep their order.

    Raises:
        ModelError: the file is absent, damaged, or holds something else.
    """
    refuse_disguised(Path(path))
    try:
        with safe_open(str(path), "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a complete safetensors file ({first_line(error)}): get it again") from None
    if about.get("format") != FORMAT or set(tensors) != {"sums", "counts"}:
        raise ModelError(f"{path} holds no prototypes: write them by PrototypeHead.save")
    try:
        known = _Classes.model_validate({key: json.loads(about.get(key, "")) for key in ("classes", "scale")})
    except ValueError:  # pydantic's and json's errors
        raise ModelError(f"{path} is damaged: its names of classes or its scale cannot be read") from None
    sums, counts, names = tensors["sums"], tensors["counts"], list(known.classes)
    shaped = sums.ndim == 2 and sums.is_floating_point() and counts.shape == sums.shape[:1] == (len(names),)
    counted = shaped and not counts.is_floating_point() and bool((counts >= 0).all())
    if not counted or len({*names}) != len(names) or not bool(sums.isfinite().all()):
        raise ModelError(f"{path} is damaged: its names, sums and counts do not fit each other")
    if not bool((widen(sums).norm(dim=1) >= SHORTEST).all()):
        raise ModelError(f"{path} is damaged: a class of it has no direction")
    return PrototypeHead.restore(names, widen(sums), counts.tolist(), known.scale)
