"""The search copy gives the original's logits, or is not used."""

import gc
from weakref import ref

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.search_copy import agree, search_copy


def folding_net() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    with torch.no_grad():
        net[1].running_mean.uniform_(-1, 1)
        net[1].running_var.uniform_(0.5, 2)
        net[1].weight.uniform_(0.5, 2)
    return net


def test_batch_norm_is_folded_and_the_logits_stay():
    model, images = Classifier(folding_net(), mean=[0.5] * 3, std=[0.2] * 3).eval(), torch.rand(6, 3, 8, 8)
    quick = search_copy(model, images)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in quick.modules())
    torch.testing.assert_close(quick(images), model(images), rtol=1e-4, atol=1e-5)
    assert not any(p.requires_grad for p in quick.parameters())
    assert all(p.requires_grad for p in model.parameters())


class ReadAgain(nn.Module):
    """Two batch norms after convolutions, the second of which is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x):
        again = self.two(self.first(self.one(x)))
        return (self.second(again) + again).mean((2, 3))


def test_a_convolution_that_is_read_again_keeps_its_batch_norm():
    net = ReadAgain()
    for norm in (net.first, net.second):
        norm.running_var.fill_(4.0)
    model, images = Classifier(net).eval(), torch.rand(2, 3, 8, 8)
    quick = search_copy(model, images)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in quick.modules()) == 1
    torch.testing.assert_close(quick(images), model(images), rtol=1e-4, atol=1e-5)


def test_the_last_linear_layer_alone_stays_in_float32():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 3))
    quick = search_copy(Classifier(net).eval(), torch.rand(2, 3, 8, 8))
    seen = {}
    for name, module in quick.net.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda m, _, out, name=name: seen.update({name: out.dtype}))
    with torch.autocast("cpu", torch.bfloat16):
        logits = quick(torch.rand(2, 3, 8, 8))
    assert list(seen.values()) == [torch.bfloat16, torch.float32]
    assert logits.dtype == torch.float32


class Branches(nn.Module):
    """Control flow on values cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = folding_net()

    def forward(self, x):
        return self.inner(x) if x.sum() > 0 else self.inner(-x)


def test_what_cannot_be_traced_is_copied_as_it_is():
    model, images = Classifier(Branches()).eval(), torch.rand(6, 3, 8, 8)
    quick = search_copy(model, images)
    assert any(isinstance(m, nn.BatchNorm2d) for m in quick.modules())
    torch.testing.assert_close(quick(images), model(images), rtol=1e-4, atol=1e-5)


def test_it_is_made_once_for_the_same_weights():
    model, images = Classifier(folding_net()).eval(), torch.rand(2, 3, 8, 8)
    quick = search_copy(model, images)
    assert search_copy(model, torch.rand(2, 3, 8, 8)) is quick


class Rectified(nn.Module):
    """ReLUs after a convolution alone, after one that is read again, after a sum, and one that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.alone, self.again, self.sum, self.twice = nn.ReLU6(), nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        first = self.alone(self.one(x))
        second = self.two(first)
        total = self.sum(self.again(second) + second)
        return self.head(self.twice(self.three(self.twice(total))).mean((2, 3)))


def test_activations_write_into_convolutions_that_nothing_else_reads():
    model, images = Classifier(Rectified()).eval(), torch.rand(3, 3, 8, 8)
    quick = search_copy(model, images)
    places = {name: getattr(quick.net, name).inplace for name in ("alone", "again", "sum", "twice")}
    assert places == {"alone": True, "again": False, "sum": False, "twice": False}
    assert not model.net.alone.inplace
    points = [images.clone().requires_grad_() for _ in range(2)]
    gradients = [torch.autograd.grad(m(x)[:, 0].sum(), x)[0] for m, x in zip((model, quick), points, strict=True)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("what", ["step", "load", "statistics", "replaced"])
def test_after_a_change_of_the_weights_it_is_made_again(what):
    """However small the change: a comparison of logits would not notice it."""
    model, images = Classifier(folding_net()).eval(), torch.rand(2, 3, 8, 8)
    before = search_copy(model, images)
    if what == "step":
        model(images).sum().backward()
        torch.optim.SGD(model.parameters(), lr=1e-9).step()
    elif what == "load":
        model.net.load_state_dict({k: v.clone() for k, v in model.net.state_dict().items()})
    elif what == "statistics":
        model.net[1].running_mean += 1e-9
    else:
        model.net[4].weight = nn.Parameter(model.net[4].weight.detach() + 1e-9)
    assert search_copy(model, images) is not before


def test_the_copies_of_the_last_model_alone_are_kept():
    one, other = (Classifier(folding_net()).eval() for _ in range(2))
    kept = ref(search_copy(one, torch.rand(2, 3, 8, 8)))
    search_copy(other, torch.rand(2, 3, 8, 8))
    gc.collect()
    assert kept() is None
    kept = ref(search_copy(other, torch.rand(2, 3, 8, 8)))
    del other
    gc.collect()
    assert kept() is None


class Restless(nn.Module):
    """Every pass is another function."""

    def forward(self, x):
        return x.flatten(1)[:, :3] + torch.rand(3)


class NoCopy(nn.Module):
    """Refuses to be copied."""

    def forward(self, x):
        return x.flatten(1)[:, :3]

    def __deepcopy__(self, memo):
        raise RuntimeError("one of a kind")


@pytest.mark.parametrize("net", [Restless(), NoCopy()])
def test_a_copy_that_disagrees_or_fails_is_not_used(net):
    assert search_copy(Classifier(net), torch.rand(4, 3, 8, 8)) is None


def test_a_black_box_has_none():
    assert search_copy(Classifier(folding_net(), differentiable=False), torch.rand(2, 3, 8, 8)) is None


def test_the_model_stays_in_the_mode_it_came_in():
    model = Classifier(folding_net())
    model.net.train()
    search_copy(model, torch.rand(4, 3, 8, 8))
    assert model.net[1].training


class Plus(nn.Module):
    """Two pixels as logits, and as much more."""

    def __init__(self, more: float) -> None:
        super().__init__()
        self.more = more

    def forward(self, x):
        return x.flatten(1) + self.more


@pytest.mark.parametrize(
    ("level", "more", "expected"),
    [(1.0, 0.0, True), (1.0, 5e-5, True), (1.0, -2e-4, False), (-10.0, 5e-4, True), (0.0, 1e-8, False)],
)
def test_they_agree_to_a_share_of_the_largest_logit(level, more, expected):
    images = torch.tensor([level, 0.0]).view(1, 1, 1, 2)
    assert agree(Classifier(Plus(0.0)), Plus(more), images) is expected
