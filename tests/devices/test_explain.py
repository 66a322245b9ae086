"""Maps on the simulated device as on the CPU but for rounding; metrics of maps and analyses bit for bit."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
import torch

import unshaken
from tests.battery import test_attributions as maps
from tests.battery import test_map_metrics as metrics
from tests.devices.simulated import agree
from unshaken.core.registry import list_methods
from unshaken.explain.engine.analysis import Analysis
from unshaken.explain.engine.metric import make_case
from unshaken.explain.engine.run import attribute
from unshaken.run.merge import differing_column

ANALYSES = [m.name for m in list_methods("explain") if issubclass(m.cls, Analysis)]


@pytest.mark.parametrize("name", maps.NAMES)
def test_maps(name, device):
    images = torch.rand(4, 3, 18, 14, generator=torch.Generator().manual_seed(4))
    found = attribute(maps.make_net(name).to(device), images.to(device), maps.named(name), limit=3)
    expected = attribute(maps.make_net(name), images, maps.named(name), limit=3)
    assert found.maps.device == device
    assert agree(found.maps, expected.maps, apart=1e-5)
    assert torch.equal(found.forwards.cpu(), expected.forwards)
    assert torch.equal(found.backwards.cpu(), expected.backwards)


@pytest.mark.parametrize("name", metrics.NAMES)
def test_metrics_of_maps(name, device):
    values = []
    for place in ("cpu", device):
        images = torch.rand(5, 3, 12, 10, generator=torch.Generator().manual_seed(4)).to(place)
        boxes = [torch.tensor([[1.0, 2, 6, 9], [0, 0, 3, 3]])] * 5
        case = make_case(metrics.make_net().to(place), images, "gradcam", boxes=boxes, ids=tuple("abcde"))[0]
        found = metrics.named(name).judge(case)
        values.append((found.value.cpu(), found.forwards.cpu(), found.backwards.cpu()))
    for one, other in zip(*values, strict=True):
        assert agree(other, one)


@pytest.mark.parametrize("name", ANALYSES)
def test_analyses(name, device, tmp_path):
    models = ["demo:standard", "demo:robust"] if name == "filter-drift" else "demo:standard"
    found = []
    if name == "unit-edit":
        unshaken.explain("demo:standard", "demo", ["netdissect"], limit=50, out=tmp_path / "named", device="cpu")
        name = f"unit-edit:run={tmp_path / 'named'},words=stripes"
    for place in ("cpu", str(device)):
        out = tmp_path / place
        unshaken.explain(models, "demo", [name], limit=50, out=out, device=place, batch_size=20)
        record = json.loads((out / "explain.json").read_text())
        rows = [pq.read_table(p) for p in sorted(out.rglob("*.parquet"))]
        found.append((record["found"], rows))
    (expected, tables), (figures, others) = found
    assert figures.keys() == expected.keys()
    assert len(tables) == len(others)
    if torch.ops.simulated_device.has_float64():
        assert figures == expected
        assert [differing_column(*pair) for pair in zip(others, tables, strict=True)] == [None] * len(tables)
