"""TrAct: numbers worked out by hand and by least squares, on real layers through autograd."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import parse_method
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.gradalign import GradAlign
from unshaken.harden.recipes.adversarial.trades import Trades
from unshaken.harden.recipes.architecture.tract import TrAct, first_layer, patches, tract, tract_gradient
from unshaken.harden.recipes.weights.awp import AWP

X = torch.tensor([[1.0, 2], [3, -1], [0, 1]], dtype=torch.float64)
G = torch.tensor([[1.0, 0], [0, 1], [1, -1]], dtype=torch.float64)
GRAD = torch.tensor([[1.0, 3], [3, -2]], dtype=torch.float64)
TENTH = torch.tensor([[0.4366880576, 1.4978869933], [0.7935514165, -0.8264204101]], dtype=torch.float64)
ONE = torch.tensor([[0.3103448276, 1.0344827586], [0.6465517241, -0.5948275862]], dtype=torch.float64)


def close(a, b, atol=1e-9):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slopes(layer, x, upstream, **options):
    """Gradients of weight, bias and input of `sum(upstream * layer(x))` in the context; the output."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    with tract(layer, **options):
        out = layer(x)
        out.backward(upstream)
    return layer.weight.grad, None if layer.bias is None else layer.bias.grad, x.grad, out.detach()


@pytest.mark.parametrize("form", ["primal", "dual", "auto"])
@pytest.mark.parametrize(("ridge", "expected"), [(0.1, TENTH), (1.0, ONE)])
def test_the_numbers_by_hand(form, ridge, expected):
    close(tract_gradient(GRAD, X, ridge, form=form), expected)
    got, bias, _, _ = slopes(nn.Linear(2, 2).double(), X, G, ridge=ridge, form=form)
    close(got, expected)
    close(bias, G.sum(0))


def test_primal_is_dual_on_random_numbers():
    for b, n in ((5, 9), (9, 5), (7, 7)):
        g, x = drawn(4, b) @ drawn(b, n, seed=1), drawn(b, n, seed=1)
        close(tract_gradient(g, x, 0.1, form="primal"), tract_gradient(g, x, 0.1, form="dual"), atol=1e-10)


def test_it_is_the_ridge_fit_to_the_activation_proposals():
    eta, lam, b = 0.5, 0.1, 3
    rows = torch.cat([X, (lam * b) ** 0.5 * torch.eye(2, dtype=torch.float64)])
    wanted = torch.cat([-eta * b * G, torch.zeros(2, 2, dtype=torch.float64)])
    fit_by_least_squares = torch.linalg.lstsq(rows, wanted).solution.T
    given = torch.tensor([[-0.2183440288, -0.7489434966], [-0.3967757082, 0.4132102050]], dtype=torch.float64)
    close(fit_by_least_squares, given)
    close(-eta * tract_gradient(GRAD, X, lam), given)


def test_a_large_lambda_is_the_plain_gradient():
    got = 1e6 * tract_gradient(GRAD, X, 1e6)
    close(got[0], torch.tensor([0.9999977, 2.9999943], dtype=torch.float64), atol=1e-7)


def test_whitened_input_divides_by_one_and_lambda():
    x = 2**0.5 * torch.tensor([[1.0, 0], [0, 1]], dtype=torch.float64)
    close(tract_gradient(GRAD, x, 0.1), GRAD / 1.1)


def test_without_lambda_a_linear_change_of_the_input_changes_nothing():
    x, g, a = drawn(12, 3), drawn(12, 4, seed=1), drawn(3, 3, seed=2)
    moves = [y @ tract_gradient(g.T @ y, y, 0.0, form="primal").T for y in (x, x @ a.T)]
    close(*moves, atol=1e-10)


def test_scaling_the_input_is_another_lambda():
    x, g, c = drawn(12, 3), drawn(12, 4, seed=1), 3.0
    scaled = (c * x) @ tract_gradient(g.T @ (c * x), c * x, 0.1).T
    close(scaled, x @ tract_gradient(g.T @ x, x, 0.1 / c**2).T, atol=1e-10)


