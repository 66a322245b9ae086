"""Masks, targets and the loss by hand; what training leaves behind."""

from __future__ import annotations

import copy

import pytest
import torch

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.pretraining._masked import MaskedAutoencoder, Parts, cells_of, patches_of, visible
from unshaken.harden.recipes.pretraining.mae import MaskedAutoencoding, reconstruction_loss
from unshaken.models import save_model
from unshaken.models.networks.small import SmallCNN
from unshaken.models.networks.small_vit import SmallViT

DRAW = torch.Generator().manual_seed(0)
SHORT = Training(epochs=6, batch_size=16, lr=3e-3, optimizer="adamw", select="last", check_every=6)


def stripes(n=64):
    """Images that one visible patch tells: the same row of brightness everywhere."""
    rows = torch.randint(40, 215, (n, 1, 1, 16), generator=DRAW)
    return rows.expand(n, 1, 16, 16).to(torch.uint8).contiguous(), torch.arange(n) % 2


IMAGES, LABELS = stripes()


def vit():
    return fresh("small-vit", IMAGES, classes=2, seed=0)


@pytest.mark.parametrize(("share", "kept"), [(0.75, 4), (0.5, 8), (0.01, 15), (0.99, 1)])
def test_masks(share, kept):
    shown, hidden = visible(torch.rand(5, 16, generator=DRAW), share)
    assert shown.shape == (5, kept)
    assert hidden.sum(1).tolist() == [16 - kept] * 5
    assert not hidden.gather(1, shown).any()
    assert shown.unique(dim=0).shape[0] > 1


def test_targets_of_pixels():
    x = torch.arange(64.0).view(1, 1, 8, 8)
    found = patches_of(x, (2, 2))
    assert found.shape == (1, 4, 16)
    block = x[0, 0, :4, 4:].flatten()
    by_hand = (block - block.mean()) / block.std(unbiased=False)
    assert torch.allclose(found[0, 1], by_hand, atol=1e-5)
    assert torch.allclose(patches_of(3 * x + 1, (2, 2)), found, atol=1e-4)
    assert patches_of(torch.full((1, 2, 8, 8), 0.3), (2, 2)).abs().max() < 1e-3


def test_targets_of_features():
    maps = torch.rand(2, 3, 4, 4, generator=DRAW)
    found = cells_of(maps, (2, 2))
    cell = maps[0, :, 2:, :2].mean((1, 2))
    assert torch.allclose(found[0, 2], (cell - cell.mean()) / (cell.var(unbiased=False) + 1e-6).sqrt(), atol=1e-5)


def test_only_hidden_patches_count():
    wanted = torch.zeros(1, 3, 2)
    predicted = torch.tensor([[[9.0, 9.0], [1.0, 3.0], [2.0, 0.0]]])
    hidden = torch.tensor([[False, True, True]])
    assert reconstruction_loss(predicted, wanted, hidden).item() == pytest.approx((5 + 2) / 2)


def test_logits_are_those_of_the_net_and_hidden_patches_have_no_say():
    model = vit().eval()
    x = torch.rand(3, 1, 16, 16, generator=DRAW)
    plain = model(x)
    both = MaskedAutoencoding().rebuild(copy.deepcopy(model)).eval()
    assert torch.equal(both(x), plain)
    shown = torch.tensor([[0, 5]] * 3)
    other = x.clone()
    other[:, :, 8:] = 1 - other[:, :, 8:]
    with both.net.showing(shown):
        assert both(x).shape == (3, 16 * 16)
        assert torch.equal(both(x), both(other))
        other[:, :, 4:8, 4:8] = 0
        assert not torch.equal(both(x), both(other))
    assert torch.equal(both(x), plain)
    assert [type(m) for m in MaskedAutoencoding().rebuild(both).net.children()] == [
        type(m) for m in both.net.children()
    ]


