"""Members of one architecture: fresh weights that follow from the first, and passes counted for each."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.ensemble import ensemble, members_of
from unshaken.harden.engine.members import alike, apart, summed_cross_entropy, with_members
from unshaken.harden.recipes.ensembles.ensemble_at import EnsembleAT

IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def head(member):
    return member.net[-1].weight


def test_the_model_is_the_first_member_and_the_others_are_all_different(net):
    model = net()
    made = members_of(with_members(model, 3))
    assert torch.equal(head(made[0]), head(model))
    assert len({tuple(head(m).flatten()[:5].tolist()) for m in made}) == 3
    again = members_of(with_members(net(), 3))
    assert all(torch.equal(head(a), head(b)) for a, b in zip(made, again, strict=True))
    other = net()
    with torch.no_grad():
        head(other).mul_(2)
    assert not torch.equal(head(members_of(with_members(other, 2))[1]), head(made[1]))


def test_pretrained_members_differ_in_their_last_layer_alone(net):
    first, second = members_of(with_members(net(), 2, pretrained=True))
    assert torch.equal(first.net[0].weight, second.net[0].weight)
    assert not torch.equal(head(first), head(second))


def test_an_ensemble_stays_as_it_is_and_one_member_is_too_few(net, step_of):
    both = with_members(net(), 2)
    assert with_members(both, 5) is both
    assert len(members_of(with_members(net(), 4))) == 4
    alone = step_of(ensemble([net()]), IMAGES, torch.arange(4))
    with pytest.raises(ParameterError, match="an ensemble of 1 member has no diversity"):
        EnsembleAT().begin(type("Setup", (), {"model": alone.classifier})())
    EnsembleAT().begin(type("Setup", (), {"model": both})())


def test_a_pass_is_counted_for_each_member(net, step_of):
    """The loop counts as many as it is handed: three members; the other nine of 3 x 4 images are counted here."""
    model = with_members(net(), 3).eval()
    step = step_of(model, IMAGES, torch.arange(4))
    with torch.no_grad():
        logits = alike(step, IMAGES)
    assert (step.inner.meter.forwards, step.inner.meter.backwards) == (9, 0)
    shown = torch.stack([IMAGES, IMAGES + 0.1, IMAGES * 0.5])
    found = apart(step, shown)
    assert (step.inner.meter.forwards, step.inner.meter.backwards) == (18, 9)
    for i, member in enumerate(members_of(model)):
        assert torch.allclose(logits[i], member(IMAGES), atol=1e-5)
        assert torch.allclose(found[i], member(shown[i]), atol=1e-5)
    total = sum(torch.nn.functional.cross_entropy(z, step.labels) for z in found)
    assert torch.allclose(summed_cross_entropy(found, step.labels), total)
