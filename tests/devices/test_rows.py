"""Rows of every method of stress, attack and certify, on the simulated device as on the CPU: bit for bit."""

from __future__ import annotations

import torch

from tests.battery.test_contract import RUNNABLE, cheap, every, model, samples, some_conditions
from unshaken.core import Oracle
from unshaken.core.context import Context
from unshaken.run.adapters import rows_of
from unshaken.store.tables import table_of


def rows_on(method, place):
    """All rows but their clocks, and the images of an example, with the model on a device."""
    net = model(1, 4, wide=method.room == "attack" and torch.ops.simulated_device.has_float64())
    batch = samples((1, 12, 16), 5, net).to(place)
    net.to(place)
    built = cheap(method)
    oracle = Oracle(net, limit=3)
    context = Context(oracle, 1, oracle.exact(batch.images), lambda: batch)
    rows, shown = [], []
    for part in rows_of(built, batch, some_conditions(method, built), context):
        table = table_of(part)
        clock = [name for name in table.column_names if "seconds" in name]
        rows.append((part.table, part.condition.id, table.drop_columns(clock).to_pylist()))
        if part.images is not None:
            shown.append(part.images(torch.tensor([3, 1])).cpu())
    return rows, shown


@every(RUNNABLE)
def test_rows_are_those_of_the_cpu(method, device):
    rows, shown = rows_on(method, device)
    expected, as_shown = rows_on(method, "cpu")
    if torch.ops.simulated_device.has_float64():
        assert rows == expected
        assert all(torch.equal(one, other) for one, other in zip(shown, as_shown, strict=True))
        return
    for (table, condition, found), (*same, wanted) in zip(rows, expected, strict=True):
        assert [table, condition] == same
        assert [row.get("id") for row in found] == [row.get("id") for row in wanted]
        if table == "outcomes":
            apart = [row["id"] for row, other in zip(found, wanted, strict=True) if row["correct"] != other["correct"]]
            assert len(apart) <= 1, apart
