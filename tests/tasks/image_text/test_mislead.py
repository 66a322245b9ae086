"""The misleading loss by hand, and that its gradient reaches the generator on the soft path alone."""

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.tasks.image_text import mislead_loss, soft_words

P = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)


@pytest.mark.parametrize(("form", "value"), [("sum", 1.203973), ("largest", 1.609438), ("margin", 1.252763)])
def test_values_by_hand(form, value):
    assert mislead_loss(P.log(), torch.tensor([0]), form=form).item() == pytest.approx(value, abs=1e-6)
    assert mislead_loss(P.log() + 5, torch.tensor([0]), form=form).item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("form", ["sum", "largest", "margin"])
def test_who_is_misled_already_costs_nothing(form):
    tie = torch.tensor([[0.4, 0.4, 0.2]]).log()
    assert mislead_loss(P.log(), torch.tensor([1]), form=form).item() == 0
    assert mislead_loss(tie, torch.tensor([0]), form=form).item() == 0


def test_the_gradient_reaches_the_generator_through_soft_words_and_not_through_the_largest():
    torch.manual_seed(0)
    generator = torch.randn(2, 4, 6, requires_grad=True)
    table, weights = torch.randn(6, 5), torch.randn(5, 3)
    labels = (soft_words(generator, table).mean(1) @ weights).argmax(1)
    mislead_loss(soft_words(generator, table).mean(1) @ weights, labels).sum().backward()
    assert generator.grad.abs().amax((1, 2)).min() > 0
    hard = table[generator.argmax(-1)].mean(1) @ weights
    assert not mislead_loss(hard, labels).requires_grad


def test_a_step_along_the_gradient_misleads():
    torch.manual_seed(1)
    generator, table, weights = torch.randn(1, 3, 6), torch.randn(6, 5), torch.randn(5, 3)

    def logits(x):
        return soft_words(x, table).mean(1) @ weights

    labels, x = logits(generator).argmax(1), generator.clone().requires_grad_()
    for _ in range(300):
        loss = mislead_loss(logits(x), labels).sum()
        if loss == 0:
            break
        (gradient,) = torch.autograd.grad(loss, x)
        x = (x - 2 * gradient).detach().requires_grad_()
    assert logits(x).softmax(1)[0, labels[0]] < logits(generator).softmax(1)[0, labels[0]]


def test_a_low_temperature_is_nearly_the_largest_word():
    torch.manual_seed(0)
    generator, table = torch.randn(1, 3, 6), torch.randn(6, 5)
    assert torch.allclose(soft_words(generator, table, temperature=1e-3), table[generator.argmax(-1)], atol=1e-4)


def test_wrong_use_is_refused():
    with pytest.raises(ParameterError, match="form"):
        mislead_loss(P, torch.tensor([0]), form="best")
    with pytest.raises(ParameterError, match="temperature"):
        soft_words(P[None], P.T, temperature=0)
