"""`certify`: what is guaranteed, sample by sample, beside what an attack leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from torch import nn

from unshaken.api.audit import Audit, run_plan
from unshaken.api.job import as_list
from unshaken.api.options import check_options
from unshaken.core.consent import of_arguments
from unshaken.core.keywords import keywords
from unshaken.core.numbers import parse_number
from unshaken.core.options import Options
from unshaken.core.registry import parse_method
from unshaken.data import DataSource


@of_arguments
@keywords(Options)
def certify(
    model: str | nn.Module,
    data: DataSource,
    method: str = "smoothing-sequential",
    *,
    radii: float | str | Sequence[float | str] | None = None,
    attacked: bool = True,
    **options: Unpack[Options],
) -> Audit:
    """Certify the robustness of each prediction, and attack the same samples as an upper bound.

    Args:
        model: as for `audit`.
        data: as for `audit`.
        method: `NAME[:k=v,...]` of the room `certify`.
        radii: sizes asked for, in the unit of the method's norm; fractions such as `8/255` will do. A run whose votes
            cannot reach them is refused before it starts.
        attacked: attack what the certificate speaks of, too: clean, attacked and certified accuracy must fall in this
            order, and what contradicts a certificate is flagged as an error of this package.
        options: see `Options`.
    """
    certifier = parse_method(method, "certify")
    given = [] if radii is None else as_list(radii)
    sizes = [parse_number(r, "radius") if isinstance(r, str) else float(r) for r in given]
    entry = {
        "method": certifier.info.name,
        "params": certifier.model_dump(exclude_defaults=True),
        **certifier.asked(sizes),
    }
    plan = [entry, *(certifier.beside(sizes) if attacked else [])]
    return run_plan(model, data, plan, check_options(**options), name=certifier.info.name)
