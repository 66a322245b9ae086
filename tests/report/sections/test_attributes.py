"""What edits cost: paired with the unedited images and the control, counted by hand."""

import json

import jsonschema
import pyarrow.compute as pc
import pytest
import torch

from unshaken.core import Batch
from unshaken.core.part import Part
from unshaken.report import schema
from unshaken.report.write import make_report
from unshaken.run.plan import prepare
from unshaken.store.config import Entry
from unshaken.store.tables import table_of
from unshaken.stress.engine.attribute_edit import Edits, describe

PLAN = [
    Entry(method="background-mirror", severities=(1,)),
    Entry(method="object-size", severities=(4,)),
    Entry(method="fog", severities=(1,)),
]


def add_edits(run, condition, refused=()):
    """Rows of edits that make objects of a quarter of the picture half as large, in order of the outcomes."""
    rows = run.rows("outcomes")
    ids = tuple(rows.filter(pc.equal(rows["condition"], condition.id))["id"].to_pylist())
    masks = torch.zeros(len(ids), 1, 8, 8, dtype=torch.bool)
    masks[:, :, :4, :4] = True
    images = torch.rand(len(ids), 1, 8, 8, generator=torch.Generator().manual_seed(0))
    small = masks.clone()
    small[:, :, :2] = False
    made = Edits(images * 0.5, small, dict.fromkeys(refused, "its mask is empty"))
    found = describe(Batch(images, None, ids), masks, made)
    part = Part("attribute_edits", condition, {name: [row[name] for row in found] for name in found[0]})
    run.write_rows(table_of(part), "attribute_edits", condition.id, 0)


@pytest.fixture
def run(make_run):
    made = make_run(plan=PLAN)
    mirror, size = (step.conditions[0] for step in prepare(PLAN[:2]))
    add_edits(made, mirror)
    add_edits(made, size, refused=(0, 3))
    return made


def test_drops_are_paired_and_the_control_beside(run):
    written = make_report(run)
    jsonschema.Draft202012Validator(schema()).validate(json.loads(run.read("summary.json")))
    mirror, size = written.summary["attributes"]
    rows = run.rows("outcomes").to_pylist()
    right = {(r["condition"], r["id"]): r["correct"] for r in rows if not r["error"]}

    def lost(before, after):
        ids = [i for c, i in right if c == after and (before, i) in right]
        pairs = [(right[before, i], right[after, i]) for i in ids if None not in (right[before, i], right[after, i])]
        return sum(a - b for a, b in pairs) / len(pairs)

    assert mirror["drop"]["value"] == pytest.approx(lost("clean", "background-mirror-1"))
    assert mirror["beyond_control"] is None
    assert size["drop"]["value"] == pytest.approx(lost("clean", "object-size-4"))
    assert size["drop"]["value"] > 0
    assert size["beyond_control"]["value"] == pytest.approx(lost("background-mirror-1", "object-size-4"))
    assert (size["object_size"], size["edited_size"]) == (0.25, 0.125)
    assert size["complexity_ratio"] == pytest.approx(0.5)
    assert size["left_out"] == 2
    page = run.read("report.md").decode()
    assert "## Attributes" in page
    assert "beyond the control" in page
    assert "fog" not in page.split("## Attributes")[1].split("\n## ")[0]


def test_a_plan_without_the_control_is_advised_to_add_it(make_run):
    made = make_run(plan=PLAN[1:])
    add_edits(made, prepare(PLAN[1:2])[0].conditions[0])
    assert make_report(made).summary["attributes"][0]["beyond_control"] is None
    assert "add background-mirror to the plan" in " ".join(made.read("report.md").decode().split())


def test_other_runs_have_no_such_section(make_run):
    written = make_report(make_run(plan=[Entry(method="fog", severities=(3,))]))
    assert written.summary["attributes"] == []
    assert "Attributes" not in written.page.title
