"""Attention: temperatures by hand, the same maps as the layers themselves give, rollout by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken.core.classifier import INPUT, Classifier, evaluating
from unshaken.core.errors import ModelError, ParameterError
from unshaken.models.networks.attention import (
    attention_layers,
    attention_maps,
    attention_names,
    attention_to,
    rollout,
    smoothed,
    token_side,
)
from unshaken.models.networks.attention import attention_of as layer_attention
from unshaken.models.networks.small import SmallCNN
from unshaken.models.networks.small_vit import SelfAttention, SmallViT


def drawn(make):
    """A net with weights from a seed, larger than at the start so that attention is not flat."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = make()
        with torch.no_grad():
            for name, p in net.named_parameters():
                if p.ndim == 2 and any(part in name for part in ("qkv", "in_proj", "query", "key")):
                    p.mul_(4)
    return Classifier(net, name="net").eval()


@pytest.fixture(scope="module")
def vit():
    return drawn(lambda: SmallViT(classes=5))


@pytest.fixture
def photos():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class OneQuery(nn.Module):
    """Attention with one head whose queries are the first number of a token and whose keys are the second."""

    def __init__(self, tokens):
        super().__init__()
        self.attn, self.tokens = SelfAttention(2, 1), tokens
        with torch.no_grad():
            for p in self.attn.parameters():
                p.zero_()
            self.attn.qkv.weight[0, 0] = self.attn.qkv.weight[2, 1] = 1

    def forward(self, images):
        return self.attn(self.tokens.expand(len(images), -1, -1)).mean(1)


def attention_of(logits, temperature):
    """The attention of a token to others, for attention logits made by hand."""
    keys = torch.tensor(logits) * math.sqrt(2)
    tokens = torch.stack([torch.ones_like(keys), keys], 1)[None]
    model = smoothed(Classifier(OneQuery(tokens)).eval(), temperature)
    maps = attention_maps(model, torch.zeros(1, 1, 1, 1))
    assert maps.shape == (1, 1, 1, len(logits), len(logits))
    return maps[0, 0, 0, 0]


@pytest.mark.parametrize(("temperature", "share"), [(1, 0.870049), (2, 0.599021), (4, 0.413719), (1e6, 0.25)])
def test_temperature_flattens_the_softmax(temperature, share):
    assert float(attention_of([4.0, 1.0, 1.0, 1.0], temperature).max()) == pytest.approx(share, abs=2e-6)


@pytest.mark.parametrize(("temperature", "share"), [(1, 0.217871), (2, 0.036330), (4, 0.013679)])
def test_one_token_ahead_of_196(temperature, share):
    assert float(attention_of([4.0, *[0.0] * 196], temperature)[0]) == pytest.approx(share, abs=2e-6)


@pytest.mark.parametrize("temperature", [1.0, 1.5, 3.0])
def test_capture_of_half_the_attention_needs_t_times_the_log_of_the_others(temperature):
    gap = temperature * math.log(196)
    assert math.log(196) == pytest.approx(5.278, abs=5e-4)
    assert float(attention_of([gap, *[0.0] * 196], temperature)[0]) == pytest.approx(0.5, abs=1e-5)


def test_one_leaves_the_model_as_it_is_to_the_bit(vit, photos):
    assert torch.equal(smoothed(vit, 1)(photos), vit(photos))
    before = {k: v.clone() for k, v in vit.state_dict().items()}
    two = smoothed(vit, 2)
    assert all(torch.equal(v, before[k]) for k, v in vit.state_dict().items())
    assert not torch.allclose(two(photos), vit(photos), atol=1e-3)
    assert (two.name, two.training) == ("net at T = 2", False)


def by_hand(net, x, temperature):
    """A forward pass of the small ViT with the temperature on the attention logits, from the formulas."""
    tokens = net.embed(x).flatten(2).transpose(1, 2)
    tokens = torch.cat([net.class_token.expand(len(x), -1, -1), tokens], 1) + net.position
    maps = []
    for block in net.blocks:
        inner, heads = block.norm1(tokens), []
        width = inner.shape[-1]
        projected = inner @ block.attn.qkv.weight.T + block.attn.qkv.bias
        q, k, v = projected[..., :width], projected[..., width : 2 * width], projected[..., 2 * width :]
        rows = []
        for h in range(4):
            one = slice(16 * h, 16 * h + 16)
            row = (q[..., one] @ k[..., one].transpose(1, 2) / (temperature * 4)).softmax(-1)
            rows.append(row)
            heads.append(row @ v[..., one])
        maps.append(torch.stack(rows, 1))
        tokens = tokens + block.attn.proj(torch.cat(heads, -1))
        tokens = tokens + block.mlp(block.norm2(tokens))
    return net.head(net.norm(tokens[:, 0])), torch.stack(maps)


@pytest.mark.parametrize("temperature", [1.0, 1.5, 3.0])
def test_dividing_queries_is_dividing_logits(vit, photos, temperature):
    with torch.no_grad():
        logits, maps = by_hand(vit.net, photos, temperature)
    model = smoothed(vit, temperature)
    assert torch.allclose(model(photos), logits, atol=1e-5)
    assert torch.allclose(attention_maps(model, photos), maps, atol=1e-5)
    assert maps.shape == (4, 3, 4, 65, 65)
    assert float(maps.max()) > 0.1


