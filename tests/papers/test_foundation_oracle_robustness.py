"""The row on oracle-bounded robustness: its rule both ways, its probes, and figures against rows."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken import load_model
from unshaken.attack.semantic._search_space import space_of
from unshaken.core.errors import DataError
from unshaken.core.rng import SampleRng
from unshaken.generate.auto_encoder import AutoEncoder
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.store.run_dir import RunDir
from unshaken_papers.foundation_oracle_robustness import RECIPES, FoundationOraclePaper
from unshaken_papers.foundation_oracle_robustness.codes import AutoEncoderCodes
from unshaken_papers.foundation_oracle_robustness.experiment import shares
from unshaken_papers.foundation_oracle_robustness.oracles import Oracles, with_head

TINY = Tiny(
    make=make_tints,
    model=lambda folder: "strided-cnn",
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


MEASURED = {
    "lost": {name: figure(0.5) for name in RECIPES}, "separates": figure(0.15), "constraint": figure(0.2),
    "diagonal": figure(0.1),
}  # fmt: skip


def outcomes(measured):
    paper = FoundationOraclePaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown():
    tried = dict.fromkeys(("lost", "separates", "constraint", "diagonal"), "shown")
    assert outcomes(MEASURED) == {**tried, "transformers": "not tried", "generator": "not tried"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed"),
    [
        *((("lost", name), 0.105, -0.05) for name in RECIPES),
        (("separates",), 0.005, -0.05),
        (("constraint",), 0.005, -0.05),
        (("diagonal",), 0.005, -0.05),
    ],
)
def test_one_figure_decides_a_part(path, hidden, opposed):
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        measured = place = copy.deepcopy(MEASURED)
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = figure(value)
        assert outcomes(measured)[path[0]] == outcome


def test_no_image_teaches_two():
    data = Split.of(torch.arange(100).view(100, 1, 1, 1).byte(), torch.arange(100) % 2)
    parts = shares(data, FoundationOraclePaper(images=40, probed=30), 0)
    assert [len(p) for p in parts] == [40, 30, 30]
    assert len(set().union(*(p.ids for p in parts))) == 100
    with pytest.raises(DataError, match="too few"):
        shares(data.first(2), FoundationOraclePaper(), 0)


def test_a_probe_takes_the_place_of_the_head():
    """Twice the head's own weights: twice the logits, from images of any size and in colour."""
    demo = load_model("demo")
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    head, layer = [(n, m) for n, m in demo.net.named_modules() if isinstance(m, torch.nn.Linear)][-1]
    twice = {"weight": 2 * layer.weight.detach(), "bias": 2 * layer.bias.detach()}
    probe = with_head(demo, head, twice, images, "probe")
    with torch.no_grad():
        assert torch.allclose(probe(images), 2 * demo(images), atol=1e-3)
        assert probe(torch.rand(2, 3, 12, 12)).shape == (2, 10)


def test_a_committee_knows_what_its_mean_says(make_committee):
    oracles = make_committee([[0.9, 0.1], [0.4, 0.6]])
    assert oracles.knows(torch.zeros(1, 1, 2, 2), torch.tensor([0])).tolist() == [True]
    assert oracles.knows(torch.zeros(1, 1, 2, 2), torch.tensor([1])).tolist() == [False]


@pytest.fixture
def make_committee():
    def make(probabilities):
        return Oracles([lambda x, p=p: torch.tensor([p]).log().expand(len(x), -1) for p in probabilities], None)

    return make


def test_figures_are_those_of_the_rows(finished):
    run = finished("foundation-oracle-robustness")
    measured, store = run.result.measured, RunDir(run.out)

    def table(name, label, column):
        rows = store.rows(name, condition=label).sort_by("id")
        return np.array(rows[column].to_pylist())

    nets = [f"seed{s}.{net}" for s in (0, 1) for net in RECIPES]
    known = table("oracle_bounded", f"{nets[0]}.bounded", "validated")
    assert measured["validated"]["value"] == known.mean()
    for net in RECIPES:
        clean, bounded = (
            np.mean([table("outcomes", f"seed{s}.{net}.{kind}", "correct") for s in (0, 1)], 0)[known].mean()
            for kind in ("clean", "bounded")
        )
        assert measured[f"fmr.{net}"]["value"] == pytest.approx(bounded / clean)
        assert measured[f"lost.{net}"]["value"] == pytest.approx(1 - bounded / clean)
    gain = measured["fmr.adversarial"]["value"] - measured["fmr.plain"]["value"]
    assert measured["separates"]["value"] == pytest.approx(gain)
    bounded, free = measured["agreement.bounded"]["value"], measured["agreement.free"]["value"]
    assert measured["constraint"]["value"] == pytest.approx(bounded - free)
    stops = {s for net in nets for s in table("oracle_bounded", f"{net}.free", "stop")}
    assert stops <= {"budget", "misclassified"}


SHAPE = (1, 8, 8)


def made_images(n=3):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2


def test_an_auto_encoder_codes_row_after_row():
    net = AutoEncoder(0, channels=1, widths=(6,), code=4).eval()
    model = AutoEncoderCodes(net, SHAPE)
    assert model.latents == 4 * 2 * 2
    codes = model.encode(made_images())
    assert codes.shape == (3, 16)
    assert torch.allclose(model.generate(codes), net(made_images()), atol=1e-6)


def test_gradients_reach_codes_and_samples_stand_alone():
    space = space_of(AutoEncoderCodes(AutoEncoder(0, channels=1, widths=(6,), code=4), SHAPE), "m", 0.2)
    rng = SampleRng.of(0, "t", ["s0", "s1", "s2"])
    codes = space.start(made_images(), rng)
    alone = space.start(made_images()[1:2], rng[torch.tensor([1])])
    assert torch.allclose(alone, codes[1:2], atol=1e-5)
    z = codes.detach().requires_grad_(True)
    made = space.render(z, made_images())
    assert made.shape == (3, *SHAPE)
    low, high = (float(v) for v in torch.aminmax(made.detach()))
    assert 0 <= low <= high <= 1
    (slope,) = torch.autograd.grad((made * (torch.arange(64.0).view(SHAPE) - 20)).sum(), z)
    assert bool((slope.flatten(1).abs().amax(1) > 0).all())
