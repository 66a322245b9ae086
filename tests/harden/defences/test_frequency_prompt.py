"""Prompts of nothing, prompts by hand, selection, and training on images whose class is a frequency."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.classifier import View
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.registry import find_method
from unshaken.core.search_copy import search_copy
from unshaken.harden.defences._prompts import TENSORS, Prompts, default_radius, pattern, within
from unshaken.harden.defences.frequency_prompt import FrequencyPrompt, guarded, k_means, selection_features
from unshaken.harden.engine.adaptive import against
from unshaken.harden.engine.defence import GuardedModel
from unshaken.measure.robustness.frequency import energy_inside
from unshaken.models import load_model, save_model
from unshaken.models.networks.small import SmallNet
from unshaken.stress.engine.filters import low_pass

FORMS = ("additive", "multiplicative", "amplitude", "spatial", "replace")


def net(side=16, channels=1, classes=3):
    torch.manual_seed(0)
    model = Classifier(SmallNet(classes, channels, side), mean=[0.4] * channels, std=[0.3] * channels).eval()
    with torch.no_grad():
        model(torch.rand(8, channels, side, side))
    return model


def prompts(clusters=3, side=16, channels=1, form="additive", scale=2.0, **other):
    draw = torch.Generator().manual_seed(1)
    last = (side,) if form == "spatial" else (side // 2 + 1, 2)
    fields = {
        "prototypes": torch.rand(clusters, channels * (side // 4) ** 2, generator=draw),
        "spectra": scale * torch.randn(clusters, channels, side, *last, generator=draw),
        "width": side,
        "pool": 4,
        "form": form,
        "norm": "linf",
        "layer": "",
        "radius": 2.0,
        "budget": 0.1,
        "spread": 0.05,
        "purity": torch.ones(clusters),
        "commonest": torch.zeros(clusters, dtype=torch.int64),
        "counts": torch.ones(clusters),
    }
    return Prompts(**(fields | other))


def images(n=6, side=16, channels=1):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nothing", ["prompt", "budget", "radius"])
def test_nothing_changes_nothing(form, nothing):
    given = {"prompt": {"scale": 0.0}, "budget": {"budget": 0.0}, "radius": {"radius": 11.4}}[nothing]
    own, x = prompts(form=form, **given), images()
    if form == "spatial":  # a pattern of pixels knows no radius
        own = replace(own, budget=0.0)
    model = net()
    for gradient in ("exact", "selection", "selection+clip"):
        guard = guarded(model, own, gradient=gradient)
        if form == "replace":
            assert torch.allclose(guard.net.shown(x), low_pass(x, own.radius).clamp(0, 1), atol=1e-6)
        else:
            assert torch.equal(guard.net.shown(x), x)
            assert torch.equal(guard(x), model(x))


def test_all_threat_models_coincide_with_no_defence_for_prompts_of_nothing():
    model, batch = net(), Batch(images(), torch.tensor([0, 1, 2, 0, 1, 2]), tuple("abcdef"))
    attack = PGD(steps=3, rel_stepsize=0.5)
    (plain,), _ = attack.attack(Oracle(model), batch, norm="linf", eps=[0.05])
    for fixed in (None, 1):
        guard = guarded(model, prompts(scale=0.0), fixed=fixed)
        (found,), _ = attack.attack(Oracle(guard), batch, norm="linf", eps=[0.05])
        assert torch.equal(found.images, plain.images)
        assert torch.equal(guard(plain.images), model(plain.images))


@pytest.mark.parametrize("side", [16, 15])
def test_a_pattern_is_real_without_a_mean_and_beyond_the_radius(side):
    spectra = torch.randn(2, 3, side, side // 2 + 1, 2, generator=torch.Generator().manual_seed(0))
    delta = pattern(spectra, 4.0, side)
    assert delta.shape == (2, 3, side, side)
    assert delta.mean((2, 3)).abs().max() < 1e-7
    assert low_pass(delta, 4.0).abs().max() < 1e-6
    assert energy_inside(delta, 4.0).max() < 1e-10
    beyond = pattern(spectra, side * 0.7072, side)
    assert beyond.abs().max() == 0


def test_a_pattern_by_hand_and_what_the_inverse_ignores():
    spectra = torch.zeros(1, 1, 8, 5, 2)
    spectra[0, 0, 0, 2, 0] = 64  # its mirror is understood: 2 cos(2 pi 2 n / 8)
    wave = torch.tensor([2.0, 0, -2, 0, 2, 0, -2, 0])
    assert torch.allclose(pattern(spectra, 1.0, 8)[0, 0], wave.expand(8, 8), atol=1e-5)
    spectra = torch.zeros(1, 1, 8, 5, 2)
    spectra[0, 0, 2, 0] = torch.tensor([32.0, 0])  # in column 0 a bin and its mirror share one real wave
    energy = pattern(spectra, 1.0, 8).square().sum()
    assert energy.item() == pytest.approx(0.5 * 32**2 / 64, rel=1e-4)


def test_budgets():
    change = torch.tensor([[[[3.0, -4.0]]], [[[0.1, 0.0]]]])
    assert within(change, 0.5, "linf").flatten().tolist() == pytest.approx([0.5, -0.5, 0.1, 0.0])
    assert within(change, 1.0, "l2").flatten().tolist() == pytest.approx([0.6, -0.8, 0.1, 0.0])


def test_forms_by_hand():
    x = 0.4 + 0.2 * images(1)
    same = {"clusters": 1, "radius": 2.0, "budget": 9.0}
    ones = torch.zeros(1, 1, 16, 9, 2)
    ones[..., 0] = 1
    high = x - low_pass(x, 2.0)
    for form in ("multiplicative", "amplitude"):
        shown = guarded(net(), prompts(form=form, spectra=ones, **same)).net.shown(x)
        assert torch.allclose(shown, (x + high).clamp(0, 1), atol=1e-6)  # spectrum times 1 + 1 beyond the radius
    turned = ones.flip(-1)  # P = i
    shown = guarded(net(), prompts(form="amplitude", spectra=turned, **same)).net.shown(x)
    assert torch.equal(shown, x)
    own = prompts(form="replace", **same)
    shown = guarded(net(), own).net.shown(x)
    assert torch.allclose(shown, (low_pass(x, 2.0) + own.table()[0]).clamp(0, 1), atol=1e-6)
    own = prompts(form="spatial", scale=0.1, **same)
    assert torch.allclose(guarded(net(), own).net.shown(x), (x + own.spectra[0]).clamp(0, 1), atol=1e-6)


def test_the_nearest_prototype_is_taken_and_its_prompt():
    own, x = prompts(), images()
    guard = guarded(net(), own)
    features = selection_features(guard, x, 4)
    assert features.shape == (6, 16)
    assert features[0, 1].item() == pytest.approx(x[0, 0, :4, 4:8].mean().item(), abs=1e-6)
    nearest = torch.cdist(features, own.prototypes).argmin(1)
    assert torch.equal(guard.net.select(x), nearest)
    by_hand = (x + own.table()[nearest]).clamp(0, 1)
    for gradient in ("exact", "selection", "selection+clip"):
        assert torch.allclose(guarded(net(), own, gradient=gradient).net.shown(x), by_hand, atol=1e-7)
    assert torch.allclose(guarded(net(), own, fixed=2).net.shown(x), (x + own.table()[2]).clamp(0, 1))


def test_one_cluster_is_constant_and_order_means_nothing():
    assert guarded(net(), prompts(clusters=1)).net.select(images()).unique().tolist() == [0]
    own, x = prompts(), images()
    other = replace(own, **{name: getattr(own, name)[[2, 0, 1]] for name in TENSORS})
    assert torch.equal(guarded(net(), own)(x), guarded(net(), other)(x))


def test_k_means_is_deterministic_and_finds_what_is_apart():
    draw = torch.Generator().manual_seed(0)
    rows = torch.cat([torch.randn(30, 2, generator=draw) * 0.01 + torch.tensor(at) for at in ([0, 0], [1, 0], [0, 1])])
    centres, chosen = k_means(rows, 3, 0)
    assert sorted(torch.bincount(chosen).tolist()) == [30, 30, 30]
    assert [len(chosen[i : i + 30].unique()) for i in (0, 30, 60)] == [1, 1, 1]
    assert torch.equal(centres, k_means(rows, 3, 0)[0])
    assert torch.allclose(centres[chosen[0]], rows[:30].mean(0), atol=1e-5)
    assert torch.allclose(k_means(rows, 1, 0)[0][0], rows.mean(0), atol=1e-6)
    with pytest.raises(ParameterError, match="came out empty"):
        k_means(torch.zeros(5, 2), 3, 0)


def test_gradients_of_the_three_kinds():
    own, x = prompts(), images(2)
    x[:, :, :8] = 0.999  # near the wall: the clip cuts gradients there
    grads = {}
    for gradient in ("exact", "selection", "selection+clip"):
        at = x.clone().requires_grad_()
        (grads[gradient],) = torch.autograd.grad(guarded(net(), own, gradient=gradient)(at)[:, 0].sum(), at)
    assert all(torch.isfinite(g).all() for g in grads.values())
    shown = guarded(net(), own).net.shown(x)
    cut = (shown == 1) | (shown == 0)
    assert bool(cut.any())
    assert grads["exact"][cut].abs().max() == 0
    assert grads["selection+clip"][cut].abs().max() > 0
    assert not torch.allclose(grads["exact"], grads["selection"])
    # the soft selection's gradient, by hand, for a function of the shown images that is linear
    at = (0.3 + 0.4 * images(1)).requires_grad_()
    guard = guarded(net(), own)
    weigh = images(1).flip(2)
    (found,) = torch.autograd.grad((guard.net.shown(at) * weigh).sum(), at)
    again = at.detach().clone().requires_grad_()
    away = (selection_features(guard, again, 4)[:, None] - own.prototypes).square().sum(2)
    soft = (-away / own.spread).softmax(1)
    (by_hand,) = torch.autograd.grad(((again + torch.einsum("nk,kchw->nchw", soft, own.table())) * weigh).sum(), again)
    assert torch.allclose(found, by_hand, atol=1e-5)


def test_controls():
    own = prompts(clusters=4)
    other = own.shuffled()
    assert torch.equal(own.prototypes, other.prototypes)
    assert all(not torch.equal(a, b) for a, b in zip(own.spectra, other.spectra, strict=True))
    assert sorted(own.spectra.sum((1, 2, 3, 4)).tolist()) == sorted(other.spectra.sum((1, 2, 3, 4)).tolist())
    drawn = own.random()
    sizes = [p.table().abs().flatten(1).mean(1) for p in (own, drawn)]
    assert torch.allclose(sizes[0], sizes[1], rtol=0.02)
    assert energy_inside(pattern(drawn.spectra, 2.0, 16), 2.0).max() < 1e-9
    with pytest.raises(ParameterError, match="one cluster"):
        prompts(clusters=1).shuffled()


def world(n=240):
    """Two classes told apart by a faint fine stripe; brightness, which selects, says nothing."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    bright = torch.randint(70, 180, (n, 1, 1, 1), generator=draw).float()
    noise = 12 * torch.randn(n, 1, 16, 16, generator=draw)
    stripe = torch.cos(torch.pi * torch.arange(16.0))[None, None, None].expand(1, 1, 16, 16)
    shown = bright + noise + 10 * (2 * labels - 1).view(-1, 1, 1, 1) * stripe
    return shown.round().clamp(0, 255).to(torch.uint8), labels


