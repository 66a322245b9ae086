"""The tables of a row, each in the namespace of its paper.

A paper declares them as `tables = {"logit_gradients": {"reached": "int32", "posterior": "double[]"}}`: column name to
pyarrow type, `[]` for a list. Every table also has the columns `id` and `condition`. On disk the table is
`<slug>_<name>`, so that two papers never write to one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unshaken.core.tables import TABLES, declare_table, is_shared

if TYPE_CHECKING:
    from unshaken.papers.paper import Paper


EVERY_RUN = ("outcomes", "flags", "turns")
"""Tables that every run may have; no row has one of its own under these names."""


def table_name(slug: str, name: str) -> str:
    """The name on disk of a row's table: its own, as far as it has declared one, else that of the house.

    >>> table_name("crossmax-ensemble", "logit_gradients"), table_name("crossmax-ensemble", "outcomes")
    ('crossmax_ensemble_logit_gradients', 'outcomes')
    """
    own = f"{slug.replace('-', '_')}_{name}"
    return own if own in TABLES or not is_shared(name) else name


def register_tables(papers: Iterable[type[Paper]]) -> None:
    """Make the tables of some papers known to the row store.

    Raises:
        ValueError: two papers, or a paper and the house, declare one table with different columns.
    """
    for paper in papers:
        for name, columns in paper.tables.items():
            if name in EVERY_RUN:
                raise ValueError(f"{paper.info.name}: the table {name!r} is one of the house: choose another name")
            own = f"{paper.info.name.replace('-', '_')}_{name}"
            declare_table(own, {"id": "string", "condition": "string", **columns})


def fill_columns(columns: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of one length: tensors as lists, and a single value, or None, once for each row; parts as one.

    >>> fill_columns({"id": ["a", "b"], "seed": 3, "set": "test"})
    {'id': ['a', 'b'], 'seed': [3, 3], 'set': ['test', 'test']}
    >>> fill_columns([{"id": ["a", "b"], "net": "first"}, {"id": "c", "net": "second"}])
    {'id': ['a', 'b', 'c'], 'net': ['first', 'first', 'second']}
    """
    if not isinstance(columns, Mapping):
        parts = [fill_columns(part) for part in columns]
        return {name: [value for part in parts for value in part[name]] for name in parts[0]}
    lists = {name: values.tolist() if hasattr(values, "tolist") else values for name, values in columns.items()}
    single = {k for k, v in lists.items() if v is None or isinstance(v, str | int | float)}
    n = max((len(v) for k, v in lists.items() if k not in single), default=1)
    return {k: [v] * n if k in single else list(v) for k, v in lists.items()}
