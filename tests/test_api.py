"""The public functions: signatures, wrong keywords, mode and budget, names, models of one image."""

import gc
import importlib
import inspect
import json
import sys
import typing

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import unshaken
from unshaken import api, detect
from unshaken.api.harden import parse_recipes
from unshaken.attack import PGD, Spatial
from unshaken.certify import IBP
from unshaken.core.errors import ModelError, ParameterError, RunError
from unshaken.core.options import declared
from unshaken.data import BadSample, subset
from unshaken.harden import AdversarialTraining
from unshaken.harden.engine.training import Training, TrainingOptions
from unshaken.models.loaders.load import forget_models
from unshaken.models.networks.small import SmallNet
from unshaken.run.plan import load_plan

VERBS = (unshaken.audit, unshaken.attack, unshaken.certify, unshaken.detect)


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.__name__)
def test_every_option_of_a_run_is_a_keyword_of_every_verb(verb):
    shown = inspect.signature(verb).parameters
    for name, (kind, option) in declared().items():
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert shown[name].default == option.default
        assert shown[name].annotation == kind
    assert not any(p.kind is p.VAR_KEYWORD for p in shown.values())


@pytest.mark.parametrize("name", api.__all__)
def test_no_function_swallows_a_keyword(name):
    found = getattr(api, name)
    if inspect.isfunction(found):
        shown = inspect.signature(found).parameters.values()
        assert not any(p.kind is p.VAR_KEYWORD for p in shown)
        documented = inspect.getdoc(found)
        assert [p.name for p in shown if f" {p.name}: " not in documented] == []


def test_the_types_of_keywords_are_those_of_the_record():
    types = typing.get_type_hints(Training)
    assert list(typing.get_type_hints(TrainingOptions).items()) == [
        (name, types[name]) for name in Training.model_fields
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit 0 must be from 1 to 1,000,000,000"),
        ({"seed": -1}, "seed -1 must be from 0"),
        ({"batch_size": 0}, "batch size 0 must be from 1 to 1,000,000"),
        ({"batch_size": "big"}, "batch size 'big' must be a whole number from 1 to 1,000,000"),
        ({"eot": 1.5}, "eot 1.5 must be a whole number from 1 to 10,000"),
        ({"save_examples": -2}, "number of pictures or maps kept -2 must be from -1 to 10,000,000"),
        ({"workers": True}, "workers True must be a whole number from 1 to 1,024"),
        ({"name": ""}, "name '' must be 1 to 100 printable characters"),
        ({"on_error": "ignore"}, "on-error 'ignore' is not one of record, stop"),
        ({"precision": "fp8"}, "precision 'fp8' is not one of fp32, bf16"),
        ({"share": True}, "a shared run needs an --out that all processes see"),
        ({"part": "1/2", "gates": ["no-regression"]}, "gate is for a whole run, and part 1/2 computes only a part"),
    ],
)
def test_a_wrong_option_is_refused_by_its_declaration(options, message):
    with pytest.raises(ParameterError) as caught:
        unshaken.audit("demo", "demo", **options)
    assert message in str(caught.value)


def test_the_description_of_an_option_is_that_of_the_command_line():
    assert "resume: Resume the run in `out`.\n" in inspect.getdoc(unshaken.audit)
    assert "save_examples: Number of example images to save per condition" in inspect.getdoc(unshaken.audit)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: unshaken.audit("demo", "demo", limt=3), r"audit\(\) has no parameter 'limt'; did you mean 'limit'"),
        (lambda: unshaken.attack("demo", "demo", epz=3), r"attack\(\) has no parameter 'epz'; did you mean 'eps'"),
        (lambda: unshaken.harden("small", "demo", epoch=3), r"has no parameter 'epoch'; did you mean 'epochs'"),
        (lambda: unshaken.detect("demo", "demo", "d", acept=3), r"has no parameter 'acept'; did you mean 'accept'"),
        (lambda: detect.fit("demo", "demo", [], limt=3), r"fit\(\) has no parameter 'limt'; did you mean 'limit'"),
    ],
)
def test_a_wrong_keyword_gets_a_near_name(call, message):
    with pytest.raises(TypeError, match=message):
        call()


