"""Public verbs on the simulated device: the rows and files of the CPU."""

from __future__ import annotations

import pytest
import torch

import unshaken
from tests.devices.simulated import agree
from unshaken.api.detect import set_thresholds
from unshaken.api.explain import explain_audit
from unshaken.api.generate import fit_generator, generate_set, sample_generator
from unshaken.api.generate_measure import measure_generated
from unshaken.api.holistic import holistic
from unshaken.api.labels import find_labels
from unshaken.api.natural import find_natural_directions
from unshaken.core import list_methods
from unshaken.core.registry import find_method
from unshaken.detect import fit
from unshaken.generate import Fitting
from unshaken.run.merge import differing_column
from unshaken.store.run_dir import RunDir
from unshaken.tasks.zero_shot.candidates import Candidate

CPU = "cpu"
FINDERS = [m.name for m in list_methods("labels")]
GENERATORS = ("vae", "class-gaussian")
FITTING = Fitting(steps=2, batch_size=16, warmup=1)


@pytest.fixture
def both(device, tmp_path):
    """Calls a verb on either device; the directories of both runs."""

    def call(verb):
        for place in (CPU, str(device)):
            verb(tmp_path / place.replace(":", "-"), place)
        return RunDir(tmp_path / CPU), RunDir(tmp_path / str(device).replace(":", "-"))

    return call


def same(here, there, *tables):
    """Compare tables of two runs, whose float columns may differ by rounding."""
    for table in tables:
        expected, found = here.rows(table), there.rows(table)
        assert len(expected)
        assert differing_column(found, expected) is None, table


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_audit(both, precision):
    plan = ["fog", {"method": "pgd", "params": {"steps": 5}, "eps": ["8/255"]}]
    here, there = both(
        lambda out, place: unshaken.audit(
            "demo:standard", "demo", plan, limit=30, out=out, device=place, save_examples=3, precision=precision
        )
    )
    same(here, there, "outcomes")


def test_explain_audit(both):
    def verb(out, place):
        unshaken.audit("demo:standard", "demo", ["fog"], limit=20, out=out, device=place, save_examples=3)
        assert explain_audit(out, "smoothgrad:samples=4", device=place)

    same(*both(verb), "outcomes")


def test_certify(both):
    here, there = both(
        lambda out, place: unshaken.certify(
            "demo:robust", "demo", method="smoothing:sigma=0.25,n=200", limit=6, out=out, device=place
        )
    )
    same(here, there, "certificates", "outcomes")


def test_detect(both, tmp_path):
    def verb(out, place):
        folder = tmp_path / f"detectors-{place}"
        fit("demo:standard", "demo", ["energy", "knn:k=3"], limit=120, device=place).save(folder)
        set_thresholds("demo:standard", "demo", folder, limit=60, device=place)
        options = {"limit": 30, "attack": "pgd:steps=3", "samples": 8, "shifts": ("fog-3",)}
        unshaken.detect("demo:standard", "demo", folder, out=out, device=place, **options)

    here, there = both(verb)
    same(here, there, "scores", "outcomes")


@pytest.mark.parametrize("model", ["demo:standard", "small-cnn"], ids=["frozen", "trained"])
def test_labels(both, model):
    """All finders: those that watch a training with trained networks, all others with frozen features."""
    trained = model == "small-cnn"
    methods = [name for name in FINDERS if ("margins" in find_method(name, "labels").needs) == trained]
    more = {"epochs": 1, "folds": 2, "review_size": 0, "limit": 120}
    here, there = both(lambda out, place: find_labels("demo", methods, model=model, out=out, device=place, **more))
    same(here, there, "labels")


def test_harden_in_both_precisions_and_moved_between_devices(device, tmp_path):
    for precision in ("fp32", "bf16"):
        more = {"epochs": 2, "limit": 200, "precision": precision, "batch_size": 50}
        for place in (CPU, str(device)):
            unshaken.harden("small-cnn", "demo", ["n-fgsm:eps=0.05", "ema"], out=tmp_path / precision / place,
                            device=place, **more)  # fmt: skip
        here, there = (unshaken.load_model(f"run:{tmp_path / precision / place}") for place in (CPU, str(device)))
        for name, weight in here.state_dict().items():
            assert torch.allclose(there.state_dict()[name], weight, rtol=0, atol=1e-3), name


