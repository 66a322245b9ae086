"""`unshaken doctor`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from importlib.metadata import version

import jsonschema
import numpy as np
import pytest

from unshaken.api import self_check
from unshaken.api.self_check import Measurement, compare
from unshaken.cli import doctor
from unshaken.core.errors import MissingExtra
from unshaken.core.progress import listening
from unshaken.run import Interrupted

TEXT = {"type": "string", "minLength": 1}
CHECK = {
    "type": "object",
    "properties": {
        "device": TEXT,
        "room": {"enum": list(self_check.ROOMS)},
        "held": {"type": ["boolean", "null"]},
        "seconds": {"type": "number", "exclusiveMinimum": 0},
        "detail": {**TEXT, "pattern": "^[^\n]+$"},
    },
    "required": ["device", "room", "held", "seconds", "detail"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "versions": {"type": "object", "additionalProperties": TEXT},
        "devices": {"type": "object", "additionalProperties": TEXT},
        "extras": {"type": "array"},
        "self_check": {
            "type": "object",
            "properties": {"held": {"type": "boolean"}, "checks": {"type": "array", "items": CHECK}},
            "required": ["held", "checks"],
            "additionalProperties": False,
        },
    },
    "required": ["versions", "devices", "extras", "self_check"],
    "additionalProperties": False,
}


@pytest.fixture
def rooms(monkeypatch):
    """Puts checks in the place of those of the rooms."""

    def rooms(**checks):
        monkeypatch.setattr(self_check, "ROOMS", checks)

    return rooms


def well(device, folder):
    return Measurement(True, "fine", {"classes": np.arange(40)}, {"scores": np.ones(3)})


@pytest.mark.long
def test_json_has_versions_devices_extras_and_the_checks_without_slow_imports():
    program = """
import sys
from unshaken.cli import main
code = main(["doctor", "--device", "cpu", "--json"])
print(code, *{"scipy.stats", "scipy.ndimage", "sklearn", "duckdb"} & sys.modules.keys(), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "0\n")
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    assert found["self_check"]["held"] is True
    assert [(c["device"], c["room"], c["held"]) for c in found["self_check"]["checks"]] == [
        ("cpu", room, True) for room in self_check.ROOMS
    ]
    assert found["versions"]["torch"] == version("torch")
    assert found["versions"]["python"] == sys.version.split()[0]
    assert "cpu" in found["devices"]
    assert {e["extra"] for e in found["extras"]} >= {"models", "onnx", "data", "imagenet"}
    assert {e["package"] for e in found["extras"] if e["extra"] == "onnx"} == {"onnxruntime", "onnx", "onnxscript"}


def test_every_room_of_the_registry_is_checked():
    from unshaken.core.registry import list_methods

    on_arrays_alone = {"inspect"}  # checks of decoded pixels in NumPy, the same on every device
    assert {*self_check.ROOMS} >= {method.room for method in list_methods()} - on_arrays_alone


def test_an_absent_package_comes_with_the_line_that_installs_it(unshaken, monkeypatch, rooms):
    monkeypatch.setattr(doctor, "_requirements", lambda: [("torch", None), ("no-such-package", "models")])
    rooms(attack=well)
    out = unshaken("doctor --device cpu").out
    (line,) = [line for line in out.splitlines() if "no-such-package" in line]
    assert line.split(maxsplit=3) == ["models", "no-such-package", "absent", "pip install 'unshaken[models]'"]
    assert out.splitlines()[-1].startswith(
        "self-check held: 1 of 1 checks passed in 0.0 s on cpu; rooms: attack; one or "
    )
    assert unshaken("doctor --device cpu --quiet").out == out.splitlines()[-1] + "\n"


def test_a_broken_room_is_told_and_gives_1_and_the_others_go_on(unshaken, monkeypatch, rooms):
    def broken(*_, **__):
        raise RuntimeError("libgomp\nis absent")

    monkeypatch.setattr(self_check, "audit", broken)
    rooms(attack=self_check.check_attack, detect=well)
    done = unshaken("doctor --device cpu")
    assert (done.code, done.err) == (1, "")
    attack, detect = [line.split(maxsplit=4) for line in done.out.splitlines() if line.startswith("cpu ")][-2:]
    assert attack[:3] == ["cpu", "attack", "FAILED"]
    assert attack[4].rstrip() == "RuntimeError: libgomp is absent"
    assert detect[:3] == ["cpu", "detect", "held"]
    assert done.out.splitlines()[-1].startswith("self-check FAILED (attack on cpu): 1 of 2 checks passed in ")
    found = json.loads(unshaken("doctor --device cpu --json").out)["self_check"]
    assert (found["held"], [check["held"] for check in found["checks"]]) == (False, [False, True])


