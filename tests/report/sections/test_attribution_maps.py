"""The section on maps before and after: from the run directory alone, worst first, absent without maps."""

from __future__ import annotations

import torch

from unshaken.explain.engine.before_after import MAPS_RECORD, map_file
from unshaken.report.figures.pictures import address, heat
from unshaken.report.sections import load_sections
from unshaken.report.write import write_report
from unshaken.store.config import Entry
from unshaken.store.tensor_file import TensorFile

PLAN = [Entry(method="fog", severities=(5,)), Entry(method="fgsm", eps=("8/255",))]


def write_maps(run, condition):
    ids = list(run.examples(condition))
    maps = torch.rand(2, len(ids), 12, 12, generator=torch.Generator().manual_seed(0))
    classes = torch.zeros(len(ids)).long()
    held = {"before": maps[0], "after": maps[1], "class_before": classes, "class_after": classes.clone()}
    run.write_tensors(TensorFile(held, ids), *map_file(condition))
    return dict(zip(ids, maps.unbind(1), strict=True))


def test_the_section_is_found():
    assert "maps" in [section.name for section in load_sections()]


def test_maps_stand_beside_the_most_damaging_examples(make_run):
    run = make_run(plan=PLAN, flags=False)
    without = write_report(run) and run.read("report.html").decode()
    assert "What the model looks at" not in without
    made = write_maps(run, "fog-5")
    run.write_json({"method": "gradcam", "params": {}, "conditions": ["fog-5"]}, *MAPS_RECORD)
    write_report(run)
    page = run.read("report.html").decode()
    assert "What the model looks at" in page
    assert "Maps by gradcam of the class that the model predicts" in page
    shown = [i for i, (before, after) in made.items() if address(heat(before)) in page and address(heat(after)) in page]
    assert len(shown) >= 3
    assert page.count("its map") >= 2 * len(shown)


def test_a_condition_without_maps_is_left_out(make_run):
    run = make_run(plan=PLAN, flags=False)
    write_maps(run, "fog-5")
    run.write_json({"method": "gradcam", "params": {}, "conditions": []}, *MAPS_RECORD)
    write_report(run)
    assert "What the model looks at" not in run.read("report.html").decode()