@pytest.mark.parametrize("method", ["edm", *GENERATORS])
def test_generators_are_fitted_and_sampled(method, device, tmp_path):
    samples, steps = [], {"steps": 2} if method == "edm" else {}
    for place in (CPU, str(device)):
        fit_generator(
            "demo", method, out=tmp_path / place, limit=64, width=4, conditional=method != "vae", device=place,
            fitting=FITTING,
        )  # fmt: skip
        samples.append(sample_generator(tmp_path / CPU, 4, device=place, **steps).images)
    assert agree(*(torch.as_tensor(images).float() for images in reversed(samples)), apart=1e-3)


def test_sets_are_made_and_measured(device, tmp_path):
    fit_generator("demo", "edm", out=tmp_path / "edm", limit=64, width=4, conditional=True, device=CPU, fitting=FITTING)
    fit_generator("demo", "vae", out=tmp_path / "vae", limit=64, device=CPU, fitting=FITTING)
    found = []
    for place in (CPU, str(device)):
        made, more = tmp_path / f"{place}.parquet", {"filter_model": "demo:standard", "confidence": 0.0}
        generate_set(tmp_path / "edm", 20, out=made, steps=2, device=place, **more)
        found.append(measure_generated("demo", f"parquet:{made}", model="demo:standard", limit=20, device=place))
        find_natural_directions(str(tmp_path / "vae"), "demo", "demo:standard", k=2, limit=40, device=place)
    expected, figures = found
    assert figures.keys() == expected.keys()
    for name in ("kernel_distance", "diversity", "recognisability"):
        assert figures[name] == pytest.approx(expected[name], rel=0.01)


def test_fool(both):
    def verb(out, place):
        unshaken.fool("demo:standard", classes=[0, 1], generations=3, population=6, out=out, device=place)

    same(*both(verb), "fooling")


TEXTS = "".join(f"t10k/{n:05},a {('heel', 'sleeve', 'collar')[n % 3]} for sale\n" for n in range(1000))
"""A text of each image of the embedded data."""
EVALUATIONS = {
    "few-shot": ("few-shot:episodes=5,queries=3,shots=2,ways=3", "few_shot"),
    "frozen-features": ("frozen-features:c=1", "frozen_features"),
    "natural-shift": ("natural-shift:standard=demo?split=first", "natural_shift"),
    "text-dilution": ("text-dilution:texts=texts.csv,training=demo?split=first,steps=5,candidates=2", "dilutions"),
}
"""Evaluation to how it is run, and the table of its rows; that of `zero-shot` is `holistic`."""


@pytest.mark.parametrize("name", EVALUATIONS)
def test_evaluate(both, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.csv").write_text(f"id,text\n{TEXTS}")
    method, table = EVALUATIONS[name]
    data = "demo?split=second"
    same(*both(lambda out, place: unshaken.evaluate(method, "demo", data, limit=60, out=out, device=place)), table)


def test_drift(both):
    def verb(out, place):
        given = {"limit": 60, "permutations": 399, "device": place}
        unshaken.drift("demo?split=first", "demo?split=second", model="demo", out=out, **given)

    here, there = both(verb)
    same(here, there, "issues")
    p_values = ({k: v["value"] for k, v in run.read_json("evaluate.json")["figures"].items()} for run in (here, there))
    assert agree(*(torch.tensor(list(one.values())) for one in p_values))


def test_holistic(both):
    def verb(out, place):
        candidates = {name: Candidate(model=f"demo:{name}") for name in ("standard", "robust")}
        holistic(candidates, "demo", plan=["fog"], limit=20, out=out, device=place)

    here, there = both(verb)
    for model in ("0-standard", "1-robust"):
        audits = (RunDir(f"{run.path}/{model}/audit") for run in (here, there))
        same(*audits, "outcomes")