def test_a_room_whose_package_is_absent_is_not_checked(unshaken, rooms):
    def absent(device, folder):
        raise MissingExtra("lightning-fabric", "train", "training")

    rooms(harden=absent, detect=well)
    done = unshaken("doctor --device cpu")
    assert (done.code, done.err) == (0, "")
    assert "not checked" in done.out
    assert "pip install 'unshaken[train]'" in done.out
    assert "held: 1 of 2 checks passed in 0.0 s on cpu, not checked: harden on cpu; rooms" in done.out.splitlines()[-1]


@pytest.mark.parametrize("inside", [False, True], ids=["at once", "in a run"])
def test_ctrl_c_ends_all_checks(inside, unshaken, rooms):
    def stopped(device, folder):
        if inside:
            raise Interrupted
        signal.raise_signal(signal.SIGINT)

    rooms(attack=stopped, detect=well)
    done = unshaken("doctor --quiet")
    assert (done.code, done.out, done.err) == (130, "", "unshaken: interrupted\n")


def test_an_attack_that_does_nothing_fails_the_check(monkeypatch, tmp_path):
    real = self_check.audit

    def blind(model, data, plan, **options):
        return real(model, data, [{**entry, "eps": [0.0]} for entry in plan], **options)

    monkeypatch.setattr(self_check, "audit", blind)
    assert not self_check.check_attack("cpu", tmp_path).holds


@pytest.mark.parametrize(("option", "shown"), [("--device cpu:0", ["cpu:0"]), ("", ["cpu", "cpu:0"])])
def test_the_device_asked_for_is_the_only_one_shown_and_compared_with_the_cpu(
    option, shown, unshaken, monkeypatch, rooms
):
    asked = []

    def noted(device, folder):
        asked.append(device)
        return well(device, folder)

    monkeypatch.setattr(self_check, "find_devices", lambda: ["cpu", "cpu:0"])
    rooms(attack=noted)
    checks = json.loads(unshaken(f"doctor --json {option}").out)["self_check"]["checks"]
    assert [check["device"] for check in checks] == shown
    assert asked == ["cpu", "cpu:0"]
    assert checks[-1]["detail"] == "fine; differs from the CPU in 0 of 40 verdicts and by 0.00% (scores)"


def test_a_device_that_is_not_there_is_refused_in_one_line(unshaken):
    done = unshaken("doctor --device cuda:999")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("unshaken: device 'cuda:999' is not there: ")
    assert done.err.count("\n") == 1


def test_a_device_is_the_cpu_but_for_rounding():
    cpu = Measurement(True, "", {"classes": np.zeros(80, int)}, {"scores": np.full(4, 2.0), "maps": np.full(4, 100.0)})

    def differing(wrong, away):
        scores = np.array([2.0, 2.0, 2.0, 2.0 + away])
        return compare(
            Measurement(True, "", {"classes": np.arange(80) < wrong}, {**cpu.numbers, "scores": scores}), cpu
        )

    assert differing(0, 0.0) == (True, "differs from the CPU in 0 of 80 verdicts and by 0.00% (scores)")
    assert differing(2, 0.1)[0]
    assert differing(3, 0.0) == (False, "differs from the CPU in 3 of 80 verdicts and by 0.00% (scores)")
    assert differing(0, 0.4) == (False, "differs from the CPU in 0 of 80 verdicts and by 10.00% (scores)")
    assert differing(0, np.nan) == (False, "differs from the CPU in 0 of 80 verdicts and by nan% (scores)")


def test_a_device_does_not_hold_where_the_cpu_has_nothing_to_compare_with(monkeypatch, rooms):
    def only_elsewhere(device, folder):
        if device == "cpu":
            raise ValueError("no such instruction")
        return well(device, folder)

    rooms(attack=only_elsewhere)
    (check,) = self_check.self_check("cpu:0")
    assert check.held is False
    assert check.detail == "fine; the check of the CPU, to compare with, ended in an error"


def test_progress_names_the_room_and_the_device(rooms):
    events = []
    rooms(attack=well, detect=well)
    with listening(events.append):
        self_check.self_check("cpu")
    assert [(e.done, e.note) for e in events if not e.closed] == [
        (0, ""), (0, "attack on cpu"), (1, "attack on cpu"), (1, "detect on cpu"), (2, "detect on cpu")
    ]  # fmt: skip
    assert {(e.name, e.total) for e in events} == {("self-check", 2)}
