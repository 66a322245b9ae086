"""The tables of a row, each in the namespace of its paper.

A paper declares them as `tables = {"logit_gradients": {"reached": "int32", "posterior": "double[]"}}`: column name to
pyarrow type, `[]` for a list. Every table also has the columns `id` and `condition`. On disk the table is
`<slug>_<name>`, so that two papers never write to one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from unshaken.run.rows import SCHEMAS

if TYPE_CHECKING:
    from unshaken.papers.frame.paper import Paper

SHARED = frozenset({"outcomes", "certificates", "scores", "looks", "verifications", "flags"})
"""Tables of the house that any row may write to under their own names."""


def table_name(slug: str, name: str) -> str:
    """The name on disk of a row's table.

    >>> table_name("crossmax-ensemble", "logit_gradients"), table_name("crossmax-ensemble", "outcomes")
    ('crossmax_ensemble_logit_gradients', 'outcomes')
    """
    return name if name in SHARED else f"{slug.replace('-', '_')}_{name}"


def schema_of(columns: Mapping[str, str]) -> pa.Schema:
    """The schema of declared columns, with `id` and `condition` before them.

    Raises:
        ValueError: pyarrow knows no such type.
    """
    declared = {"id": "string", "condition": "string", **columns}
    return pa.schema([(name, _type(text)) for name, text in declared.items()])


def register_tables(papers: Iterable[type[Paper]]) -> None:
    """Make the tables of some papers known to the row store.

    Raises:
        ValueError: two papers, or a paper and the house, declare one table with different columns.
    """
    for paper in papers:
        for name, columns in paper.tables.items():
            full, schema = table_name(paper.info.name, name), schema_of(columns)
            if name in SHARED or SCHEMAS.setdefault(full, schema) != schema:
                raise ValueError(f"table {full!r} of {paper.info.name} exists with other columns: choose another name")


def _type(text: str) -> Any:
    if text.endswith("[]"):
        return pa.list_(_type(text.removesuffix("[]")))
    return pa.type_for_alias(text)
