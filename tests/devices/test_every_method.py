"""Every registered method is tried on the simulated device: the lists of the other files, together, leave none out."""

from __future__ import annotations

from tests.battery import test_attributions as maps
from tests.battery import test_fooling as fooling
from tests.battery import test_generators as diffusion
from tests.battery import test_map_metrics as metrics
from tests.battery.test_contract import OF_OBJECTS, RUNNABLE
from tests.battery.test_detectors import BLIND, OURS
from tests.battery.test_recipes import RECIPES
from tests.devices.test_defences import DEFENCES
from tests.devices.test_explain import ANALYSES
from tests.devices.test_other_attacks import PIXELS, detection
from tests.devices.test_verbs import EVALUATIONS, FINDERS, GENERATORS
from unshaken.core import list_methods

STEPS = {"screening", "evasion"}
"""Steps of a run of `detect`, which `test_verbs` makes."""


def test_none_is_left_out():
    methods = [*RUNNABLE, *detection.ATTACKS, *PIXELS, *fooling.METHODS, *OURS, *RECIPES, *DEFENCES, *diffusion.METHODS]
    tried = {(m.room, m.name) for m in methods}
    tried |= {("attack", name) for name in OF_OBJECTS}
    tried |= {("explain", name) for name in (*maps.NAMES, *metrics.NAMES, *ANALYSES)}
    tried |= {("labels", name) for name in FINDERS} | {("generate", name) for name in GENERATORS}
    tried |= {("detect", name) for name in STEPS}
    tried |= {("tasks", name) for name in (*EVALUATIONS, "zero-shot", "data-drift")}
    tried |= {("tasks", name) for name in ("ranking", "birds-eye")}  # texts and files of boxes: no tensors of ours
    tried |= {("inspect", m.name) for m in list_methods("inspect")}  # decoded pixels in NumPy
    tried |= {("tasks", name) for name in ("prediction-sets", "data-health")}  # rows of an audit, and pixels, in NumPy
    computed_elsewhere = {("detect", name) for name in BLIND}  # by onnxruntime, on the CPU
    assert {(m.room, m.name) for m in list_methods()} == tried | computed_elsewhere
