"""The exact worst case against one full step of an attack, and optima against a general solver and the theory."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import optimize
from sklearn.linear_model import LogisticRegression

from unshaken.core.errors import ParameterError
from unshaken.harden.recipes.adversarial.robust_linear import fit_robust_linear, robust_logistic_loss
from unshaken.measure.robustness.disparity_theory import DegenerateClassifierWarning, gaussian_optimum


def two_gaussians(n, d, mu, ratio, seed):
    rng = np.random.default_rng(seed)
    positive = np.arange(n) < round(n / (1 + ratio))
    theta = np.full(d, mu / np.sqrt(d))
    return np.where(positive, 1, -1)[:, None] * theta + rng.normal(size=(n, d)), positive


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_is_the_loss_after_one_full_step(norm):
    g = torch.Generator().manual_seed(0)
    x, labels = torch.randn(40, 6, generator=g, dtype=torch.float64), torch.arange(40) % 2
    head, bias = torch.randn(2, 6, generator=g, dtype=torch.float64), torch.randn(2, generator=g, dtype=torch.float64)
    moved = x.clone().requires_grad_()
    F.cross_entropy(moved @ head.T + bias, labels, reduction="sum").backward()
    step = moved.grad.sign() if norm == "linf" else moved.grad / moved.grad.norm(dim=1, keepdim=True)
    attacked = F.cross_entropy((x + 0.3 * step) @ head.T + bias, labels)
    exact = robust_logistic_loss(x, 2.0 * labels - 1, head[1] - head[0], bias[1] - bias[0], eps=0.3, norm=norm)
    assert exact.item() == pytest.approx(attacked.item(), rel=1e-12)
    assert exact > robust_logistic_loss(x, 2.0 * labels - 1, head[1] - head[0], bias[1] - bias[0], eps=0, norm=norm)


def test_without_an_adversary_it_is_logistic_regression():
    x, positive = two_gaussians(800, 5, 1.0, 3, 0)
    found = fit_robust_linear(x, positive, ridge=0.01)
    peer = LogisticRegression(C=1 / (0.01 * 800), tol=1e-10, max_iter=1000).fit(x, positive)
    assert found.weights == pytest.approx(peer.coef_[0], abs=1e-4)
    assert found.bias == pytest.approx(peer.intercept_[0], abs=1e-4)
    fair = fit_robust_linear(x, positive, ridge=0.01, balanced=True)
    peer = LogisticRegression(C=1 / (0.01 * 800), tol=1e-10, max_iter=1000, class_weight="balanced").fit(x, positive)
    assert fair.weights == pytest.approx(peer.coef_[0], abs=1e-4)
    assert fair.bias == pytest.approx(peer.intercept_[0], abs=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_optimum_against_a_general_solver(norm):
    x, positive = two_gaussians(300, 4, 1.2, 2, 1)
    found = fit_robust_linear(x, positive, eps=0.2, norm=norm, ridge=0)
    y = np.where(positive, 1, -1)

    def loss(v):
        dual = np.abs(v[:4]).sum() if norm == "linf" else np.linalg.norm(v[:4])
        return np.logaddexp(0, 0.2 * dual - y * (x @ v[:4] + v[4])).mean()

    own = np.append(found.weights, found.bias)
    assert found.loss == pytest.approx(loss(own))
    peer = optimize.minimize(loss, own + 0.1, method="Powell", options={"xtol": 1e-8, "ftol": 1e-12, "maxiter": 10_000})
    assert found.loss <= peer.fun + 1e-8
    assert found.loss == pytest.approx(peer.fun, abs=1e-4)


@pytest.mark.parametrize(("ratio", "eps"), [(5, 0.75), (10, 0.5)])
def test_gaussian_data_follow_the_theory(ratio, eps):
    x, positive = two_gaussians(20_000, 10, 1.5, ratio, 2)
    model = fit_robust_linear(x, positive, eps=eps, norm="l2")
    test, labels = two_gaussians(20_000, 10, 1.5, 1, 3)
    right = model.margins(test, labels) > 0
    theory = gaussian_optimum(np.full(10, 1.5 / np.sqrt(10)), ratio=ratio, eps=eps).outcome
    assert right[~labels].mean() - right[labels].mean() == pytest.approx(theory.disparity, abs=0.03)
    robust = model.margins(test, labels, eps=eps, norm="l2") > 0
    assert robust[~labels].mean() == pytest.approx(theory.robust_majority, abs=0.02)
    fair = fit_robust_linear(x, positive, eps=eps, norm="l2", balanced=True)
    right = fair.margins(test, labels) > 0
    assert right[~labels].mean() - right[labels].mean() == pytest.approx(0, abs=0.03)


def test_a_radius_that_is_too_large_gives_a_warning():
    x, positive = two_gaussians(400, 3, 0.5, 3, 4)
    with pytest.warns(DegenerateClassifierWarning, match=r"eps=2 \(linf\) says the same of every sample"):
        model = fit_robust_linear(x, positive, eps=2)
    assert model.degenerate
    assert not model.weights.any()
    assert model.bias == pytest.approx(np.log(1 / 3), abs=1e-3)


def test_as_a_classifier_of_images():
    x, positive = two_gaussians(200, 12, 2, 1, 5)
    model = fit_robust_linear(x, positive)
    images = torch.from_numpy(x).float().view(-1, 3, 2, 2)
    logits = model.classifier((3, 2, 2))(images)
    assert (logits[:, 1] - logits[:, 0]).tolist() == pytest.approx(
        (x @ model.weights + model.bias).tolist(), rel=1e-3, abs=1e-3
    )
    with pytest.raises(ParameterError, match="do not have the 12 values"):
        model.classifier((1, 2, 2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"eps": -1}, "eps=-1"),
        ({"norm": "l1"}, "norm='l1'"),
        ({"steps": 0}, "steps=0"),
        ({"positive": [True] * 4}, "all samples are of one"),
        ({"positive": [True, False]}, "one row for each of 2 labels"),
        ({"x": [[np.nan, 0]] * 4}, "x has 4 missing"),
        ({"x": [1, 2, 3, 4]}, r"x must be \[N, d\]"),
    ],
)
def test_bad_input(change, words):
    given = {"x": [[1, 0], [0, 1], [2, 1], [0, 0]], "positive": [True, False, True, False]} | change
    with pytest.raises(ParameterError, match=words):
        fit_robust_linear(given.pop("x"), given.pop("positive"), **given)