class OneImage(nn.Module):
    """A model that takes one image at a time, as a traced one may."""

    def __init__(self):
        super().__init__()
        self.net = unshaken.load_model("demo:standard")

    def forward(self, images):
        if len(images) != 1:
            raise ValueError("one image only")
        return self.net(images)


def test_a_model_of_one_image_runs_in_every_verb(tmp_path):
    model, few = OneImage(), {"limit": 20, "batch_size": 1}
    with pytest.raises(ModelError, match="use --batch-size 1"):
        unshaken.audit(model, "demo", "quick", out=tmp_path / "x")
    plan = [{"method": "fog", "severities": [1]}, {"method": "fgsm", "eps": [0.1]}]
    alone = unshaken.audit(model, "demo", plan, out=tmp_path / "audit", name="mine", **few)
    whole = unshaken.audit("demo:standard", "demo", plan, out=tmp_path / "whole", limit=20)
    accuracies = [[c["accuracy"] for c in a.summary["conditions"]] for a in (alone, whole)]
    assert accuracies[0] == accuracies[1]
    short = {"limit": 2, "batch_size": 1, "attacked": False, "out": tmp_path / "certify"}
    smoothed = unshaken.certify(model, "demo", "smoothing:n=12,n0=4", **short)
    assert len(smoothed.run.rows("certificates")) == 2
    detect.fit(model, "demo", ["msp"], limit=20, batch_size=1).save(tmp_path / "detectors")
    scored = unshaken.detect(model, "demo", tmp_path / "detectors", out=tmp_path / "scores", attacked=False, **few)
    assert len(scored.run.rows("scores")) == 20


def test_a_model_has_the_name_that_it_was_given(tmp_path):
    plan = [{"method": "contrast", "severities": [1]}]
    runs = [tmp_path / name for name in ("old", "new")]
    for run in runs:
        unshaken.audit("demo:standard", "demo", plan, limit=5, out=run, name=f"the {run.name} one")
    unshaken.audit("demo:standard", "demo", plan, limit=5, out=runs[0], resume=True)  # a name decides no row
    assert json.loads((runs[0] / "run.json").read_text())["model_name"] == "the old one"
    assert "the old one" in (runs[0] / "report.html").read_text()
    assert "the old one" in (runs[0] / "report.md").read_text()
    comparison = unshaken.compare(*runs).runs[0]
    assert (comparison.baseline_name, comparison.candidate_name) == ("the old one", "the new one")
    for name in ("", "a\nb", "x" * 101):
        with pytest.raises(ParameterError, match="must be 1 to 100 printable characters"):
            unshaken.audit("demo:standard", "demo", plan, name=name)
    with pytest.raises(ParameterError, match="is of one model"):
        unshaken.audit(name="mine")


@pytest.mark.parametrize(
    ("attack", "options", "words"),
    [
        ("auto", {"budget": "many"}, "budget 'many' must be passes per sample, such as 2000, or seconds, such as 60s"),
        ("auto", {"budget": "0"}, "budget '0' must be passes"),
        ("auto", {"budget": "-3s"}, "budget '-3s' must be passes"),
        ("auto", {"budget": "2.5"}, "budget '2.5' must be passes"),
        ("autoattack", {"budget": "100"}, "autoattack has no passes"),
        ("pgd", {"mode": "fast"}, "pgd has no mode"),
        ("pgd", {"budget": "60s"}, "pgd has no seconds"),
        ("autoattack", {"mode": "quick"}, "mode='quick'"),
    ],
)
def test_a_wrong_mode_or_budget_is_refused_before_anything_is_loaded(attack, options, words):
    with pytest.raises(ParameterError) as caught:
        unshaken.attack("py:nowhere.py:none", "folder:/nowhere", attack, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "params"),
    [
        ({"budget": "2000"}, {"passes": 2000}),
        ({"budget": "1.5s"}, {"seconds": 1.5}),
        ({"mode": "fast"}, {"mode": "fast"}),
        ({"mode": "fast", "budget": "7"}, {"mode": "fast", "passes": 7}),
        ({}, {}),
    ],
)
def test_mode_and_budget_become_parameters(options, params, monkeypatch):
    seen = []
    monkeypatch.setattr(
        sys.modules["unshaken.api.audit"], "run_plan", lambda model, data, plan, *a, **k: seen.extend(plan)
    )
    unshaken.attack("demo", "demo", "auto:steps=9", norm="l2", eps="0.5", **options)
    assert seen == [{"method": "auto", "params": {"steps": 9, **params}, "norm": "l2", "eps": [0.5]}]


