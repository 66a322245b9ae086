import pytest
import torch

from unshaken.core.rng import SampleRng
from unshaken.explain.engine.metric import make_case
from unshaken.explain.metrics.max_sensitivity import MaxSensitivity

WEIGHTS = torch.tensor([1.0, -2, 3, 0.5])


@pytest.fixture
def grey():
    return torch.full((2, 1, 2, 2), 0.5)


def test_the_gradient_of_a_linear_model_does_not_move(formula, grey):
    case, _ = make_case(formula(lambda x: x @ WEIGHTS), grey, "gradient", classes=torch.tensor([0, 0]))
    found = MaxSensitivity(samples=3).judge(case)
    assert found.value.tolist() == [0, 0]
    assert found.forwards.tolist() == found.backwards.tolist() == [3, 3]


def test_input_x_gradient_moves_with_the_image(formula, grey):
    """The map is `w x`, so the change is `|w d| / |w x|` for the largest of the drawn d."""
    method = "input-x-gradient:channels=sum"
    case, _ = make_case(formula(lambda x: x @ WEIGHTS), grey, method, classes=torch.tensor([0, 0]))
    found = MaxSensitivity(samples=3, radius=0.1).judge(case).value
    rng = SampleRng.of(0, "explain max-sensitivity", ["0", "1"])
    noise = [rng.fold(i).uniform(1, 2, 2, low=-0.1, high=0.1).flatten(1) for i in range(3)]
    by_hand = torch.stack([(WEIGHTS * d).norm(dim=1) / (WEIGHTS * 0.5).norm() for d in noise]).amax(0)
    torch.testing.assert_close(found, by_hand.double(), rtol=1e-5, atol=0)