def test_the_convolution_by_hand():
    x = torch.arange(9.0, dtype=torch.float64).view(1, 1, 3, 3)
    layer = nn.Conv2d(1, 1, 2, bias=False).double()
    columns = patches(layer, x).T
    rows = [[6.5, 8.5, 12.5, 14.5], [8.5, 11.5, 17.5, 20.5], [12.5, 17.5, 27.5, 32.5], [14.5, 20.5, 32.5, 38.5]]
    close(columns @ columns.T / 4, torch.tensor(rows, dtype=torch.float64))
    upstream = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    (plain,) = torch.autograd.grad((layer(x) * upstream).sum(), layer.weight)
    assert plain.flatten().tolist() == [8, 12, 20, 24]
    expected = torch.tensor([-0.7305599114, -0.3579005627, 0.3874181349, 0.7600774836], dtype=torch.float64)
    for form in ("primal", "dual"):
        close(slopes(layer, x, upstream, form=form)[0].flatten(), expected)


CONVOLUTIONS = {
    "stem": nn.Conv2d(3, 5, 3, padding=1),
    "strided": nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(0, 1), bias=False),
    "patches": nn.Conv2d(3, 6, 4, stride=4),
    "dilated": nn.Conv2d(3, 4, 3, dilation=2, padding=2),
    "same": nn.Conv2d(3, 4, (3, 5), padding="same", dilation=(2, 1)),
    "valid": nn.Conv2d(3, 4, 3, padding="valid"),
    "reflected": nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    "circular": nn.Conv2d(3, 4, (3, 5), padding="same", padding_mode="circular"),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_every_kind_of_convolution_multiplies_its_weights_with_its_patches(kind):
    layer = copy.deepcopy(CONVOLUTIONS[kind]).double()
    x = drawn(2, 3, 8, 8)
    out = layer(x)
    rows = patches(layer, x)
    flat = layer.weight.flatten(1) @ rows.T
    bias = 0 if layer.bias is None else layer.bias.view(1, -1, 1, 1)
    images = flat.reshape(len(flat), len(x), *out.shape[2:]).transpose(0, 1)
    close(images + bias, out, atol=1e-12)
    upstream = drawn(*out.shape, seed=3)
    (plain,) = torch.autograd.grad((layer(x) * upstream).sum(), layer.weight)
    expected = tract_gradient(plain.flatten(1), rows, 0.1, form="dual").view_as(plain)
    close(slopes(layer, x, upstream)[0], expected)


@pytest.mark.parametrize("kind", ["stem", "patches"])
def test_all_but_the_weight_gradient_is_the_plain_layers_to_the_bit(kind):
    layer = copy.deepcopy(CONVOLUTIONS[kind])
    x = drawn(4, 3, 8, 8).float()
    upstream = torch.ones_like(layer(x)) / 7
    plain = x.clone().requires_grad_()
    out = layer(plain)
    out.backward(upstream)
    bias, keys = layer.bias.grad.clone(), list(layer.state_dict())
    ids = [id(p) for p in layer.parameters()]
    got = slopes(layer, x, upstream)
    assert torch.equal(got[3], out)
    assert torch.equal(got[2], plain.grad)
    assert torch.equal(got[1], bias)
    assert (list(layer.state_dict()), [id(p) for p in layer.parameters()]) == (keys, ids)


def test_a_linear_layer_on_images_is_a_convolution_of_their_size():
    conv = nn.Conv2d(3, 4, 5).double()
    linear = nn.Linear(75, 4).double()
    linear.weight.data = conv.weight.data.flatten(1).clone()
    x, upstream = drawn(6, 3, 5, 5), drawn(6, 4, seed=2)
    close(
        slopes(linear, x.flatten(1), upstream)[0],
        slopes(conv, x, upstream.view(6, 4, 1, 1))[0].flatten(1),
        atol=1e-10,
    )


def test_a_linear_layer_on_tokens_that_lie_otherwise_in_memory():
    layer = nn.Linear(4, 3).double()
    x = drawn(4, 5, 2).permute(2, 1, 0)
    upstream = drawn(2, 5, 3, seed=1)
    g = upstream.reshape(10, 3).T @ x.reshape(10, 4)
    close(slopes(layer, x, upstream)[0], tract_gradient(g, x.reshape(10, 4), 0.1))


def test_two_passes_of_one_loss_share_their_second_moment():
    layer = nn.Linear(2, 2).double()
    with tract(layer):
        (layer(X[:1]) * G[:1]).sum().add((layer(X[1:]) * G[1:]).sum()).backward()
    close(layer.weight.grad, TENTH)


def test_passes_without_a_graph_do_not_count():
    layer = nn.Linear(2, 2).double()
    with tract(layer):
        with torch.no_grad():
            layer(100 * X)
        layer(X).backward(G)
    close(layer.weight.grad, TENTH)


