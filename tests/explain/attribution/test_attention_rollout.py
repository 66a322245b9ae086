import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.explain.attribution.attention_rollout import AttentionRollout
from unshaken.explain.engine.attention_map import find_tokens
from unshaken.explain.engine.run import attribute
from unshaken.models.networks.attention import attention_maps, rollout
from unshaken.models.networks.small_vit import SmallViT


def test_one_layer_by_hand():
    """From token 0: half stays, half goes the mean of the heads, (0.2, 0.8) and (0.6, 0.4)."""
    attention = torch.tensor([[[[0.2, 0.8], [1, 0]], [[0.6, 0.4], [0, 1]]]])
    start = torch.tensor([[1.0, 0]])
    assert AttentionRollout().follow(start, attention, None).flatten().tolist() == pytest.approx([0.7, 0.3])
    most = AttentionRollout(heads="max").follow(start, attention, None)
    assert most.flatten().tolist() == pytest.approx([1.6 / 2.4, 0.8 / 2.4])


@pytest.fixture(scope="module")
def vit():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Classifier(SmallViT(classes=3, channels=1, side=16)).eval()


def test_it_is_the_class_tokens_row_of_the_whole_product(vit):
    images = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = rollout(attention_maps(vit, images))[:, 0, 1:].view(2, 1, 4, 4)
    expected = nn.functional.interpolate(expected, (16, 16), mode="bilinear")[:, 0]
    found = attribute(vit, images, "attention-rollout")
    assert torch.allclose(found.maps, expected, atol=1e-6)
    assert (found.forwards.tolist(), found.backwards.tolist()) == ([1, 1], [0, 0])


@pytest.mark.parametrize(
    ("options", "before", "read"),
    [
        ({}, 1, [0]),
        ({"reg_tokens": 3}, 4, [0]),
        ({"class_token": False, "global_pool": "avg"}, 0, range(6)),
        ({"class_token": False, "global_pool": "avg", "reg_tokens": 2}, 2, range(2, 8)),
        ({"global_pool": "avg"}, 1, range(1, 7)),
    ],
)
def test_tokens_that_the_head_reads_are_found_in_timms_nets(options, before, read):
    timm = pytest.importorskip("timm.models.vision_transformer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = timm.VisionTransformer(
            img_size=(8, 12), patch_size=4, embed_dim=8, depth=2, num_heads=2, num_classes=3, **options
        )
    tokens = find_tokens(Classifier(net.eval()), torch.rand(1, 3, 8, 12))
    assert (tokens.grid, tokens.before) == ((2, 3), before)
    assert tokens.read.nonzero().flatten().tolist() == list(read)
    assert tokens.read.sum().item() == pytest.approx(1)


def test_nets_of_another_form_are_told(conv, images):
    with pytest.raises(ModelError, match="no attention layers of a known form"):
        attribute(conv, images, "attention-rollout")
    swin = pytest.importorskip("timm.models.swin_transformer")
    net = swin.SwinTransformer(
        img_size=16, patch_size=2, embed_dim=8, depths=(1, 1), num_heads=(2, 2), window_size=4, num_classes=2
    )
    with pytest.raises(ModelError, match="attention in windows or over merged patches has no map of its own"):
        attribute(Classifier(net), torch.rand(1, 3, 16, 16), "attention-rollout")


def test_attention_with_a_position_bias_or_a_rotation_is_told():
    beit, eva = (pytest.importorskip(f"timm.models.{name}") for name in ("beit", "eva"))
    small = {"img_size": 8, "patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 2, "num_classes": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        biased = beit.Beit(use_rel_pos_bias=True, **small).eval()
        rotated = eva.Eva(use_rot_pos_emb=True, **small).eval()
        for weight in [*biased.parameters(), *rotated.parameters()]:
            nn.init.normal_(weight)
    for net in (biased, rotated):
        with pytest.raises(ModelError, match="do more than softmax"):
            find_tokens(Classifier(net), torch.rand(1, 3, 8, 8))


def test_a_head_that_reads_no_token_is_told():
    class Deaf(SmallViT):
        def forward(self, images):
            return super().forward(images) * 0

    with pytest.raises(ModelError, match="no logit hangs on"):
        attribute(Classifier(Deaf(2, 1, 8)), torch.rand(1, 1, 8, 8), "attention-rollout")
