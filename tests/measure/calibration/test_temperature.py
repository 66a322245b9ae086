"""Published and hand-worked optima, and a plain search for the temperature."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize, special

from unshaken.core.errors import ParameterError
from unshaken.measure import calibration_error, nll, softmax, top_label
from unshaken.measure.calibration.temperature import expected_kl, fit_temperature, fit_vector_scaling, interpolator

FAST = {"resamples": 20, "simulations": 20}


def drawn(n=20_000, k=10, seed=0):
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, k))
    labels = (softmax(z).cumsum(1) > rng.random((n, 1))).argmax(1)
    return z, labels


def memorised(classes, overlap, margin):
    """Logits and posterior of two kinds of point: unambiguous ones, and ones that two classes share."""
    z = np.zeros((4, classes))
    z[:, 0] = margin
    posterior = np.zeros((4, classes))
    posterior[:2, 0] = 1
    posterior[2:, :2] = 0.5
    weights = np.array([(1 - overlap) / 2] * 2 + [overlap / 2] * 2)
    return z, posterior, weights


@pytest.mark.parametrize(
    ("classes", "overlap", "margin", "kl", "temperature", "raw", "uniform"),
    [
        (10, 0.4, 14.2, 0.66259, 3.9626, 2.56275, 2.02533),
        (100, 0.4, 11, 1.14217, 1.8390, None, 4.32791),
        (10, 1, 14.2, 1.09861, 6.4627, None, None),
        (2, 0.4, 10, 0.22314, 10 / math.log(4), None, None),
    ],
)
def test_the_closed_form_and_a_search(classes, overlap, margin, kl, temperature, raw, uniform):
    found = interpolator(classes, overlap, margin)
    assert found.kl == pytest.approx(kl, abs=6e-6)
    assert found.temperature == pytest.approx(temperature, abs=6e-5)
    z, posterior, weights = memorised(classes, overlap, margin)

    def at(t):
        values = (special.xlogy(posterior, posterior) - posterior * np.log(softmax(z / t))).sum(1)
        return float(weights @ values)

    best = optimize.minimize_scalar(at, bounds=(0.5, 30), method="bounded", options={"xatol": 1e-10})
    assert best.x == pytest.approx(found.temperature, rel=1e-4)
    assert best.fun == pytest.approx(found.kl, abs=1e-8)
    assert at(1) == pytest.approx(found.raw)
    assert at(1e9) == pytest.approx(found.uniform)
    if raw is not None:
        assert found.raw == pytest.approx(raw, abs=6e-6)
    if uniform is not None:
        assert found.uniform == pytest.approx(uniform, abs=6e-6)
    repeated = np.repeat([0, 2], [round((1 - overlap) * 10), round(overlap * 10)])
    fitted = fit_temperature(z[repeated], posterior[repeated])
    assert fitted.value == pytest.approx(found.temperature, rel=1e-9)
    figure = expected_kl(posterior[repeated], z[repeated], fitted.value)
    assert figure.value == pytest.approx(found.kl)


def test_ends_of_the_closed_form():
    assert interpolator(10, 0, 8).kl == 0
    assert interpolator(10, 0, 8).temperature == 0
    assert math.isinf(interpolator(2, 1, 5).temperature)
    assert interpolator(1000, 0.4, 10).kl - interpolator(100, 0.4, 10).kl == pytest.approx(0.2 * math.log(999 / 99))
    z, posterior, _ = memorised(4, 0.5, 3)
    assert expected_kl(posterior[:1], z[:1], 0.01).value == pytest.approx(0)
    assert expected_kl(posterior[2:], z[2:], math.inf).value == pytest.approx(math.log(2))


def test_a_converged_temperature_against_an_unconverged_one():
    z, labels = drawn()
    found = fit_temperature(3 * z, labels)
    assert found.value == pytest.approx(3, abs=0.06)
    assert found.slope == pytest.approx(0, abs=1e-9)
    assert found.inside is True
    assert found.nll == pytest.approx(nll(3 * z / found.value, labels, resamples=1).value)
    around = [nll(3 * z / t, labels, resamples=1).value for t in (found.value * 0.999, found.value * 1.001)]
    assert found.nll < min(around)
    few, theirs = drawn(4000)
    expected = {(1, 20): 1.095, (1, 50): 1.24, (1, 200): 2.04, (1.5, 20): 1.61}
    for (init, steps), value in expected.items():
        got = fit_temperature(3 * few, theirs, method="official", init=init, steps=steps)
        assert got.value == pytest.approx(value, abs=0.02)


@pytest.mark.parametrize(("init", "steps", "lr"), [(1.0, 1, 0.01), (1.0, 20, 0.01), (5.0, 50, 0.1), (0.5, 200, 1.0)])
def test_the_unconverged_temperature_is_that_of_torch(init, steps, lr):
    z, labels = drawn(300)
    logits, wanted = torch.from_numpy(z), torch.from_numpy(np.asarray(labels)).long()
    temperature = torch.tensor([init], dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([temperature], lr=lr, max_iter=steps)

    def closure():
        descent.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits / temperature, wanted)
        loss.backward()
        return loss

    descent.step(closure)
    found = fit_temperature(z, labels, method="official", init=init, steps=steps, lr=lr)
    assert (found.value, found.inside) == (pytest.approx(temperature.item(), rel=1e-9), True)


def test_temperature_keeps_every_ranking():
    z, labels = drawn(300)
    t = fit_temperature(z, labels).value
    assert (np.argsort(z, 1) == np.argsort(softmax(z / t), 1)).all()


def test_where_there_is_no_optimum():
    z = np.array([[2.0, 0], [3, 1], [0, 1]])
    sure = fit_temperature(z, [0, 0, 1])
    assert (sure.inside, sure.value) == (False, 1e-6)
    none = fit_temperature(z, [1, 1, 0])
    assert (none.inside, none.value) == (False, 1e6)


def test_vector_scaling_finds_scales_and_shifts():
    z, labels = drawn()
    scale, shift = np.linspace(0.5, 2, 10), np.linspace(-1, 1, 10)
    found = fit_vector_scaling((z - shift) / scale, labels)
    assert found.scale == pytest.approx(scale, abs=0.06)
    assert found.shift == pytest.approx(shift, abs=0.12)
    assert found.nll < nll(z, labels, resamples=1).value
    assert found.apply(np.zeros((1, 10)))[0] == pytest.approx(found.shift)
    assert fit_vector_scaling(3 * z, labels).nll <= fit_temperature(3 * z, labels).nll


@pytest.mark.parametrize(("rate", "loss"), [(0.1, 0.105), (0.3, 0.357)])
def test_the_bayes_predictor_of_flipped_pairs(rate, loss):
    n = 1000
    clean = np.arange(n) % 4
    flipped = (clean + 1) % 4
    posterior = np.eye(4)[clean] * (1 - rate) + np.eye(4)[flipped] * rate
    logits = np.log(posterior + 1e-300)
    on_clean = calibration_error(*top_label(posterior, clean), **FAST)
    assert on_clean.ece.value == pytest.approx(rate)
    assert top_label(posterior, clean)[1].all()
    assert nll(logits, clean, resamples=1).value == pytest.approx(loss, abs=6e-4)
    order = np.random.default_rng(0).permutation(n)
    noisy = np.where(np.isin(np.arange(n), order[: round(rate * n)]), flipped, clean)
    assert calibration_error(*top_label(posterior, noisy), **FAST).ece.value == pytest.approx(0, abs=1e-12)
    entropy = -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)
    assert nll(logits, noisy, resamples=1).value == pytest.approx(entropy)
    assert expected_kl(posterior, logits).value == pytest.approx(0, abs=1e-9)


def test_bad_input():
    z, labels = drawn(20)
    with pytest.raises(ParameterError, match="method 'lbfgs' is not one of"):
        fit_temperature(z, labels, method="lbfgs")
    with pytest.raises(ParameterError, match="steps=0 must be above 0"):
        fit_temperature(z, labels, method="official", steps=0)
    with pytest.raises(ParameterError, match="one row a sample"):
        fit_temperature(z, np.ones((19, 10)) / 10)
    with pytest.raises(ParameterError, match="sum to 1"):
        expected_kl(np.ones((20, 10)), z)
    with pytest.raises(ParameterError, match="temperature=0 must be above 0"):
        expected_kl(softmax(z), z, 0)
    with pytest.raises(ParameterError, match="not finite"):
        fit_temperature(np.full((2, 2), np.nan), [0, 1])
    with pytest.raises(ParameterError, match="ridge=-1"):
        fit_vector_scaling(z, labels, ridge=-1)
    with pytest.raises(ParameterError, match="classes=1"):
        interpolator(1, 0.5, 1)