def test_it_is_over_when_it_is_closed():
    layer = nn.Linear(2, 2).double()
    with tract(layer):
        layer(X).backward(G)
    layer.zero_grad()
    layer(X).backward(G)
    close(layer.weight.grad, GRAD)


def test_large_inputs_come_in_pieces(monkeypatch):
    monkeypatch.setattr("unshaken.harden.recipes.architecture.tract.PIECE", 40)
    layer = copy.deepcopy(CONVOLUTIONS["stem"]).double()
    x = drawn(5, 3, 8, 8)
    upstream = drawn(5, 5, 8, 8, seed=1)
    (plain,) = torch.autograd.grad((layer(x) * upstream).sum(), layer.weight)
    rows = patches(layer, x)
    close(slopes(layer, x, upstream)[0].flatten(1), tract_gradient(plain.flatten(1), rows, 0.1))


def test_the_gradient_lies_in_memory_as_the_weight_does():
    layer = copy.deepcopy(CONVOLUTIONS["stem"]).to(memory_format=torch.channels_last)
    x = drawn(4, 3, 8, 8).float().to(memory_format=torch.channels_last)
    assert slopes(layer, x, torch.ones(4, 5, 8, 8))[0].stride() == layer.weight.stride()


def test_half_precision_solves_in_float32():
    layer = nn.Linear(2, 2)
    with torch.autocast("cpu", torch.bfloat16), tract(layer):
        layer(X.float()).float().backward(G.float())
    assert layer.weight.grad.dtype == torch.float32
    close(layer.weight.grad.double(), TENTH, atol=2e-2)


def test_the_second_moment_is_averaged_over_processes():
    layer = nn.Linear(2, 2).double()
    other = torch.tensor([[1.0, 0], [0, 3]], dtype=torch.float64)

    def average(tensors):
        for t in tensors:
            t.add_(other).div_(2)

    with tract(layer, average=average):
        layer(X).backward(G)
    moment = (X.T @ X / 3 + other) / 2 + 0.1 * torch.eye(2, dtype=torch.float64)
    close(layer.weight.grad, GRAD @ moment.inverse())


def test_second_derivatives_are_refused():
    layer = nn.Linear(2, 2).double()
    x = X.clone().requires_grad_()
    with tract(layer), pytest.raises(ModelError, match="no second derivative"):
        torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with tract(layer), pytest.raises(ModelError, match="no second derivative"):
        torch.autograd.grad(layer(X).square().sum(), layer.weight, create_graph=True)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Conv2d(4, 4, 3, groups=2), "has 2 groups"),
        (nn.BatchNorm2d(3), "is a BatchNorm2d"),
        (nn.ConvTranspose2d(3, 3, 3), "is a ConvTranspose2d"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "is a ParametrizedLinear|is reparametrised"),
        (nn.Linear(2, 2).requires_grad_(False), "does not learn"),
    ],
)
def test_layers_that_cannot_be_turned(layer, words):
    with pytest.raises(ModelError, match=words), tract(layer):
        pass


def test_values_that_are_not_allowed():
    with pytest.raises(ParameterError, match="lambda=0 must be above 0"), tract(nn.Linear(2, 2), ridge=0):
        pass
    with pytest.raises(ParameterError, match="no inverse with lambda=0"):
        tract_gradient(GRAD, torch.zeros(3, 2, dtype=torch.float64), 0.0)
    with pytest.raises(ParameterError, match="above 0 in the dual form"):
        tract_gradient(GRAD, X, 0.0, form="dual")
    with pytest.raises(ParameterError, match="form 'both' is not one of auto, primal, dual"):
        tract_gradient(GRAD, X, 0.1, form="both")
    with pytest.raises(ParameterError, match="greater than 0"):
        TrAct(ridge=0)
    with pytest.raises(ParameterError, match="form"):
        TrAct(form="both")


def test_a_weight_used_past_its_layer():
    layer = nn.Linear(2, 2)
    with tract(layer), pytest.raises(ModelError, match="without running it"):
        F.linear(X.float(), layer.weight).sum().backward()


# The recipe.


class Late(nn.Module):
    """Runs its layers in another order than it lists them."""

    def __init__(self, norm=False):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.norm = nn.BatchNorm2d(1) if norm else nn.Identity()
        self.stem = nn.Conv2d(1, 4, 3)

    def forward(self, x):
        return self.head(self.stem(self.norm(x)).relu().mean((2, 3)))


