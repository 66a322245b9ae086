from __future__ import annotations

import io
import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import unshaken
from unshaken import api
from unshaken.cli import main
from unshaken.cli.harden import costs
from unshaken.core import Batch, Classifier
from unshaken.core.errors import ParameterError, RunError
from unshaken.data.arrays import InMemory
from unshaken.harden.engine import findings
from unshaken.harden.engine.judgement import Reference
from unshaken.run import repair as how
from unshaken.run.repair import Validation
from unshaken.store.run_dir import RunDir

PLAN = [
    {"method": "gaussian_noise", "severities": [3]},
    {"method": "fgsm", "eps": [0.05, 0.1], "norm": "linf"},
]


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    out = tmp_path_factory.mktemp("found") / "run"
    return unshaken.audit("demo:standard", "demo", PLAN, limit=40, out=out).run.path


@pytest.fixture
def data(photos):
    """Labelled images that the audit did not see: shifted copies."""
    return InMemory(photos[0].roll(1, 3), photos[1], classes=unshaken.load_data("demo").classes)


def test_the_plan_states_its_cost(audit, data, monkeypatch):
    monkeypatch.setattr(findings, "_disparity", lambda run: [])
    plan = api.plan_repair(audit, data=data, epochs=2, batch_size=32)
    assert plan.model == "demo:standard"
    assert plan.recipes[0].info.name == "trades"
    assert plan.recipes[0].eps == 0.1
    steps = (200 - 40) // 32
    per_step = 32 * (2 + 1 + plan.recipes[0].steps) + 32 * (2 + plan.recipes[0].steps)
    assert plan.passes == 2 * steps * per_step
    assert plan.seconds > 0


def test_repaired_from_start_to_end(audit, data, tmp_path):
    """Where the validation rises, epoch 1 is kept, audited again and compared."""
    plan = api.plan_repair(audit, data=data, epochs=1, batch_size=32, check_images=16, max_clean_loss=1, lr=0.001)
    rising = iter((0.1, 0.2))
    plan = replace(plan, validation=lambda model, held: next(rising))
    done = api.repair(audit, plan, out=tmp_path / "repaired", data=data)
    assert done.refused == ""
    assert done.comparison.runs[0].conditions[0].condition.id == "clean"
    assert done.comparison.runs[0].n == 40
    clean = done.comparison.runs[0].conditions[0]
    spoilt = clean.verdict == "worse" and clean.paired.difference.value < -0.05
    assert [line.partition(" points")[0] for line in costs(done.comparison)] == (
        [f"the repaired model lost {-100 * clean.paired.difference.value:.1f}"] if spoilt else []
    )
    assert (tmp_path / "repaired" / "before-after" / "compare.html").is_file()
    assert "## Before and after" in (tmp_path / "repaired" / "report.md").read_text()
    record = json.loads((tmp_path / "repaired" / "harden.json").read_text())
    assert record["recipes"][0].startswith("trades:")
    assert record["result"]["chosen_epoch"] == 1
    assert not torch.equal(head_of("demo:standard"), head_of(f"run:{tmp_path / 'repaired'}"))


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"lr": 5.0}, "(max_clean_loss allows 20 points)"),
        ({"max_clean_loss": 1.0}, "was 50.0% at the start and 50.5% at best"),
    ],
)
def test_a_worse_model_is_not_delivered(settings, shown, audit, data, tmp_path):
    """A repair that loses too much on unchanged images, and one that gains nothing, leave the starting weights."""
    plan = api.plan_repair(audit, data=data, epochs=1, batch_size=32, check_images=16, clip=1.0, **settings)
    if "lr" not in settings:
        gains = iter((0.5, 0.505))
        plan = replace(plan, validation=lambda model, held: next(gains))
    done = api.repair(audit, plan, out=tmp_path / "repaired", data=data)
    assert done.after is None
    assert done.comparison is None
    assert shown in done.refused
    assert done.hardened.summary["chosen_epoch"] == 0
    assert done.hardened.summary["figures"]["held_accuracy"]["n"] == 40  # of the starting weights
    assert torch.equal(head_of("demo:standard"), head_of(f"run:{tmp_path / 'repaired'}"))
    page = (tmp_path / "repaired" / "report.md").read_text()
    assert "The starting weights are kept" in page
    assert page.count("no epoch was better within") == 1
    assert "What may help: more training images" in page
    assert "epoch 0" not in page
    again = api.repair(audit, plan, out=tmp_path / "repaired", data=data, resume=True)
    assert again.refused == done.refused