def test_an_attacker_sees_through_the_smoothed_model(vit, photos):
    model, x = smoothed(vit, 2.0), photos.clone().requires_grad_(True)
    by_hand_x = photos.clone().requires_grad_(True)
    with evaluating(model):
        (g,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    (h,) = torch.autograd.grad(by_hand(vit.net, by_hand_x, 2.0)[0][:, 0].sum(), by_hand_x)
    assert torch.allclose(g, h, atol=1e-6 + 1e-4 * float(h.abs().max()))


def test_rollout_by_hand():
    half = torch.full((2, 1, 1, 2, 2), 0.5)
    assert rollout(half)[0].tolist() == [[0.625, 0.375], [0.375, 0.625]]
    eye = torch.eye(3).expand(4, 2, 5, 3, 3)
    assert torch.equal(rollout(eye), torch.eye(3).expand(2, 3, 3))


def test_rollout_goes_from_the_first_layer_to_the_last():
    first, last = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    maps = torch.stack([first, last])[:, None, None]
    assert rollout(maps)[0].tolist() == [[0.75, 0.25], [0.5, 0.5]]  # (last + I)/2 (first + I)/2


def test_rows_sum_to_one(vit, photos):
    maps = attention_maps(vit, photos)
    assert torch.allclose(maps.sum(-1), torch.ones(4, 3, 4, 65), atol=1e-5)
    assert torch.allclose(rollout(maps).sum(-1), torch.ones(3, 65), atol=1e-5)
    assert not vit.net.blocks[0].attn._forward_pre_hooks


def test_layers_are_named_in_the_order_of_the_blocks(vit, photos):
    names = attention_names(vit)
    assert names == tuple(f"blocks.{i}.attn" for i in range(4))
    _, given = vit.features(photos, [f"{name}{INPUT}" for name in names])
    for layer, tokens, maps in zip(attention_layers(vit), given.values(), attention_maps(vit, photos), strict=True):
        assert torch.equal(layer_attention(layer, tokens), maps)


class Torchlike(nn.Module):
    """One block as torchvision builds it."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))


def test_multihead_attention_gives_the_same_maps_and_the_same_temperature(photos):
    model = drawn(Torchlike)
    tokens = model.net.embed(photos).flatten(2).transpose(1, 2)
    layer = model.net.attention
    layer.in_proj_bias.data.normal_(generator=torch.Generator().manual_seed(2))
    for temperature in (1.0, 1.5):
        _, expected = layer(tokens, tokens, tokens, average_attn_weights=False)
        if temperature != 1:
            expected = (expected.log() / temperature).softmax(-1)
        got = attention_maps(smoothed(model, temperature), photos)
        assert torch.allclose(got[0], expected, atol=1e-6)
    assert token_side(model) == 8


def test_torchvisions_transformer():
    from torchvision.models import VisionTransformer

    model = drawn(lambda: VisionTransformer(16, 8, 2, 2, 16, 32, num_classes=3))
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert attention_maps(model, images).shape == (2, 2, 2, 5, 5)
    assert torch.allclose(smoothed(model, 1)(images), model(images), atol=1e-6)
    assert token_side(model) == 8


def test_timms_transformer():
    timm = pytest.importorskip("timm", reason="timm is an extra")
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 3}
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    plain = drawn(lambda: timm.models.VisionTransformer(**options))
    maps = attention_maps(plain, images)
    assert maps.shape == (2, 2, 2, 5, 5)
    first = smoothed(plain, 2.0)
    assert torch.allclose(attention_maps(first, images)[0], (maps[0].log() / 2).softmax(-1), atol=1e-5)
    normed = drawn(lambda: timm.models.VisionTransformer(**options, qk_norm=True))
    halved = attention_maps(smoothed(normed, 2.0), images)[0]
    assert torch.allclose(halved, (attention_maps(normed, images)[0].log() / 2).softmax(-1), atol=1e-5)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none(vit, temperature):
    with pytest.raises(ParameterError, match="must be a finite number above 0"):
        smoothed(vit, temperature)


def test_a_model_without_attention(photos):
    cnn = Classifier(SmallCNN(), name="cnn").eval()
    for call in (lambda: smoothed(cnn, 2), lambda: attention_maps(cnn, photos), lambda: attention_layers(cnn)):
        with pytest.raises(ModelError, match="model 'cnn' has no attention layers"):
            call()
    with pytest.raises(ModelError, match="has no first convolution that cuts images into square patches"):
        token_side(cnn)


def test_attention_in_units_of_an_even_share():
    net = SmallViT(classes=3, channels=1, side=16).eval()
    with torch.no_grad():
        for block in net.blocks:  # queries and keys of nothing: each token attends to all alike
            block.attn.qkv.weight[:128] = 0
            block.attn.qkv.bias[:128] = 0
    images = torch.rand(30, 1, 16, 16)
    direct, rolled = attention_to(Classifier(net), images, torch.arange(30) % 16, 16)
    assert direct.shape == rolled.shape == (4, 30)
    assert torch.allclose(direct, torch.ones(4, 30), atol=1e-5)
    assert torch.allclose(rolled, torch.ones(4, 30), atol=1e-5)
