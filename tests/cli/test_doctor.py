"""`unshaken doctor`."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

from unshaken.cli import doctor


def test_json_has_versions_devices_extras_and_the_check(unshaken):
    done = unshaken("doctor --json")
    found = json.loads(done.out)
    assert done.code == 0
    assert found["self_check"]["held"] is True
    assert found["versions"]["torch"] == version("torch")
    assert found["versions"]["python"] == sys.version.split()[0]
    assert "cpu" in found["devices"]
    assert {e["extra"] for e in found["extras"]} >= {"models", "onnx", "data", "imagenet"}
    assert {e["package"] for e in found["extras"] if e["extra"] == "onnx"} == {"onnxruntime", "onnx", "onnxscript"}


def test_an_absent_package_comes_with_the_line_that_installs_it(unshaken, monkeypatch):
    monkeypatch.setattr(doctor, "_requirements", lambda: [("torch", None), ("no-such-package", "models")])
    monkeypatch.setattr(doctor, "self_check", lambda: {"held": True, "detail": "fine", "seconds": 0.1})
    out = unshaken("doctor").out
    (line,) = [line for line in out.splitlines() if "no-such-package" in line]
    assert line.split(maxsplit=3) == ["models", "no-such-package", "absent", "pip install 'unshaken[models]'"]
    assert out.splitlines()[-1] == "self-check held in 0.1 s: fine"


def test_a_broken_installation_is_told_and_gives_1(unshaken, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("libgomp is absent")

    monkeypatch.setattr("unshaken.api.audit", broken)
    done = unshaken("doctor")
    assert done.code == 1
    assert done.out.splitlines()[-1].endswith("RuntimeError: libgomp is absent")


def test_an_attack_that_does_nothing_fails_the_check(monkeypatch):
    from unshaken import api

    real = api.audit

    def blind(model, data, plan, **options):
        return real(model, data, [plan[0], {"method": "fgsm", "eps": [0.0]}], **options)

    monkeypatch.setattr(api, "audit", blind)
    assert doctor.self_check()["held"] is False
