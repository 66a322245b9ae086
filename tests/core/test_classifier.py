"""The model as the house sees it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core import Classifier, View
from unshaken.core.classifier import alone, evaluating
from unshaken.core.errors import ModelError


class Sum(nn.Module):
    def forward(self, x):
        return torch.stack([x[:, c].flatten(1).sum(1) for c in range(x.shape[1])], 1)


def test_mean_and_std_are_applied_once_by_channel():
    model = Classifier(Sum(), mean=[0.5, 0.25], std=[0.5, 0.25])
    images = torch.tensor([1.0, 0.75]).view(1, 2, 1, 1)
    assert model(images).tolist() == [[1.0, 2.0]]
    assert Classifier(Sum())(images).tolist() == [[1.0, 0.75]]


def test_one_mean_holds_for_all_channels():
    assert Classifier(Sum(), mean=[0.5], std=[0.5])(torch.ones(1, 3, 1, 1)).tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize(
    ("mean", "std"), [([0.5], None), (None, [0.5]), ([0.5, 0.5], [0.5]), ([0.5], [0.0]), ([0.5], [-1.0])]
)
def test_mean_and_std_that_do_not_fit_are_refused(mean, std):
    with pytest.raises(ModelError, match="mean"):
        Classifier(Sum(), mean=mean, std=std)


def test_mean_and_std_are_not_saved_but_move():
    model = Classifier(Sum(), mean=[0.5], std=[0.5])
    assert list(model.state_dict()) == []
    assert model.to("meta").mean.device.type == "meta"


def test_what_goes_into_a_layer_is_a_feature_too(tiny, batch):
    logits, found = tiny.features(batch.images, ["head:in"])
    assert torch.equal(tiny.net.head(found["head:in"]), logits)
    assert not any(m._forward_pre_hooks for m in tiny.net.modules())
    with pytest.raises(ModelError, match="no layer 'haed'; did you mean 'head'"):
        tiny.features(batch.images, ["haed:in"])


def test_features_come_with_logits_and_leave_no_hook(tiny, batch):
    logits, found = tiny.features(batch.images, ["stem", "body"])
    assert torch.equal(logits, tiny(batch.images))
    assert torch.equal(found["stem"], tiny.net.stem(batch.images))
    assert torch.equal(found["body"], tiny.net.body(found["stem"].relu()))
    assert all(not m._forward_hooks for m in tiny.modules())


def test_an_unknown_layer_is_named_with_near_ones(tiny, batch):
    with pytest.raises(ModelError, match=r"has no layer 'stam'; did you mean 'stem'\?"):
        tiny.features(batch.images, ["body", "stam"])
    assert all(not m._forward_hooks for m in tiny.modules())


def test_view_gives_the_input_size():
    assert Classifier(Sum(), view=View(28, 32)).input_size == (28, 32)
    assert Classifier(Sum()).input_size is None


def test_a_view_in_words():
    assert str(View(28, 32)) == "short side resized to 28 px (bilinear), centre 28 x 32 cut, RGB"
    assert str(View(40, 32, resize=64, interpolation="bicubic", channels=1)) == (
        "short side resized to 64 px (bicubic), centre 40 x 32 cut, grayscale"
    )
    assert str(View(28, 32, fit="whole")) == "resized to 28 x 32 (bilinear), RGB"
    assert str(View(28, 32, fit="letterbox")) == "resized to fit into 28 x 32 (bilinear), the rest grey 114, RGB"


def test_the_first_of_several_outputs_is_the_feature():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

        def forward(self, x):
            return self.attention(x[:, 0], x[:, 0], x[:, 0])[0].mean(1)

    logits, found = Classifier(Attends()).features(torch.rand(2, 1, 3, 4), ["attention"])
    assert torch.allclose(found["attention"].mean(1), logits)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_net_with_half_precision_weights_gets_such_images(kind):
    seen = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).to(kind)
    net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    assert Classifier(net)(torch.rand(1, 1, 2, 2)).dtype == kind
    assert seen == [kind]


def test_the_meaning_of_the_output_is_the_nets():
    net = Sum()
    assert Classifier(net).task == "classification"
    net.task = "segmentation"
    assert Classifier(net).task == "segmentation"


def mixed():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten()).train()
    net[1].eval()
    net[0].bias.requires_grad_(False)
    return net


def state_of(net):
    return [(n, m.training) for n, m in net.named_modules()], [(n, p.requires_grad) for n, p in net.named_parameters()]


def test_evaluating_puts_modes_and_gradients_back():
    net = mixed()
    before = state_of(net)
    with evaluating(net):
        assert not any(m.training for m in net.modules())
        assert not any(p.requires_grad for p in net.parameters())
    assert state_of(net) == before


def test_evaluating_puts_back_after_an_error():
    net = mixed()
    before = state_of(net)
    with pytest.raises(ZeroDivisionError), evaluating(net):
        raise ZeroDivisionError
    assert state_of(net) == before


def test_evaluating_leaves_batch_statistics_alone():
    net = mixed().train()
    before = net[1].running_mean.clone()
    with evaluating(net):
        net(torch.rand(4, 1, 5, 5))
    assert torch.equal(net[1].running_mean, before)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_net_may_get_one_image_a_pass(n):
    seen = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    net.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    images = torch.rand(n, 1, 2, 2)
    logits, features = Classifier(net, one_by_one=True).features(images, ["0", "1:in"])
    assert set(seen) == {1}
    want, kept = Classifier(net).features(images, ["0", "1:in"])
    assert torch.allclose(logits, want)
    assert all(torch.equal(features[layer], kept[layer]) for layer in kept)
    assert torch.allclose(alone(Classifier(net))(images), want)
