import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from unshaken.attack.fooling import confidence, log_odds
from unshaken.attack.fooling.confidence import LogOdds, TargetLogit, check_known, check_task
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.query import Answer


def logits(n, k, scale=5.0, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("k", [2, 3, 10])
def test_log_odds_are_the_logit_less_the_logsumexp_of_the_others(k):
    z = logits(50, k)
    wanted = [[row[c] - logsumexp(np.delete(row, c)) for c in range(k)] for row in z.double().numpy()]
    np.testing.assert_allclose(log_odds(z).numpy(), wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(confidence(log_odds(z)).numpy(), z.double().softmax(1).numpy(), rtol=1e-9)


def test_log_odds_still_rank_where_the_confidence_rounds_to_1():
    z = torch.tensor([[40.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
    assert z.softmax(1)[:, 0].tolist() == [1.0, 1.0]
    assert log_odds(z)[:, 0].tolist() == pytest.approx([40 - np.log(2), 50 - np.log(2)], rel=1e-12)


def test_an_image_has_at_most_one_confidence_above_a_half():
    p = confidence(log_odds(logits(200, 7, scale=3)))
    np.testing.assert_allclose(p.sum(1).numpy(), 1, rtol=1e-9)
    assert int((p > 0.5).sum(1).max()) == 1


def test_objectives_and_their_gradients():
    z, targets = logits(4, 3).requires_grad_(), torch.tensor([0, 2, 1, 1])
    value = LogOdds(targets)(Answer(logits=z))
    np.testing.assert_allclose(
        value.detach().double().numpy(), log_odds(z.detach())[torch.arange(4), targets].numpy(), rtol=1e-4, atol=1e-5
    )
    (gradient,) = torch.autograd.grad(value.sum(), z)
    others = z.detach().clone()
    others[torch.arange(4), targets] = -torch.inf
    wanted = -others.softmax(1)
    wanted[torch.arange(4), targets] = 1
    np.testing.assert_allclose(gradient.numpy(), wanted.numpy(), atol=1e-6)
    assert TargetLogit(targets)(Answer(logits=z)).tolist() == z[torch.arange(4), targets].tolist()


def test_what_cannot_be_is_refused():
    with pytest.raises(ModelError, match="two classes"):
        log_odds(torch.zeros(3, 1))
    with pytest.raises(ModelError, match="one logit"):
        check_known([0], 1)
    with pytest.raises(ParameterError, match="class 5 does not exist: the model's last class is 2"):
        check_known([0, 5], 3)
    for classes in ([], [1, 1], [-1]):
        with pytest.raises(ParameterError, match="at least one class"):
            check_task(classes, (1, 8, 8))
    for shape in ((8, 8), (2, 8, 8), (1, 0, 8)):
        with pytest.raises(ParameterError, match="shape"):
            check_task([0], shape)