def test_a_run_is_not_resumed_with_other_masks(tmp_path):
    """Masks decide the rows of an edit as the images do: by what is in the files, not by their folder's name."""
    (folder := tmp_path / "masks").mkdir()
    data = unshaken.load_data("demo")

    def write(columns):
        for name in [data.ids[i] for i in subset(data, 3, 0)]:
            mask = Image.new("L", (28, 28))
            mask.paste(255, (4, 4, columns, 20))
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            mask.save((folder / name).with_suffix(".png"))

    def audit(**options):
        plan = [{"method": "background-grey", "params": {"masks": str(folder)}}]
        return unshaken.audit("demo:standard", "demo", plan, limit=3, out=tmp_path / "run", **options)

    write(20)
    audit()
    audit(resume=True)
    write(21)
    with pytest.raises(RunError, match=r"another configuration \(further_models: the content of '.*masks' is another"):
        audit(resume=True)


def test_a_run_is_not_resumed_with_another_surrogate(tmp_path):
    """The surrogate's weights decide the rows as the model's do."""
    file = tmp_path / "surrogate.safetensors"

    def write(seed):
        torch.manual_seed(seed)
        save_file(SmallNet().state_dict(), file)
        forget_models()

    def attack_by_transfer(**options):
        attack = f"transfer:surrogate=weights:{file}?arch=small,steps=2"
        return unshaken.attack("demo:standard", "demo", attack, eps=0.1, limit=5, out=tmp_path / "run", **options)

    write(0)
    attack_by_transfer()
    attack_by_transfer(resume=True)
    write(1)
    with pytest.raises(RunError, match=r"another configuration \(further_models: "):
        attack_by_transfer(resume=True)


def test_runs_that_begin_within_a_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda *_: "20260101-000000")
    found = []
    for _ in range(3):
        found.append(api.default_out("demo:standard", "demo", "quick"))
        (tmp_path / found[-1]).mkdir(parents=True)
    first = "runs/demo-standard-demo-quick-20260101-000000"
    assert found == [first, f"{first}-2", f"{first}-3"]


# Methods as objects, and what stands in their place.

PAIR = torch.arange(4 * 28 * 28).remainder(251).byte().view(4, 1, 28, 28), torch.arange(4)


def test_an_attack_and_a_certificate_are_objects_as_well_as_texts(tmp_path):
    text = unshaken.attack("demo", PAIR, "pgd:steps=2", eps=0.1, out=tmp_path / "text")
    made = unshaken.attack("demo", PAIR, PGD(steps=2), eps=0.1, out=tmp_path / "made")
    rows = [r.run.rows("outcomes", ["id", "condition", "loss"]).to_pylist() for r in (text, made)]
    assert rows[0] == rows[1]
    held = unshaken.certify("demo", PAIR, IBP(), radii=0.01, attacked=False, out=tmp_path / "ibp")
    assert held.summary["certified"]


