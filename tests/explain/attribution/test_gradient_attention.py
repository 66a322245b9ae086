import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.explain.attribution.gradient_attention import GradientAttention
from unshaken.explain.engine.run import attribute
from unshaken.models.networks.attention import attention_gradient, attention_of, output_place, values_of


def test_one_layer_by_hand():
    """B = mean over heads of ReLU(A g): from token 0 comes (1, 0) + ((0.2, 0) + (0, 0.8)) / 2."""
    attention = torch.tensor([[[[0.2, 0.8], [1, 0]], [[0.6, 0.4], [0, 1]]]])
    gradient = torch.tensor([[[[1.0, -1], [0, 0]], [[-3, 2], [0, 0]]]])
    found = GradientAttention().follow(torch.tensor([[1.0, 0]]), attention, gradient)
    assert found.flatten().tolist() == pytest.approx([1.1, 0.4])


class Plain(nn.Module):
    """A transformer that writes its attention down, so that autograd knows the gradient by it."""

    def __init__(self, attend) -> None:
        super().__init__()
        self.embed, self.attn, self.head = nn.Conv2d(1, 8, 2, 2), attend, nn.Linear(8, 3)
        self.token = nn.Parameter(torch.randn(1, 1, 8))

    def tokens(self, x):
        patches = self.embed(x).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(len(x), -1, -1), patches], 1)

    def forward(self, x):
        given = self.tokens(x)
        first = getattr(self.attn, "batch_first", True)
        if isinstance(self.attn, nn.MultiheadAttention):
            given_ = given if first else given.transpose(0, 1)
            mixed = self.attn(given_, given_, given_, need_weights=False)[0]
            mixed = mixed if first else mixed.transpose(0, 1)
        else:
            mixed = self.attn(given)
        return self.head((given + mixed)[:, 0])


def timms(**options):
    attention = pytest.importorskip("timm.layers.attention")
    return attention.Attention(8, 2, qkv_bias=True, **options)


def queries(**options):
    class Separate(nn.Module):
        """As in transformers: separate linear layers, and a tuple."""

        num_attention_heads = 2

        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))

        def heads(self, x):
            return x.view(*x.shape[:2], 2, 4).transpose(1, 2)

        def forward(self, x):
            q, k, v = (self.heads(layer(x)) for layer in (self.query, self.key, self.value))
            return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    return Separate()


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.MultiheadAttention(8, 2, batch_first=True),
        lambda: nn.MultiheadAttention(8, 2),
        timms,
        lambda: timms(qk_norm=True, norm_layer=nn.LayerNorm),
        lambda: timms(scale_norm=True, norm_layer=nn.LayerNorm),
        queries,
    ],
)
def test_the_gradient_by_attention_is_autograds(make):
    """`z_c` as a function of a small change of the attention: its slope along any direction D is `<d z / d A, D>`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Plain(make()).eval().double()
    model, image = Classifier(net), torch.rand(1, 1, 4, 4, dtype=torch.float64)
    place = output_place(net.attn, "attn")
    logits, found = model.features(image.requires_grad_(), ["attn:in", place])
    (slope,) = torch.autograd.grad(logits[0, 1], found[place])
    layer, tokens = net.attn, found["attn:in"].detach()
    gradient = attention_gradient(layer, tokens, slope)
    direction = torch.randn_like(gradient)
    attention = attention_of(layer, tokens).double()

    def score(eps):
        """The logit with the attention written down and moved."""
        heads = ((attention + eps * direction) @ values_of(layer, tokens)).transpose(1, 2).flatten(2)
        if isinstance(layer, nn.MultiheadAttention):
            mixed = layer.out_proj(heads)
        elif hasattr(layer, "proj"):
            mixed = layer.proj(layer.norm(heads))
        else:
            mixed = heads
        return net.head((net.tokens(image) + mixed)[:, 0])[0, 1]

    step = 1e-4
    numeric = (score(step) - score(-step)) / (2 * step)
    assert numeric.item() == pytest.approx((gradient * direction).sum().item(), rel=1e-5)


def test_gated_heads_are_refused():
    with pytest.raises(ModelError, match="the attention layer 'attn' has a gate"):
        output_place(timms(gated=True), "attn")


def test_of_torchvisions_net_it_is_chefers_sum():
    """Against the plain formula with all matrices written down."""
    from torchvision.models.vision_transformer import VisionTransformer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = VisionTransformer(8, 4, 2, 2, 8, 16, num_classes=3).eval()
    nn.init.normal_(net.heads.head.weight)
    model = Classifier(net)
    images, classes = torch.rand(2, 3, 8, 8), torch.tensor([0, 2])
    names = [f"encoder.layers.encoder_layer_{i}.self_attention" for i in range(2)]
    logits, found = model.features(images.clone().requires_grad_(), [*names, *(n + ":in" for n in names)])
    slopes = torch.autograd.grad(logits[0, 0] + logits[1, 2], [found[n] for n in names])
    relevance = torch.eye(5).expand(2, 5, 5)
    for name, slope in zip(names, slopes, strict=True):
        layer, tokens = net.get_submodule(name), found[name + ":in"].detach()
        weighted = (attention_of(layer, tokens) * attention_gradient(layer, tokens, slope)).relu().mean(1)
        relevance = relevance + weighted @ relevance
    expected = nn.functional.interpolate(relevance[:, 0, 1:].view(2, 1, 2, 2), (8, 8), mode="bilinear")[:, 0]
    result = attribute(model, images, "gradient-attention", classes=classes)
    assert torch.allclose(result.maps, expected.detach(), atol=1e-6)
    assert (result.forwards.tolist(), result.backwards.tolist()) == ([1, 1], [1, 1])
    other = attribute(model, images, "gradient-attention", classes=classes.flip(0))
    assert not torch.allclose(other.maps, result.maps, atol=1e-6)