def test_what_the_audit_afterwards_finds_worse_is_not_delivered(audit, data, tmp_path):
    """Whatever the held-out images say: the audited ones, which neither training has seen, have the last word."""
    plan = api.plan_repair(audit, data=data, epochs=1, batch_size=32, check_images=16, clip=1.0, lr=5.0)
    plan = replace(plan, reference=Reference(0.0, 0.0, "it knows them"), validation=lambda model, held: 0.5)
    done = api.repair(audit, plan, out=tmp_path / "repaired", data=data)
    assert done.comparison is not None
    assert "on the 40 audited images accuracy on unchanged images went from" in done.refused
    assert done.hardened.summary["chosen_epoch"] == 0
    assert "it knows them" in {f["detail"] for f in done.hardened.summary["flags"]}
    for head in (head_of(f"run:{tmp_path / 'repaired'}"), done.hardened.model.net.state_dict()["head.weight"]):
        assert torch.equal(head_of("demo:standard"), head)
    page = (tmp_path / "repaired" / "report.md").read_text()
    assert "of the repaired weights that were not kept" in page
    assert "not-kept" in (tmp_path / "repaired" / "audit" / "report.md").read_text()
    again = api.repair(audit, plan, out=tmp_path / "repaired", data=data, resume=True)
    assert again.refused == done.refused
    assert torch.equal(head_of("demo:standard"), head_of(f"run:{tmp_path / 'repaired'}"))


def test_a_net_that_has_learned_the_held_out_images_is_judged_by_the_audit(data, photos, tmp_path):
    """A linear net that interpolates all 200 images is right on each of them, and less often on others."""
    x, y = data.images.flatten(1).double() / 255, torch.eye(10, dtype=torch.float64)[photos[1]]
    torch.save((torch.linalg.pinv(x, rtol=1e-6) @ y).T.float(), tmp_path / "weights.pt")
    (tmp_path / "own.py").write_text(
        "import pathlib\nimport torch\nfrom torch import nn\n\n\n"
        "def make():\n    layer = nn.Linear(784, 10, bias=False)\n"
        "    layer.weight.data = torch.load(pathlib.Path(__file__).with_name('weights.pt'), weights_only=True)\n"
        "    return nn.Sequential(nn.Flatten(), layer)\n"
    )
    own, lines = f"py:{tmp_path / 'own.py'}:make", [{"method": "fgsm", "eps": [0.02], "norm": "linf"}]
    before = unshaken.audit(own, "demo", lines, limit=40, out=tmp_path / "audit")
    settings = {"epochs": 1, "batch_size": 64, "lr": 1e-6, "check_images": 16}
    plan = api.plan_repair(before.run.path, model=own, data=data, **settings)
    seen = before.summary["clean"]["value"]
    assert plan.reference.accuracy == seen
    assert f"is right on 100.0% of 40 images held out of --data but on {seen:.1%} of the 40" in plan.reference.why
    done = api.repair(before.run.path, plan, out=tmp_path / "repaired", data=data)
    assert done.hardened.summary["start"]["held_accuracy"] == seen
    assert done.hardened.summary["start"]["held_repaired"] == before.summary["conditions"][0]["accuracy"]["value"]
    assert "known held out" in (tmp_path / "repaired" / "report.md").read_text()


def test_the_command_ends_with_1_where_nothing_was_repaired(audit, data, tmp_path, capsys):
    images = [image_bytes(data.fetch(i)) for i in range(len(data))]
    names = [data.classes[k] for k in data.labels]
    pq.write_table(pa.table({"image": pa.array(images, pa.binary()), "label": names}), tmp_path / "data.parquet")
    given = ["--data", f"parquet:{tmp_path}/data.parquet", "--epochs", "1", "--batch-size", "32", "--lr", "5"]
    settings = ["--set", "check_images=16", "--set", "clip=1"]
    code = main(["harden", "--from", str(audit), "--out", str(tmp_path / "out"), *given, *settings])
    assert code == 1
    out = capsys.readouterr().out
    assert "not repaired: no epoch was better within what may be lost" in out
    assert "What may help: more training images" in out