def test_a_plan_takes_objects_beside_lines():
    first, second = load_plan([PGD(steps=2), {"method": "fog", "severities": [1]}])
    assert (first.method, first.params, second.method) == ("pgd", {"steps": 2}, "fog")
    assert load_plan(Spatial())[0].method == "spatial"


class Nameless(PGD):
    """Not entered."""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: unshaken.attack("demo", *PAIR),
            r"^an array stands where .*: give images and labels as one",
        ),
        (lambda: unshaken.certify("demo", *PAIR), r"unshaken.certify\(model, \(images, labels\), NAME\)$"),
        (
            lambda: unshaken.attack("demo", "demo", PGD),
            r"^the class PGD is no method of the .*: give PGD\(\)$",
        ),
        (lambda: unshaken.attack("demo", "demo", IBP()), r"^a IBP is no method of the room attack"),
        (lambda: unshaken.attack("demo", "demo", Nameless()), r"^Nameless has no name, .*: enter it with @register$"),
        (lambda: detect.fit("demo", "demo", ["energy", "energy"]), r"^'energy' is given twice with the same"),
        (lambda: detect.fit("demo", "demo", "mps"), r"no method 'mps' in detect"),
        (lambda: unshaken.explain("demo", "demo", ["gradcam", "gradcam"]), r"^'gradcam' is given twice with the same"),
        (lambda: unshaken.audit("demo", "demo", gates="clen.accuracy >"), r"^gate 'clen.accuracy >' is not understood"),
    ],
)
def test_what_is_no_method_is_one_clear_line(call, message):
    with pytest.raises(ParameterError, match=message):
        call()


def test_one_method_stands_for_a_list():
    assert list(detect.fit("demo", "demo", "msp", limit=100).detector_set.detectors) == ["msp"]
    assert list(detect.fit("demo", "demo", detect.MSP(), limit=100).detector_set.detectors) == ["msp"]
    assert [type(r).__name__ for r in parse_recipes(AdversarialTraining())] == ["AdversarialTraining"]


def test_detect_takes_what_fit_gave_and_keeps_it_in_its_run(tmp_path):
    fitted = detect.fit("demo", "demo", ["msp", "energy"], limit=60)
    options = {"limit": 10, "attacked": False, "save_examples": 0}
    done = unshaken.detect("demo", "demo", fitted, out=tmp_path / "run", **options)
    fitted.save(tmp_path / "detectors")
    same = unshaken.detect("demo", "demo", tmp_path / "detectors", out=tmp_path / "same", **options)
    rows = [r.run.rows("scores", ["id", "condition", "detector", "score"]).to_pylist() for r in (done, same)]
    assert rows[0] == rows[1]
    assert detect.DetectorSet.load(tmp_path / "run/detectors", unshaken.load_model("demo")).detectors.keys() == {
        "msp",
        "energy",
    }
    again = unshaken.detect("demo", "demo", fitted.detector_set, out=tmp_path / "run", resume=True, **options)
    assert again.run.rows("scores", ["id", "condition", "detector", "score"]).to_pylist() == rows[0]
    other = detect.fit("demo", "demo", "msp", limit=60)
    with pytest.raises(RunError, match="holds other detectors than those given; choose another --out"):
        unshaken.detect("demo", "demo", other, out=tmp_path / "run", resume=True, **options)


# What a finished call gives.


def test_results_are_short_to_print_and_name_their_figures(tmp_path):
    plan = [{"method": "fog", "severities": [1]}]
    done = unshaken.audit("demo:standard", "demo", plan, limit=10, out=tmp_path / "run")
    assert repr(done) == f"Audit(run=RunDir('{tmp_path}/run'), gates=[])"
    assert done.accuracy() == done.summary["clean"]["value"]
    assert done.accuracy("fog-1") == done.summary["conditions"][0]["accuracy"]["value"]
    assert done.bad_samples == ()
    with pytest.raises(ParameterError, match=r"no condition 'fog-2' in .*; did you mean 'fog-1'"):
        done.accuracy("fog-2")
    done.summary["clean"] = None
    with pytest.raises(ParameterError, match="there is no accuracy under 'clean': its task has other figures"):
        done.accuracy()


