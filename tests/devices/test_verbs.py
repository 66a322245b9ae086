"""Public verbs on the simulated device: the rows and files of the CPU."""

from __future__ import annotations

import pytest
import torch

import unshaken
from unshaken.api.explain_audit import explain_audit
from unshaken.api.generate import fit_generator, sample_generator
from unshaken.api.generate_measure import measure_generated
from unshaken.api.generate_set import generate_set
from unshaken.api.holistic import holistic
from unshaken.api.labels import find_labels
from unshaken.api.natural import find_natural_directions
from unshaken.api.screening import set_thresholds
from unshaken.detect import fit
from unshaken.generate import Fitting
from unshaken.run.same_rows import differing_column
from unshaken.run.store import RunDir
from unshaken.tasks.zero_shot.candidates import Candidate

CPU = "cpu"


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

    both(verb)


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
        fit("demo:standard", "demo", ["energy", "knn:k=3"], take=120, device=place).detector_set.save(folder)
        set_thresholds(folder, "demo:standard", "demo", limit=60, device=place)
        options = {"limit": 30, "attack": "pgd:steps=3", "samples": 8, "shifts": ("fog-3",)}
        unshaken.detect("demo:standard", "demo", folder, out=out, device=place, **options)

    here, there = both(verb)
    same(here, there, "scores", "outcomes")


@pytest.mark.parametrize("model", ["demo:standard", "small-cnn"], ids=["frozen", "trained"])
def test_labels(both, model):
    more = {"epochs": 1, "folds": 2, "review": 0, "limit": 120}
    methods = ["confident-learning", "aum", "small-loss"] if model == "small-cnn" else ["confident-learning"]
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


def test_generate(device, tmp_path):
    found = []
    for place in (CPU, str(device)):
        file = tmp_path / f"{place}.safetensors"
        fit_generator("demo", "edm", out=file, limit=64, width=4, conditional=True, device=place,
                      fitting=Fitting(steps=2, batch_size=16, warmup=1))  # fmt: skip
        start = tmp_path / f"{CPU}.safetensors"
        images = sample_generator(start, 4, steps=2, device=place).images
        generate_set(start, 20, out=tmp_path / f"{place}.parquet", steps=2, device=place, filter_model="demo:standard",
                     confidence=0.0)  # fmt: skip
        figures = measure_generated("demo", f"parquet:{tmp_path / place}.parquet", model="demo:standard", limit=20,
                                    device=place)  # fmt: skip
        fit_generator("demo", "vae", out=tmp_path / "vae.safetensors", limit=64, device=place,
                      fitting=Fitting(steps=2, batch_size=16, warmup=1))  # fmt: skip
        find_natural_directions(str(tmp_path / "vae.safetensors"), "demo", "demo:standard", k=2, limit=40, device=place)
        found.append((images, figures))
    (images, figures), (others, expected) = found[1], found[0]
    assert torch.allclose(torch.as_tensor(images), torch.as_tensor(others), rtol=0, atol=1e-3)
    assert figures.keys() == expected.keys()


def test_fool(both):
    def verb(out, place):
        unshaken.fool("demo:standard", classes=[0, 1], generations=3, population=6, out=out, device=place)

    same(*both(verb), "fooling")


def test_holistic(both):
    def verb(out, place):
        candidates = {name: Candidate(model=f"demo:{name}") for name in ("standard", "robust")}
        holistic(candidates, "demo", plan=["fog"], limit=20, out=out, device=place)

    here, there = both(verb)
    for model in ("0-standard", "1-robust"):
        audits = (RunDir(f"{run.path}/{model}/audit") for run in (here, there))
        same(*audits, "outcomes")