def image_bytes(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def head_of(spec):
    return unshaken.load_model(spec).net.state_dict()["head.weight"]


def test_the_validation_is_about_the_weaknesses_that_are_repaired(audit, data):
    plan = api.plan_repair(audit, data=data, epochs=1, batch_size=32, check_images=16)
    aimed = [set(f.conditions) for f in plan.findings if not f.left_out]
    assert [set(w) for w in plan.validation.weaknesses] == aimed
    assert {"fgsm-linf-0.05", "fgsm-linf-0.1"} in aimed
    held = Batch(torch.rand(8, 1, 28, 28), torch.arange(8), tuple("abcdefgh"))
    right = Validation(plan.validation.plan, (("gaussian_noise-3",), ()), 0, 8)
    found = right(ByBrightness(), held.with_images(torch.full((8, 1, 28, 28), 0.5)))
    assert found == (1 / 8 + 0) / 2  # one label in eight is the class that it says, and another class has none right


class ByBrightness(Classifier):
    """Class 3, whatever it is shown."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Flatten())

    def forward(self, images):
        return torch.eye(8)[3].repeat(len(images), 1) + 0 * images.mean()


def test_a_run_of_the_users_own_net_is_audited_after_its_repair(tmp_path, data):
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    own, settings = f"py:{tmp_path / 'own.py'}:make", {"epochs": 1, "batch_size": 64}
    plan = [{"method": "gaussian_noise", "severities": [5]}]
    unshaken.harden(own, data, ["gaussian-augmented"], out=tmp_path / "first", **settings)
    spec = f"run:{tmp_path / 'first'}?net={own}"
    before = unshaken.audit(spec, "demo", plan, limit=40, out=tmp_path / "audit").run.path
    chosen = api.plan_repair(
        before, model=spec, data=data, methods="gaussian-augmented", max_clean_loss=1.0, **settings
    )
    chosen = replace(chosen, validation=None)  # one epoch need not gain anything
    done = api.repair(before, chosen, out=tmp_path / "repaired", data=data)
    assert done.comparison.runs[0].n == 40


def test_bad_use(audit, tmp_path):
    with pytest.raises(RunError, match=r"no run\.json"):
        api.plan_repair(tmp_path)
    with pytest.raises(ParameterError, match="is the data that was audited: give other images"):
        api.plan_repair(audit, data="demo")
    calm = RunDir(tmp_path / "calm")
    calm.write_json(RunDir(audit).read_json("run.json"), "run.json")
    fog = {"condition": "fog", "method": "fog", "group": "weather", "accuracy": {"value": 0.89}}
    calm.write_json({"clean": {"value": 0.9}, "conditions": [fog]}, "summary.json")
    with pytest.raises(ParameterError, match="so no recipe is suggested"):
        api.plan_repair(calm.path, data="demo")
    own = {**RunDir(audit).read_json("run.json"), "model": "py:net.py:make"}
    RunDir(tmp_path / "own").write_json(own, "run.json")
    RunDir(tmp_path / "own").write_json(RunDir(audit).read_json("summary.json"), "summary.json")
    with pytest.raises(ParameterError, match=r"is your own code: give it again, with --model py:net\.py:make$"):
        api.plan_repair(tmp_path / "own", data="demo")
    own |= {"data": "folder:photos"}
    RunDir(tmp_path / "own").write_json(own, "run.json")
    with pytest.raises(ParameterError, match=r"with --model py:net.py:make; .* give other images of .* with --data"):
        api.plan_repair(tmp_path / "own")
    arrays = {**RunDir(audit).read_json("run.json"), "data": "<arrays of 40>"}
    RunDir(tmp_path / "arrays").write_json(arrays, "run.json")
    RunDir(tmp_path / "arrays").write_json(RunDir(audit).read_json("summary.json"), "summary.json")
    with pytest.raises(ParameterError, match="an object of a program: give it again as audited="):
        api.repair(tmp_path / "arrays", None, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_training_images_of_named_sets(audit):
    config = how.read_audit(RunDir(audit))
    assert how.training_data(config) == "fashion-mnist?split=train"
    named = config.model_copy(update={"data": "cifar10?split=test"})
    assert how.training_data(named) == "cifar10?split=train"
    folder = config.model_copy(update={"data": "folder:photos"})
    with pytest.raises(ParameterError, match="give other images of these classes with --data"):
        how.training_data(folder)
