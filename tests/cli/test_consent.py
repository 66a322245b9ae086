"""Each way from a file to code that the user did not name: refused before the code runs, and how to allow it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SPEC = "py:evil.py:build"
EVIL = "open('ran', 'w').close()\nfrom net import build\n"


@pytest.fixture
def trap(place: Path) -> Path:
    """A folder with code that leaves a mark when it runs."""
    (place / "evil.py").write_text(EVIL)
    return place


def refused(result, place: Path, file: str) -> None:
    assert result.code == 2, result
    assert f"{file} names the code '{SPEC}'" in result.err
    assert f"--allow-code '{SPEC}'" in result.err, result.err
    assert result.err.count("\n") == 1
    assert not (place / "ran").exists()


@pytest.fixture
def detectors(trap: Path, world) -> Path:
    """Detectors that a stranger changed: an ensemble with code of theirs."""
    from unshaken.detect import fit

    world.write_photos(trap / "many", each=12)
    fit("py:net.py:build", "folder:many", ["msp"]).save("detectors")
    listed = json.loads(Path("detectors/detectors.json").read_text())
    listed["detectors"][0] |= {"method": "ensemble", "params": {"members": f"demo+ {SPEC}"}}
    Path("detectors/detectors.json").write_text(json.dumps(listed))
    return trap


def test_an_ensemble_of_detectors_json(unshaken, detectors):
    score = (
        "detect score --model py:net.py:build --data folder:photos --detectors detectors --out new --not-attacked -q"
    )
    refused(unshaken(score), detectors, "detectors/detectors.json")
    threshold = "detect threshold --model py:net.py:build --data folder:photos --detectors detectors --quiet"
    refused(unshaken(threshold), detectors, "detectors/detectors.json")


def test_the_user_may_allow_it_in_that_call(unshaken, detectors):
    path = Path("detectors/detectors.json")
    path.write_text(path.read_text().replace("demo+ ", ""))
    threshold = "detect threshold --model py:net.py:build --data folder:photos --detectors detectors --quiet"
    allowed = unshaken(f"{threshold} --allow-code {SPEC}")
    assert allowed.code == 0, allowed
    assert (detectors / "ran").exists()
    (detectors / "ran").unlink()
    refused(unshaken(threshold), detectors, "detectors/detectors.json")  # the next call is another


def test_allowing_what_is_no_code_is_told(unshaken, trap):
    result = unshaken("audit --allow-code demo")
    assert result.code == 2
    assert "'demo' is no SPEC that runs code, such as py:net.py:make" in result.err


def test_the_surrogate_of_a_plan(unshaken, trap):
    (trap / "plan.yaml").write_text(f"- {{method: transfer, eps: [0.1], params: {{surrogate: '{SPEC}'}}}}\n")
    result = unshaken("audit --model py:net.py:build --data folder:photos --plan plan.yaml --out new --quiet")
    refused(result, trap, "plan 'plan.yaml'")


@pytest.fixture
def done(unshaken, trap: Path) -> Path:
    """A finished audit."""
    made = unshaken("audit --model py:net.py:build --data folder:photos --plan fgsm.yaml --out done --quiet")
    assert made.code == 0, made
    return trap


@pytest.mark.parametrize("model", [f"demo?defence=mixture:robust={SPEC}", f"run:x?net={SPEC}", f"demo?classes= {SPEC}"])
def test_the_model_of_an_audit_that_is_repaired(unshaken, done, world, model):
    change(done / "done/run.json", model=model)
    world.write_photos(done / "more", each=2)
    refused(unshaken("harden --from done --data folder:more --out new --quiet"), done, "done/run.json")


def test_a_blank_before_the_model_of_an_audit_that_is_repaired(unshaken, done, world):
    change(done / "done/run.json", model=f" \t{SPEC}")
    world.write_photos(done / "more", each=2)
    result = unshaken("harden --from done --data folder:more --out new --quiet")
    assert result.code == 2
    assert "is your own code: give it again, with --model" in result.err
    assert not (done / "ran").exists()


def test_the_plan_of_an_audit_that_is_repaired(unshaken, done):
    line = {"method": "transfer", "params": {"surrogate": SPEC}, "eps": [0.1]}
    change(done / "done/run.json", plan=[line])
    refused(unshaken("harden --from done --model py:net.py:build --out new --quiet"), done, "done/run.json")


@pytest.mark.parametrize("arch", [SPEC, f"  {SPEC}"])
def test_the_net_of_a_hardening_run(unshaken, trap, arch):
    hardened(trap, arch=arch)
    result = unshaken("audit --model run:net --data folder:photos --plan fog.yaml --out new --quiet")
    assert result.code == 2
    assert "which loading would execute: allow it" in result.err
    assert not (trap / "ran").exists()


def test_the_recipe_of_a_hardening_run(unshaken, trap):
    hardened(trap, arch="small", recipes=[f"three-heads:teacher={SPEC}"])
    result = unshaken("audit --model run:net --data folder:photos --plan fog.yaml --out new --quiet")
    refused(result, trap, "net/model.json")


def test_a_program_reads_detectors(detectors):
    from unshaken import load_model
    from unshaken.core import UnshakenError, allow_code
    from unshaken.detect import DetectorSet

    model = load_model("py:net.py:build")
    with pytest.raises(UnshakenError, match=r"detectors/detectors.json names the code 'py:evil.py:build'"):
        DetectorSet.load("detectors", model)
    with allow_code(SPEC):
        assert list(DetectorSet.load("detectors", model).detectors) == ["msp"]


def hardened(place: Path, **record: object) -> None:
    """What `save_model` writes, with weights of nothing."""
    import torch
    from safetensors.torch import save_file

    (place / "net").mkdir()
    save_file({"weight": torch.zeros(2)}, place / "net/model.safetensors")
    (place / "net/model.json").write_text(json.dumps(record))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