class Late3(Late):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)


def data(n=96):
    images = torch.randint(0, 120, (n, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(n) % 3
    images[torch.arange(n), 0, labels * 2, :] += 100
    return images, labels


QUICK = Training(
    epochs=2, batch_size=32, lr=0.1, held_out=6, check_images=6, check_every=2, select="last", weight_decay=0
)


def test_the_first_layer_is_the_first_that_runs():
    images = torch.rand(2, 1, 8, 8)
    assert first_layer(Classifier(Late()), images) == ("stem", False)
    assert first_layer(Classifier(Late(norm=True)), images) == ("stem", True)
    assert TrAct().found(Classifier(Late()), images) == "stem"
    with pytest.raises(ModelError, match=r"before .stem.,.* something learns"):
        TrAct().found(Classifier(Late(norm=True)), images)
    assert TrAct(layer="stem").found(Classifier(Late(norm=True)), images) == "stem"
    with pytest.raises(ModelError, match="no layer 'stm'; did you mean 'stem'"):
        TrAct(layer="stm").found(Classifier(Late()), images)
    with pytest.raises(ModelError, match="runs no Conv2d or Linear"):
        TrAct().found(Classifier(nn.Flatten()), images)


def test_the_recipe_turns_the_gradient_of_the_normalised_images():
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6) % 3
    model = Classifier(Late3(), mean=[0.5] * 3, std=[0.25] * 3)
    F.cross_entropy(model(images), labels).backward()
    stem = model.net.stem
    rows = patches(stem, (images - 0.5) / 0.25)
    expected = tract_gradient(stem.weight.grad.flatten(1), rows, 0.5, form="primal")
    head, bias = model.net.head.weight.grad.clone(), stem.bias.grad.clone()
    model.zero_grad()
    recipe = TrAct(ridge=0.5)
    setup = Setup(model, images, 3, 0, 1, 1, {}, lambda n: (images, labels))
    recipe.begin(setup)
    step = SimpleNamespace(classifier=model, average=lambda tensors: None)
    with recipe.around(step, lambda: None):
        F.cross_entropy(model(images), labels).backward()
    torch.testing.assert_close(stem.weight.grad.flatten(1), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(model.net.head.weight.grad, head)
    assert torch.equal(stem.bias.grad, bias)


def test_it_trains_and_leaves_nothing_behind():
    images, labels = data()
    model = fresh("small-cnn", images, classes=3, seed=0)
    keys, hooks = list(model.state_dict()), len(model.net.body[0][0]._forward_pre_hooks)
    fitted = fit(model, images, labels, [TrAct(**{"lambda": 0.1})], QUICK)
    assert list(fitted.model.state_dict()) == keys
    first = fitted.last.net.body[0][0]
    assert (type(first), len(first._forward_pre_hooks), len(first._forward_hooks)) == (nn.Conv2d, hooks, 0)
    assert not first.weight._backward_hooks


def test_it_goes_with_an_inner_search_and_two_forward_passes():
    images, labels = data(40)
    model = fresh("small-cnn", images, classes=3, seed=0)
    fitted = fit(model, images, labels, [Trades(steps=1, eps=0.02), TrAct()], QUICK.model_copy(update={"epochs": 1}))
    assert all(p.isfinite().all() for p in fitted.last.parameters())


def test_what_it_does_not_go_with():
    images, labels = data(40)
    with pytest.raises(ParameterError, match="'tract' does not go with 'awp'"):
        fit(fresh("small-cnn", images, classes=3, seed=0), images, labels, [TrAct(), AWP()], QUICK)
    with pytest.raises(ModelError, match="no second derivative"):
        fit(fresh("small-cnn", images, classes=3, seed=0), images, labels, [TrAct(), GradAlign(eps=0.1)], QUICK)


def test_a_layer_that_the_loss_does_not_reach():
    class Aside(Late):
        def forward(self, x):
            self.stem(x)
            return self.head(x.flatten(1)[:, :4])

    images, labels = data(40)
    with pytest.raises(ModelError, match="no gradient reached layer 'stem'"):
        fit(Classifier(Aside()), images, labels, [TrAct(layer="stem")], QUICK)


def test_as_written_on_the_command_line():
    recipe = parse_method("tract:lambda=1/2,layer=stem,form=dual", "harden")
    assert (recipe.ridge, recipe.layer, recipe.form) == (0.5, "stem", "dual")
    assert "lambda" in TrAct.info.parameters()
