"""Ascent against formulas by hand, its regularisers, and random settings."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch import nn

from unshaken.attack.fooling import Ascent, ascend, random_ascents
from unshaken.attack.fooling.ascent import CHOICES, progress_rate, without_small, without_useless
from unshaken.core import Classifier, Oracle
from unshaken.core.errors import ModelError, ParameterError


def test_small_pixels_go_by_their_norm_over_channels():
    x = torch.tensor([[[[3.0, 0.1, 0.2, 1.0]], [[4.0, 0.1, 0.0, 0.0]]]])  # norms 5, 0.14, 0.2, 1
    assert without_small(x, 50).tolist() == [[[[3, 0, 0, 1]], [[4, 0, 0, 0]]]]
    assert (without_small(x, 0) == x).all()
    both = torch.cat([x, 10 * x])
    assert (without_small(both, 50)[1] == 10 * without_small(x, 50)[0]).all()  # each image by itself


def test_useless_pixels_go_by_benefit_with_and_without_sign():
    x = torch.tensor([[[[1.0, 1.0, 1.0, 1.0]]]])
    gradient = torch.tensor([[[[4.0, -1.0, 2.0, -3.0]]]])  # benefits of 0: -4, 1, -2, 3
    assert without_useless(x, gradient, 50, absolute=False).tolist() == [[[[0, 1, 0, 1]]]]
    assert without_useless(x, gradient, 50, absolute=True).tolist() == [[[[1, 0, 0, 1]]]]
    assert (without_useless(x, gradient, 0, absolute=True) == x).all()


SHAPE = (1, 3, 4)


class Linear(nn.Module):
    """Logits `W x + b`; remembers what it was shown."""

    def __init__(self, weight, bias=0.0):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), bias
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return x.flatten(1) @ self.weight.T + self.bias


def weights(k=3, seed=0, scale=1.0, n=12):
    return torch.randn(k, n, generator=torch.Generator().manual_seed(seed)) * scale


def oracle(weight, bias=0.0):
    return Oracle(Classifier(Linear(weight, bias), name="linear").eval())


def shown(counted):
    """The points of the ascent: neither the check of the classes before it nor the 8-bit images after it."""
    return torch.cat(counted.model.net.seen[1:-1]).flatten(1)


@pytest.mark.parametrize(("p", "gain"), [(0.2, 0.03), (0.9, 0.01), (0.7, 0.03)])
def test_the_progress_rule_predicts_the_gain_that_was_wanted(p, gain):
    squared = torch.tensor([0.5, 40.0]).double()
    rate = progress_rate(torch.tensor([p, p]).double(), torch.tensor([1 - p] * 2).double(), squared, 0.03, 0.1, 1e9)
    assert (rate * squared).tolist() == pytest.approx([gain, gain])
    one = torch.ones(1).double()
    assert progress_rate(one * p, one * (1 - p), one * 1e-8, 0.03, 0.1, most=7.0).tolist() == [7.0]  # the rate binds
    assert progress_rate(one * p, one * (1 - p), one * 0, 0.03, 0.1, 1e9).tolist() == [0.0]


def test_one_step_by_hand():
    counted = oracle(weights(scale=0.3))
    ascend(counted, [1], SHAPE, settings=Ascent(steps=2, decay=0.25, begin="normal"), mean=0.4, seed=3)
    start, second = shown(counted).double()
    w = counted.model.net.weight.detach().double()
    p = (w @ start).softmax(0)
    gradient = p[1] * (w[1] - p @ w)
    wanted = min(0.03, 0.1 * (1 - float(p[1])))
    x = (start - 0.4 + wanted / gradient.square().sum() * gradient) * 0.75
    np.testing.assert_allclose(second.numpy(), (x + 0.4).numpy(), atol=1e-6)
    assert float((start - 0.4).std()) == pytest.approx(1 / 255, rel=0.6)


def test_the_point_is_kept_in_the_box():
    counted = oracle(weights(scale=0.3))
    ascend(counted, [0], SHAPE, settings=Ascent(steps=40, decay=0, begin="uniform", early=5, late=5), seed=1)
    points = shown(counted)
    assert float(points.min()) == 0
    assert float(points.max()) == 1


def test_ascent_on_the_logit_moves_along_its_weights_to_the_corner():
    counted, slow = oracle(weights()), Ascent(steps=3, decay=0, objective="logit", begin="zero", early=0.1, late=10)
    ascend(counted, [2], SHAPE, settings=slow)
    w = counted.model.net.weight.detach()[2]
    for move in shown(counted)[1:] - 0.5:
        assert torch.cosine_similarity(move, w, dim=0) > 1 - 1e-6
    fast = Ascent(steps=60, decay=0, objective="logit", begin="zero", early=50, late=1e6)
    found = ascend(counted, [2], SHAPE, settings=fast)
    assert (found.images.flatten() == (w > 0) * 255).all()


def test_with_two_classes_the_most_confident_image_is_a_corner():
    v = torch.linspace(-1.1, 1.1, 12)
    counted = oracle(torch.stack([v, v.flip(0) * 0.5 - 0.2]))
    found = ascend(counted, [0, 1], SHAPE, settings=Ascent(steps=100, decay=0, early=5, late=5, lr_max=1e9))
    w = counted.model.net.weight.detach()
    assert (found.images[0].flatten() == (w[0] > w[1]) * 255).all()
    assert (found.images[1].flatten() == (w[1] > w[0]) * 255).all()


@pytest.mark.parametrize(("objective", "late"), [("probability", 0.1), ("log-odds", 5)])
def test_with_more_classes_it_reaches_what_a_bounded_optimiser_reaches(objective, late):
    w, inner = weights(k=4, seed=2), 0
    bias = torch.tensor([3.0, 0.0, 0.0, 0.0])
    settings = Ascent(steps=400, decay=0, objective=objective, early=late, late=late)
    found = ascend(oracle(w, bias), range(4), SHAPE, settings=settings)
    numpy_w, numpy_b = w.double().numpy(), bias.double().numpy()
    for c in range(4):

        def cost(x, c=c):
            z = log_softmax(numpy_w @ x + numpy_b)
            return -z[c], -(numpy_w[c] - np.exp(z) @ numpy_w)

        best = minimize(cost, np.full(12, 0.5), jac=True, bounds=[(0, 1)] * 12, method="L-BFGS-B", tol=1e-12)
        inner += bool(((best.x > 0.01) & (best.x < 0.99)).any())
        log_p = float(found.confidence[c].log())
        assert log_p <= -best.fun + 0.02  # eight bits may round either way
        assert log_p >= -best.fun - 0.02
    assert inner >= 1  # the box optimum is no corner for some class


def test_certainty_does_not_stop_it():
    found = ascend(oracle(weights(k=2, seed=5, scale=5)), range(2), SHAPE, settings=Ascent(steps=300, decay=0))
    assert float(found.odds.min()) > 18  # 1 - p below 2e-8 rounds to 0 in float32
    assert float(found.curve[:, 0].max()) < 0.99
    assert (found.best_step > found.crossed[:, 3]).all()


def test_records_agree_with_the_curve():
    found = ascend(oracle(weights(scale=2)), range(3), SHAPE, settings=Ascent(steps=150, decay=0.01), starts=2)
    assert found.classes.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.curve.shape == (6, 150)
    for row in range(6):
        curve = found.curve[row]
        assert int(found.best_step[row]) == int(curve.argmax())
        for column, level in ((1, 0.99), (2, 0.999), (3, 0.9999)):
            over = (curve >= level).nonzero().flatten().tolist()
            assert int(found.crossed[row, column]) == (over[0] if over else -1)
        assert 0 <= int(found.crossed[row, 0]) <= int((curve > 0.5).nonzero()[0])
        assert int(found.prediction[row]) == int(found.classes[row])


def test_the_confidence_is_that_of_the_8_bit_image():
    counted = oracle(weights(scale=2))
    found = ascend(counted, range(3), SHAPE, settings=Ascent(steps=40))
    with torch.no_grad():
        p = counted.model(found.images.float() / 255).double().softmax(1)
    np.testing.assert_allclose(found.confidence.numpy(), p.diagonal().numpy(), rtol=1e-5)


def test_a_class_and_start_depend_on_nothing_else(make):
    model = make.net(classes=4)
    together = ascend(Oracle(model), [0, 3, 1], SHAPE, settings=Ascent(steps=12), starts=3, seed=9)
    alone = ascend(Oracle(model, limit=2), [3], SHAPE, settings=Ascent(steps=12), starts=2, seed=9)
    np.testing.assert_allclose(alone.curve.numpy(), together.curve[3:5].numpy(), rtol=1e-4)
    other = ascend(Oracle(model), [3], SHAPE, settings=Ascent(steps=12), seed=10)
    assert (other.curve[0] != alone.curve[0]).any()


def test_passes_are_counted(make):
    counted = Oracle(make.net())
    ascend(counted, [0, 2], SHAPE, settings=Ascent(steps=7))
    assert (counted.meter.forwards, counted.meter.backwards) == (1 + 2 * 7 + 2, 2 * 7)


def test_no_gradient_ends_it():
    found = ascend(oracle(torch.zeros(2, 12)), [0], SHAPE, settings=Ascent(steps=9))
    assert found.steps.tolist() == [1]
    assert found.curve[0, 0] == 0.5
    assert bool(found.curve[0, 1:].isnan().all())


def test_blur_comes_when_it_is_due():
    def path(**blur):
        counted = oracle(weights(scale=0.3))
        settings = Ascent(steps=5, decay=0, begin="uniform", early=1e-9, late=1e-9, **blur)
        ascend(counted, [0], SHAPE, settings=settings)
        return shown(counted).std(1)

    assert path().tolist() == pytest.approx([float(path()[0])] * 5, rel=1e-4)
    third = path(blur=1.0, blur_every=2)
    assert third[1] == pytest.approx(float(third[0]), rel=1e-4)
    assert third[2] < 0.7 * third[1]
    assert third[3] == pytest.approx(float(third[2]), rel=1e-4)
    assert third[4] < 0.9 * third[3]


def test_small_pixels_are_set_to_the_mean():
    counted = oracle(weights(scale=0.3))
    ascend(counted, [0], SHAPE, settings=Ascent(steps=3, decay=0, small_norm=50), mean=0.25)
    assert (shown(counted)[1:] == 0.25).sum(1).tolist() == [6, 6]
    counted = oracle(weights(scale=0.3))
    ascend(counted, [0], SHAPE, settings=Ascent(steps=2, decay=0, small_benefit=30, absolute_benefit=True), mean=0.25)
    assert (shown(counted)[1:] == 0.25).sum(1).tolist() == [4]


def test_wrong_use_is_one_line(make):
    counted = Oracle(make.net(classes=3))
    for classes, options, words in (
        ([3], {}, "class 3 does not exist: the model's last class is 2"),
        ([], {}, "at least one class"),
        ([0], {"starts": 0}, "starts=0"),
        ([0], {"mean": 1.5}, r"must lie in \[0, 1\]"),
        ([0], {"mean": torch.nan}, r"must lie in \[0, 1\]"),
        ([0], {"mean": torch.zeros(3, 5, 5)}, "does not fit"),
    ):
        with pytest.raises(ParameterError, match=words):
            ascend(counted, classes, SHAPE, **options)
    with pytest.raises(ParameterError, match="shape"):
        ascend(counted, [0], (1, 8))
    with pytest.raises(ModelError, match="one logit"):
        ascend(oracle(torch.zeros(1, 12)), [0], SHAPE)
    with pytest.raises(ModelError, match="NaN"):
        ascend(oracle(torch.full((2, 12), torch.nan)), [0], SHAPE)
    blind = Classifier(Linear(weights()), differentiable=False, name="black box").eval()
    with pytest.raises(ModelError, match="no gradients"):
        ascend(Oracle(blind), [0], SHAPE)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"early": 0}, {"decay": 1}, {"objective": "x"}, {"blur": -1}, {"small_norm": 101}]
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Ascent(**wrong)


def test_log_odds_rise_by_what_was_wanted_of_the_confidence():
    """The step along the log-odds has the rate of its own gradient: `min(early, late (1 - p)) / |g|^2`."""
    counted = oracle(weights(scale=0.3))
    settings = Ascent(steps=2, decay=0, begin="zero", objective="log-odds", early=0.02, late=0.1)
    ascend(counted, [1], SHAPE, settings=settings)
    start, second = shown(counted).double()
    w = counted.model.net.weight.detach().double()
    p = (w @ start).softmax(0)
    others = p.clone()
    others[1] = 0
    gradient = w[1] - (others / others.sum()) @ w
    expected = start + 0.02 / gradient.square().sum() * gradient
    np.testing.assert_allclose(second.numpy(), expected.numpy(), atol=1e-6)


def test_one_start_of_seed_0_unless_told_otherwise(make):
    model, few = make.net(classes=3), Ascent(steps=2)
    found = ascend(Oracle(model), [1], SHAPE, settings=few)
    assert found.classes.tolist() == [1]
    same, other = (ascend(Oracle(model), [1], SHAPE, settings=few, seed=s).images for s in (0, 1))
    assert torch.equal(found.images, same)
    assert not torch.equal(found.images, other)
    assert torch.equal(few.find(Oracle(model), [1], SHAPE).images, same)


def test_every_choice_is_drawn_and_nothing_else():
    found = random_ascents(200, seed=1)
    for name, values in CHOICES.items():
        assert {getattr(a, name) for a in found} == set(values)
    assert {a.lr_max for a in found} == {1e7 / 255**2}
    assert len({a.early for a in found}) == 1


def test_a_draw_depends_on_the_seed_and_its_place_alone():
    assert random_ascents(10, seed=3) == random_ascents(100, seed=3)[:10]
    assert random_ascents(10, seed=3) != random_ascents(10, seed=4)
    assert random_ascents(10) == random_ascents(10, seed=0)


def test_what_is_given_is_not_drawn():
    found = random_ascents(20, blur=2.5, lr_max=7)
    assert {(a.blur, a.lr_max) for a in found} == {(2.5, 7)}
    assert all(isinstance(a, Ascent) for a in found)


def test_wrong_settings_of_the_random_search_are_refused_in_one_line():
    with pytest.raises(ParameterError, match="n=0"):
        random_ascents(0)
    with pytest.raises(ParameterError, match="momentum"):
        random_ascents(1, momentum=0.9)
