"""Pools by hand, the gate at its ends, and blocks of three libraries."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.architecture import tap as token_pooling
from unshaken.harden.recipes.architecture.tap import (
    TAP,
    TokenPooling,
    add_token_pooling,
    neighbourhood_mean,
    scale_shares,
)
from unshaken.models.networks.attention import attention_maps
from unshaken.models.networks.small_vit import SmallViT


def vit(channels=1, side=16, classes=3):
    torch.manual_seed(0)
    return Classifier(SmallViT(classes, channels, side)).eval()


def gate_of(pool, values):
    """The predictor says the same everywhere."""
    first, norm, last = pool.predictor
    with torch.no_grad():
        first.weight.zero_()
        norm.bias.fill_(1.0)  # a constant 1 in every channel, at every place
        last.weight.zero_()
        last.weight[:, 0, 1, 1] = torch.tensor(values)


def test_pools_of_a_single_nine():
    nine = torch.zeros(1, 1, 5, 5)
    nine[0, 0, 2, 2] = 9
    one, two, three = (neighbourhood_mean(nine, d)[0, 0] for d in (1, 2, 3))
    block, spread, alone = (torch.zeros(5, 5) for _ in range(3))
    block[1:4, 1:4], spread[::2, ::2], alone[2, 2] = 1, 1, 1
    for found, wanted in ((one, block), (two, spread), (three, alone)):
        assert torch.allclose(found, wanted, atol=1e-6)
    assert torch.equal(neighbourhood_mean(nine, 0), nine)


def test_what_lies_outside_counts_as_nothing():
    ones = torch.ones(1, 2, 4, 4)
    first = neighbourhood_mean(ones, 1)[0, 1]
    assert torch.allclose(first[0], torch.tensor([4.0, 6, 6, 4]) / 9)
    assert torch.allclose(first[1], torch.tensor([6.0, 9, 9, 6]) / 9)
    assert torch.allclose(neighbourhood_mean(ones, 2), torch.full((1, 2, 4, 4), 4 / 9))


@pytest.mark.parametrize("dense", [0, 10_000])
def test_an_even_gate_takes_a_quarter_of_each_pool(dense, monkeypatch):
    monkeypatch.setattr(token_pooling, "DENSE", dense)
    pool = TokenPooling(1).eval()
    gate_of(pool, [0.0, 0, 0, 0])
    nine = torch.zeros(1, 25, 1)
    nine[0, 12] = 9
    assert pool(nine)[0, 12, 0].item() == pytest.approx(3)  # (9 + 1 + 1 + 1) / 4
    assert pool(nine)[0, 6, 0].item() == pytest.approx(0.25)  # in the 3 x 3 block alone
    assert pool(nine)[0, 0, 0].item() == pytest.approx(0.25)  # in the spread pool alone


def test_both_ways_of_pooling_give_the_same_with_a_gate_of_each_token(monkeypatch):
    torch.manual_seed(1)
    pool, tokens = TokenPooling(6, prefix=1, grid=(3, 5)), torch.randn(2, 16, 6, dtype=torch.float64)
    pool = pool.double().eval()
    found = []
    for dense in (0, 10_000):
        monkeypatch.setattr(token_pooling, "DENSE", dense)
        found.append(pool(tokens))
    assert torch.allclose(found[0], found[1], atol=1e-6)
    assert torch.equal(found[0][:, 0], tokens[:, 0])
    grid = tokens[:, 1:].transpose(1, 2).reshape(2, 6, 3, 5)
    gate = pool.predictor(grid).softmax(1)
    assert torch.allclose(gate.sum(1), torch.ones(2, 3, 5, dtype=torch.float64))
    shifted = F.pad(grid, (2, 2, 2, 2))[:, :, 0:3, 4:9]  # up and right by two: one of the nine of D_2
    at = sum(F.pad(grid, (2, 2, 2, 2))[:, :, r : r + 3, c : c + 5] for r in (0, 2, 4) for c in (0, 2, 4)) / 9
    assert shifted.shape == at.shape
    by_hand = gate[:, :1] * grid + gate[:, 2:3] * at
    for d in (1, 3):
        padded = F.pad(grid, (d,) * 4)
        by_hand += (
            gate[:, d : d + 1]
            * sum(padded[:, :, r : r + 3, c : c + 5] for r in (0, d, 2 * d) for c in (0, d, 2 * d))
            / 9
        )
    assert torch.allclose(found[1][:, 1:], by_hand.flatten(2).transpose(1, 2), atol=1e-6)


def test_a_gate_on_the_token_itself_leaves_the_block_as_it_was():
    model = vit()
    images = torch.rand(3, 1, 16, 16)
    plain = model(images)
    pooled = add_token_pooling(copy.deepcopy(model))
    for block in pooled.net.blocks:
        gate_of(block.norm1.pool, [200.0, 0, 0, 0])
    assert torch.equal(pooled.eval()(images), plain)
    for block in pooled.net.blocks:
        gate_of(block.norm1.pool, [0.0, 200, 0, 0])
    assert (pooled(images) - plain).abs().max() > 1e-3


def test_the_residual_path_and_the_perceptron_do_not_see_the_pool():
    model = add_token_pooling(vit())
    block = model.net.blocks[0].eval()
    gate_of(block.norm1.pool, [0.0, 200, 0, 0])
    tokens = torch.randn(2, 17, 64)
    grid = tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    pooled = torch.cat([tokens[:, :1], neighbourhood_mean(grid, 1).flatten(2).transpose(1, 2)], 1)
    after = tokens + block.attn(block.norm1.norm(pooled))
    assert torch.allclose(block(tokens), after + block.mlp(block.norm2(after)), atol=1e-5)


@pytest.mark.parametrize(("width", "count"), [(192, 7064), (384, 13_976), (448, 16_280)])
def test_the_number_of_parameters(width, count):
    assert sum(p.numel() for p in TokenPooling(width).parameters()) == count


def test_the_options_reach_the_gate():
    grid = torch.randn(2, 8, 4, 4)
    plain, cold, own = (TokenPooling(8, **o).eval() for o in ({}, {"temperature": 0.1}, {"identity": 30.0}))
    for other in (cold, own):
        other.load_state_dict(plain.state_dict())
    logits = plain.predictor(grid)
    assert torch.allclose(cold.gate(grid), (logits * 10).softmax(1))
    assert own.gate(grid)[:, 0].min() > 0.999
    assert TokenPooling(8, scales=3).gate(grid).shape == (2, 3, 4, 4)


def test_weights_come_from_the_seed_and_pooling_is_added_once():
    one, same, other = (add_token_pooling(vit(), TAP(seed=s)) for s in (1, 1, 2))
    weight = [m.net.blocks[2].norm1.pool.predictor[0].weight for m in (one, same, other)]
    assert torch.equal(weight[0], weight[1])
    assert not torch.equal(weight[0], weight[2])
    before = [type(m) for m in one.net.modules()]
    assert [type(m) for m in add_token_pooling(one).net.modules()] == before


def test_the_scales_taken():
    model = add_token_pooling(vit())
    for block in model.net.blocks:
        gate_of(block.norm1.pool, [0.0, 0, 0, 200])
    shares = scale_shares(model, torch.rand(2, 1, 16, 16))
    assert torch.allclose(shares, torch.tensor([0.0, 0, 0, 1]).expand(4, 4), atol=1e-6)
    with pytest.raises(ModelError, match="no token-aware pooling"):
        scale_shares(vit(), torch.rand(2, 1, 16, 16))


def test_training_moves_the_gate_and_the_weights_load_again():
    images = torch.randint(0, 256, (48, 1, 16, 16), dtype=torch.uint8)
    labels = torch.arange(48) % 3
    short = Training(epochs=1, batch_size=12, lr=1e-3, optimizer="adamw", select="last")
    fitted = fit(vit(), images, labels, [TAP()], short)
    fresh = add_token_pooling(vit())
    gate = "blocks.0.norm1.pool.predictor.0.weight"
    assert not torch.equal(fitted.last.net.state_dict()[gate], fresh.net.state_dict()[gate])
    fresh.net.load_state_dict(fitted.last.net.state_dict())
    shown = images[:4].float() / 255
    assert torch.allclose(fresh.eval()(shown), Classifier(fitted.last.net)(shown), atol=1e-6)
    assert attention_maps(fitted.last, shown).shape == (4, 4, 4, 17, 17)


def test_blocks_of_timm_and_torchvision():
    timm = pytest.importorskip("timm", reason="timm is an optional package")
    from torchvision.models import VisionTransformer

    deit = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=3, img_size=(32, 48), depth=2)
    assert add_token_pooling(Classifier(deit)).net.blocks[0].norm1.pool.prefix == 2
    assert deit(torch.rand(2, 3, 32, 48)).shape == (2, 3)
    eva = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3)
    add_token_pooling(Classifier(eva))
    assert eva(torch.rand(2, 3, 32, 32)).shape == (2, 3)
    assert len([m for m in eva.modules() if isinstance(m, TokenPooling)]) == 2


def test_what_it_does_not_know_is_said_in_one_line():
    with pytest.raises(ModelError, match="no attention layers"):
        TAP().rebuild(Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))))
    with pytest.raises(ModelError, match="no square grid"):
        TokenPooling(4)(torch.rand(1, 5, 4))
    with pytest.raises(ModelError, match=r"\[N, T, D\]"):
        TokenPooling(4)(torch.rand(1, 5, 5, 4))
    with pytest.raises(ParameterError, match="scales"):
        TAP(scales=0)
    layer = vit().net.blocks[0].attn
    with pytest.raises(ModelError, match="no blocks with a norm before attention"):
        TAP().rebuild(Classifier(nn.Sequential(layer)))