def test_visible_tokens_are_those_of_the_whole_image():
    net = vit().net.eval()
    parts = Parts(net)
    x = torch.rand(2, 1, 16, 16, generator=DRAW)
    tokens = parts.tokens(x)
    assert torch.allclose(net.head(parts.encode(tokens)[:, 0]), net(x), atol=1e-6)
    assert (parts.prefix, parts.width, parts.grid, parts.patch) == (1, 64, (4, 4), (4, 4))


def test_training_learns_to_rebuild_and_leaves_the_decoder_behind():
    start = vit()
    before = {k: v.clone() for k, v in start.net.state_dict().items()}
    fitted = fit(start, IMAGES, LABELS, [MaskedAutoencoding(mask=0.5)], SHORT)
    losses = [c["loss"] for c in fitted.progress.curves]
    assert losses[-1] < 0.8 * losses[0]
    for model in (fitted.model, fitted.last):
        after = model.net.state_dict()
        assert isinstance(model.net, SmallViT)
        assert after.keys() == before.keys()
        assert not torch.equal(after["blocks.0.attn.qkv.weight"], before["blocks.0.attn.qkv.weight"])
        assert torch.equal(after["head.weight"], before["head.weight"])
        assert all(p.requires_grad for p in model.parameters())
    assert torch.equal(fitted.model.net.position, fitted.last.net.position)
    tuned = fit(fitted.model, IMAGES, LABELS, [], SHORT)
    assert not torch.equal(tuned.last.net.head.weight, before["head.weight"])


def test_a_teachers_features(tmp_path):
    torch.manual_seed(0)
    teacher = Classifier(SmallCNN(2, 1, 16)).eval()
    save_model(teacher, tmp_path, arch="small-cnn")
    recipe = MaskedAutoencoding(target="features", teacher=f"run:{tmp_path}", layer="body.2", features=40)
    fitted = fit(vit(), IMAGES, LABELS, [recipe], SHORT)
    losses = [c["loss"] for c in fitted.progress.curves]
    assert losses[-1] < losses[0]
    assert fitted.last.net.state_dict().keys() == vit().net.state_dict().keys()
    wrong = MaskedAutoencoding(target="features", teacher=f"run:{tmp_path}", layer="body.3", features=40)
    with pytest.raises(ParameterError, match=r"gives \(8, 80, 4, 4\)"):
        fit(vit(), IMAGES, LABELS, [wrong], SHORT)


def test_a_net_of_timm():
    timm = pytest.importorskip("timm", reason="timm is an optional package")
    net = timm.create_model("vit_tiny_patch16_224", num_classes=2, img_size=16, patch_size=4, depth=1, in_chans=1)
    fitted = fit(Classifier(net), IMAGES, LABELS, [MaskedAutoencoding()], SHORT.model_copy(update={"epochs": 1}))
    assert type(fitted.last.net) is type(net)
    assert fitted.last(torch.rand(2, 1, 16, 16)).shape == (2, 2)


def test_what_it_does_not_know_is_said_in_one_line():
    with pytest.raises(ModelError, match="SmallCNN is no vision transformer"):
        MaskedAutoencoding().rebuild(Classifier(SmallCNN(2, 1, 16)))
    with pytest.raises(ModelError, match="nothing to hide"):
        MaskedAutoencoding().rebuild(Classifier(SmallViT(2, 1, 4)))
    for options in ({"target": "features"}, {"teacher": "demo:standard"}):
        with pytest.raises(ParameterError, match="target=features needs teacher, layer and features"):
            MaskedAutoencoding(**options)
    with pytest.raises(ParameterError, match="mask"):
        MaskedAutoencoding(mask=1.0)
    with pytest.raises(ParameterError, match="both bring a loss"):
        fit(vit(), IMAGES, LABELS, [AdversarialTraining(), MaskedAutoencoding()], SHORT)


def test_the_wrapper_holds_no_weights_of_a_teacher():
    net = MaskedAutoencoding().rebuild(vit()).net
    net.teacher = [Classifier(SmallCNN(2, 1, 16))]
    assert isinstance(net, MaskedAutoencoder)
    assert {k.partition(".")[0] for k in net.state_dict()} == {"encoder", "decoder"}
