"""`?defence=NAME` of a model SPEC, and `attack --defence`."""

from __future__ import annotations

import pytest
import torch

import unshaken
from unshaken.core.errors import ParameterError
from unshaken.harden.defences.input_transform import InputTransform
from unshaken.models import fingerprint


def test_the_model_is_behind_the_defence():
    data = unshaken.load_data("demo")
    pixels = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    bare = unshaken.load_model("demo:standard")
    guarded = unshaken.load_model("demo:standard?defence=input-transform:kind=gaussian,sigma=0.7")
    wanted = InputTransform(kind="gaussian", sigma=0.7).wrap(bare)(pixels)
    assert torch.allclose(guarded(pixels), wanted)
    assert not torch.allclose(guarded(pixels), bare(pixels), atol=1e-2)
    assert guarded.name == "demo:standard behind input-transform"
    assert guarded.classes == data.classes


def test_a_fingerprint_knows_the_defences_parameters_and_the_file_behind_it(tmp_path):
    def of(spec):
        return fingerprint(unshaken.load_model(spec))

    jpeg = [f"demo?defence=input-transform:quality={q}" for q in (20, 75)]
    assert of(jpeg[0]) == of(jpeg[0]) != of(jpeg[1]) != of("demo")
    file = tmp_path / "net.py"
    code = "import torch\nclass Net(torch.nn.Module):\n def forward(self, x): return x.flatten(1)[:, :2] * {}\n"
    found = []
    for number in (1, 2):
        file.write_text(code.format(number))
        found.append(of(f"py:{file}:Net?defence=input-transform"))
    assert found[0] != found[1]


def test_a_recipe_or_an_unknown_name_is_refused():
    with pytest.raises(ParameterError, match="'at' is not an inference-time defence"):
        unshaken.load_model("demo?defence=at")
    with pytest.raises(ParameterError, match="no method 'input-transfrom': did you mean 'input-transform'"):
        unshaken.load_model("demo?defence=input-transfrom")


def test_an_attack_on_a_defence_shows_naive_beside_adaptive(tmp_path):
    settings = {"eps": 8 / 255, "limit": 40, "out": tmp_path / "run"}
    done = unshaken.attack(
        "demo:standard", "demo", "pgd:steps=10", defence="input-transform:kind=gaussian,sigma=0.7", **settings
    )
    figures = {c["method"]: c["accuracy"]["value"] for c in done.summary["conditions"]}
    assert set(figures) == {"pgd", "transfer"}
    assert done.summary["provenance"]["model_name"].endswith("behind input-transform")
    bare = unshaken.attack("demo:standard", "demo", "pgd:steps=10", eps=8 / 255, limit=40, out=tmp_path / "bare")
    assert figures["transfer"] > bare.summary["conditions"][0]["accuracy"]["value"]  # the guard stops what is naive
    assert figures["pgd"] < figures["transfer"]  # and not what goes through it


def test_gradients_of_a_random_defence_are_averaged(tmp_path):
    done = unshaken.attack(
        "demo:standard",
        "demo",
        "fgsm",
        defence="input-transform:kind=resize-pad",
        eps=0.02,
        limit=10,
        out=tmp_path / "r",
    )
    assert done.run.read_json("run.json")["eot"] == 10


def test_a_model_object_has_its_own_wrap(tmp_path):
    with pytest.raises(ParameterError, match="defence needs a model SPEC"):
        unshaken.attack(unshaken.load_model("demo"), "demo", "fgsm", defence="input-transform", out=tmp_path / "run")