class Stripes(nn.Module):
    """Logits from the stripe's strength, and a bias for class 0."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(20.0))

    def forward(self, x):
        stripe = torch.cos(torch.pi * torch.arange(16.0))
        score = self.weight * (x * stripe).mean((1, 2, 3))
        return torch.stack([torch.zeros_like(score) + 0.8, score], 1)


def test_fitted_prompts_lower_the_loss_and_reload(tmp_path):
    x, y = world()
    model = Classifier(Stripes(), name="stripes")
    shown = x.float() / 255
    loss = nn.functional.cross_entropy
    before = loss(model(shown), y).item()
    found = FrequencyPrompt(clusters=3, epochs=4, batch_size=40, lr=0.3).fit(model, x, y, seed=1)
    guard = guarded(model, found)
    assert loss(guard(shown), y).item() < 0.9 * before
    assert model.net.weight.requires_grad
    assert found.radius == 2.0
    assert found.counts.sum().item() == 240
    assert found.purity.min() >= 0.5
    chosen = guard.net.select(shown)
    votes = torch.stack([torch.bincount(y[chosen == k], minlength=2) for k in range(3)])
    assert torch.equal(votes.sum(1).float(), found.counts)
    assert torch.equal(votes.amax(1) / votes.sum(1), found.purity)
    assert torch.equal(votes.gather(1, found.commonest[:, None])[:, 0], votes.amax(1))
    path = found.save(tmp_path / "prompts.safetensors")
    wrapped = FrequencyPrompt(file=str(path)).wrap(model)
    assert torch.equal(wrapped(shown), guard(shown))
    assert not wrapped.training
    assert wrapped.net.model.net.weight is model.net.weight
    again = FrequencyPrompt(clusters=3, epochs=4, batch_size=40, lr=0.3).fit(model, x, y, seed=1)
    assert torch.equal(again.spectra, found.spectra)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_can_be_fitted(form):
    x, y = world(80)
    found = FrequencyPrompt(clusters=2, epochs=1, batch_size=40, form=form, norm="l2", budget=1.0).fit(net(), x, y)
    assert found.spectra.abs().max() > 0
    assert torch.isfinite(guarded(net(), found)(x[:4].float() / 255)).all()


def test_labels_of_the_models_own_and_features_of_a_layer():
    x, _ = world(80)
    model = net()
    own = model(x.float() / 255).argmax(1)
    settings = FrequencyPrompt(clusters=2, epochs=1, batch_size=40, layer="body.1")
    one, other = settings.fit(model, x), settings.fit(model, x, own)
    assert torch.equal(one.spectra, other.spectra)
    assert one.prototypes.shape == (2, 32)
    features = selection_features(model, x.float() / 255, 0, "body.1")
    assert torch.allclose(features.norm(dim=1), torch.ones(80), atol=1e-5)
    assert guarded(model, one)(x[:5].float() / 255).shape == (5, 3)


def test_the_guard_can_be_copied_for_searches():
    model, x = net(), images(2)
    guard = guarded(model, prompts())
    quick = search_copy(guard, x)
    assert isinstance(quick, Classifier)
    assert not [m for m in quick.modules() if isinstance(m, nn.BatchNorm2d)]
    with pytest.raises(ModelError, match=r"images of \(1, 16, 16\), not \(1, 12, 16\)"):
        guard(torch.rand(2, 1, 12, 16))


def test_it_is_a_defence_of_a_spec_and_can_be_judged_by_both_figures(tmp_path):
    torch.manual_seed(0)
    save_model(Classifier(SmallNet(3, 1, 16)), tmp_path / "net", arch="small")
    prompts(scale=8.0).save(tmp_path / "p.safetensors")
    guard = load_model(f"run:{tmp_path}/net?defence=frequency-prompt:file={tmp_path}/p.safetensors")
    bare = load_model(f"run:{tmp_path}/net")
    assert isinstance(guard, GuardedModel)
    assert "frequency-prompt" in guard.name
    x = images(12)
    assert not torch.allclose(guard(x), bare(x))
    assert set(guard.surrogates()) == {"selection+clip"}
    batch = Batch(x, guard(x).argmax(1), tuple("abcdefghijkl"))
    found = against(guard, None, batch, PGD(steps=5, rel_stepsize=0.5), eps=0.1)
    assert found.accuracy(found.adaptive).value <= found.accuracy(found.naive).value


def test_bad_input(tmp_path):
    model, (x, y) = net(), world(40)
    with pytest.raises(ParameterError, match="names no prompts"):
        FrequencyPrompt().wrap(model)
    with pytest.raises(DataError, match="cannot be read"):
        FrequencyPrompt(file=str(tmp_path / "none")).wrap(model)
    (tmp_path / "text").write_text("no tensors at all, only words")
    with pytest.raises(DataError, match="cannot be read"):
        Prompts.load(tmp_path / "text")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(DataError, match="holds no frequency prompts"):
        Prompts.load(tmp_path / "other")
    with pytest.raises(ParameterError, match="cannot make clusters=41"):
        FrequencyPrompt(clusters=41).fit(model, x, y)
    with pytest.raises(ParameterError, match="fixed=3 is no cluster"):
        guarded(model, prompts(), fixed=3)
    with pytest.raises(ParameterError, match="gradient='none'"):
        guarded(model, prompts(), gradient="none")
    with pytest.raises(ParameterError, match="budget"):
        FrequencyPrompt(budget=-0.1)
    sized = net()
    sized.view = View(12, 12, channels=1)
    with pytest.raises(ModelError, match=r"takes images of \(12, 12\)"):
        guarded(sized, prompts())
    blind = net()
    blind.differentiable = False
    with pytest.raises(ModelError, match="no gradients"):
        FrequencyPrompt().fit(blind, x, y)


def test_defaults():
    assert [default_radius(h) for h in (224, 32, 28)] == [28.0, 4.0, 3.5]
    method = find_method("frequency-prompt", "harden")
    assert method.cls is FrequencyPrompt
    assert replace(prompts(), radius=1.0).shape == (1, 16, 16)
