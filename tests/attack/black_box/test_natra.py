"""NaTra against a linear classifier and a linear generator, whose worst edit is known by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.attack.black_box.natra import NaTra
from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.core import Answer, Batch, Classifier, Oracle, SampleRng
from unshaken.core.errors import ModelError, ParameterError
from unshaken.generate import save
from unshaken.generate.latent.adapters import LinearGenerator
from unshaken.generate.latent.natural_edits import NaturalEdits
from unshaken.generate.latent.vae import VAESettings

A, SIGMA = 1.5, torch.tensor([0.08, 0.12, 0.04])
V = torch.tensor([1.0, -2.0, 0.5, 3.0])


class Plane(nn.Module):
    """Logits 0 and `v.(x - 1/2)`, times a strength: with label 1 the margin is `strength * v.(x - 1/2)`."""

    def __init__(self, strength=1.0):
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(strength))

    def forward(self, x):
        score = self.strength * ((x.flatten(1) - 0.5) @ V)
        return torch.stack([torch.zeros_like(score), score], 1)


@pytest.fixture
def edits():
    weight = torch.linalg.qr(torch.randn(4, 3, generator=torch.Generator().manual_seed(0))).Q
    return NaturalEdits(LinearGenerator(weight, torch.zeros(4), (1, 2, 2)), torch.eye(3), SIGMA)


@pytest.fixture
def batch():
    """Eight images with a margin of 1, which no edit of these sizes takes."""
    x = torch.rand(8, 4, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4
    x = x + ((1 - (x - 0.5) @ V) / V.square().sum())[:, None] * V
    return Batch(x.view(8, 1, 2, 2), torch.ones(8, dtype=torch.int64), tuple("abcdefgh"))


def worst_fall(edits):
    """`A sum_j sigma_j |v.(W n_j)|`."""
    return float(A * (SIGMA * (V @ edits.generator.weight).abs()).sum())


def fall(attack, edits, batch, seed=0):
    """By how much the margin falls at the edit where the search ends, `[N]`."""
    (found,), _ = attack.with_edits(edits).attack(Oracle(Classifier(Plane()).eval()), batch, seed=seed)
    assert not found.fooled.any()
    return (batch.images - found.images).flatten(1) @ V


@pytest.mark.parametrize("search", ["coordinates", "gradient"])
def test_the_worst_edit_of_a_linear_margin_is_a_corner_of_the_box(search, edits, batch):
    found = fall(NaTra(search=search, amplitude=A), edits, batch)
    torch.testing.assert_close(found, torch.full((8,), worst_fall(edits)), atol=1e-5, rtol=0)


def test_random_edits_never_fall_further_and_come_near_as_there_are_more(edits, batch):
    falls = [fall(NaTra(draws=c, amplitude=A), edits, batch) for c in (1, 4, 400)]
    assert bool((falls[0] <= falls[1]).all() and (falls[1] <= falls[2]).all())  # nested candidates
    assert bool((falls[0] >= 0).all())  # the image itself is one
    assert float(falls[2].max()) <= worst_fall(edits) + 1e-6
    assert float(falls[2].min()) > 0.6 * worst_fall(edits) > 1.2 * float(falls[0].mean())


def test_what_is_found_is_counted_once_and_is_no_further_than_the_amplitude(edits, batch):
    near = batch.with_images(batch.images - 0.95 / V.square().sum() * V.view(1, 1, 2, 2))  # a margin of 0.05
    (found,), _ = NaTra(draws=30, amplitude=A).with_edits(edits).attack(Oracle(Classifier(Plane()).eval()), near)
    assert worst_fall(edits) > 0.1
    assert found.fooled.all()
    amounts = (found.images - near.images).flatten(1) @ edits.generator.weight / SIGMA
    assert float(amounts.abs().max()) <= A + 1e-3
    assert bool((found.forwards <= 33).all())


def test_directions_that_nobody_filtered_are_flagged(batch, edits):
    oracle = Oracle(Classifier(Plane()).eval())
    assert [f.name for f in NaTra().attack(oracle, batch)[1]] == ["unfiltered-directions"]
    assert NaTra().with_edits(edits).attack(oracle, batch)[1] == []


def test_a_targeted_search_moves_towards_the_target(edits, batch):
    goal = torch.zeros(8, dtype=torch.int64)
    near = batch.with_images(batch.images - 0.95 / V.square().sum() * V.view(1, 1, 2, 2))
    oracle = Oracle(Classifier(Plane()).eval())
    (found,), _ = NaTra(search="coordinates").with_edits(edits).attack(oracle, near, targets=goal)
    assert found.fooled.all()


class OneClass(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :1]


def test_wrong_models_and_generators_are_told_in_one_line(edits, batch, tmp_path):
    zeros = Batch(batch.images, torch.zeros(8, dtype=torch.int64), batch.ids)
    with pytest.raises(ParameterError, match="natra: the model has one class, which no edit changes"):
        NaTra().attack(Oracle(Classifier(OneClass()).eval()), zeros)
    black_box = Oracle(Classifier(Plane(), differentiable=False).eval())
    with pytest.raises(ParameterError, match="search=gradient needs a model with gradients: use search=candidates"):
        NaTra(search="gradient").attack(black_box, batch)
    place = tmp_path / "vae.st"
    save(VAESettings(latents=2, width=4).build((3, 8, 8), 0), place)
    with pytest.raises(ModelError, match=r"vae is for images of 3x8x8 .*, not 1x2x2: use one"):
        NaTra(generator=str(place)).attack(black_box, batch)
    with pytest.raises(ParameterError, match="loaded by attack"):
        NaTra().start(None, None)


def test_files_that_are_named_belong_to_the_run():
    assert NaTra(generator="vae.st", directions="d.st").further_files == ("vae.st", "d.st")
    assert NaTra(generator="diffusers:ddpm").further_files == ("ddpm",)
    assert NaTra(generator="py:gan.py:make").further_files == NaTra().further_files == ()


@pytest.mark.parametrize(("steps", "share"), [(1, 1 / 3), (2, 2 / 3), (4, 1.0)])
def test_a_gradient_step_is_a_third_of_the_amplitude(steps, share, edits, batch):
    found = fall(NaTra(search="gradient", steps=steps, amplitude=A), edits, batch)
    torch.testing.assert_close(found, torch.full((8,), share * worst_fall(edits)), atol=1e-5, rtol=0)


def test_the_cost_is_that_of_the_edits_tried(edits, batch):
    costs = {"candidates": (10, 0), "coordinates": (12, 0), "gradient": (6, 6)}
    for search, cost in costs.items():
        attack = NaTra(search=search, rounds=2).with_edits(edits)
        assert attack.cost(2) == cost
        (found,), _ = attack.attack(Oracle(Classifier(Plane()).eval()), batch)
        assert found.forwards.tolist() == [cost[0] + 1] * 8  # and a last pass
        assert found.backwards.tolist() == [cost[1]] * 8
    assert NaTra(search="coordinates").cost(2) == (16, 0)  # eight directions before they are loaded


def test_each_direction_is_tried_at_both_its_ends_in_turn(edits, batch):
    attack = NaTra(search="coordinates", amplitude=A).with_edits(edits)
    clean = batch.images[:1]
    problem = Problem(Ball.of(clean, torch.ones(1), "linf"), torch.ones(1, dtype=torch.int64), False, torch.eye(2)[1:])
    state = attack.start(problem, SampleRng.of(0, "natra", ["a"]))
    tried = []
    for _ in range(6):
        tried.append(state.amounts[0].tolist())
        state = attack.tell(state, Answer(logits=torch.tensor([[-99.0, 99.0]])))  # never better
    assert tried == [[-A, 0, 0], [A, 0, 0], [0, -A, 0], [0, A, 0], [0, 0, -A], [0, 0, A]]
    assert attack.done(state).tolist() == [True]