def test_bad_samples_are_of_one_type(tmp_path):
    images = torch.randint(0, 256, (30, 1, 28, 28)) / 255
    images[3] = float("nan")
    data = images, torch.arange(30) % 10
    plan = [{"method": "fog", "severities": [1]}]
    done = unshaken.audit("demo", data, plan, out=tmp_path / "run")
    found = detect.fit("demo", data, "msp")
    explained = unshaken.explain("demo", data, "gradient", out=tmp_path / "maps")
    for result in (done, found, explained):
        assert [(type(bad), bad.id) for bad in result.bad_samples] == [(BadSample, "3")]
    assert len(repr(explained)) < 200


def test_words_of_a_name_may_be_joined_either_way_and_one_is_printed(tmp_path):
    plan = load_plan([{"method": "gaussian-noise", "severities": [1]}, {"method": "mi_fgsm", "eps": [0.1]}])
    assert [line.method for line in plan] == ["gaussian_noise", "mi-fgsm"]
    images = torch.rand(1, 1, 28, 28)
    assert torch.equal(unshaken.corrupt(images, "gaussian-noise", 1), unshaken.corrupt(images, "gaussian_noise", 1))
    fitted = detect.fit("demo", "demo", "max_logit", limit=60)
    done = unshaken.detect(
        "demo", "demo", fitted, shifts="gaussian-noise-3", attacked=False, limit=10, out=tmp_path / "r"
    )
    assert {row["split"] for row in done.run.rows("scores").to_pylist()} == {"normal", "covariate/gaussian_noise-3"}
    names = [method.name for method in unshaken.list_methods()]
    assert len({name.replace("_", "-") for name in names}) == len(names)


def test_the_module_of_a_verb_does_not_hide_it():
    module = importlib.import_module("unshaken.api.audit")
    assert unshaken.api.audit is module.audit
    assert unshaken.api.attack is module.attack


# An attack that is given no directory.


def test_an_attack_without_a_directory_writes_nothing_until_it_is_saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"eps": 0.1, "limit": 6, "gates": ["clean.accuracy >= 0.1"]}
    kept = unshaken.attack("demo", "demo", "fgsm", out="kept", **options)
    done = unshaken.attack("demo", "demo", "fgsm", **options)
    assert done.run.path.startswith("memory://unshaken-")
    assert not done.run.exists("report.html")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    columns = ["id", "condition", "prediction", "loss"]
    assert done.run.rows("outcomes", columns).equals(kept.run.rows("outcomes", columns))
    assert done.summary["conditions"][0]["accuracy"] == kept.summary["conditions"][0]["accuracy"]
    assert [g.held for g in done.gates] == [True]
    assert [type(b) for b in done.page.blocks] == [type(b) for b in kept.page.blocks]
    saved = done.save("saved")
    files = {str(p.relative_to(tmp_path / "kept")) for p in (tmp_path / "kept").rglob("*") if p.is_file()}
    assert {str(p.relative_to(tmp_path / "saved")) for p in (tmp_path / "saved").rglob("*") if p.is_file()} == files - {
        "run.lock"
    }
    assert saved.gates == done.gates
    with pytest.raises(RunError, match=r"^saved: this directory already holds a run; choose another folder$"):
        done.save("saved")


def test_the_rows_of_an_attack_in_memory_go_with_its_result():
    done = unshaken.attack("demo", "demo", "fgsm", eps=0.1, limit=2)
    fs, root = done.run.fs, done.run.root
    assert fs.exists(f"{root}/run.json")
    del done
    gc.collect()
    assert not fs.exists(root)


def test_an_attack_whose_files_others_need_has_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = unshaken.attack("demo", "demo", "fgsm", eps=0.1, limit=4, part="1/1")
    assert done.run.path.startswith("runs/")
    assert done.run.exists("report.html")
