import pytest
import torch

from unshaken.core.errors import ModelError
from unshaken.explain.engine.metric import make_case
from unshaken.explain.metrics.randomisation import Randomisation, cascade
from unshaken.models.loaders.load import second_model


def test_layers_lose_their_weights_from_the_output_down(conv, images):
    """Its three layers with weights are 0, 3 and 7."""
    before = {k: v.clone() for k, v in conv.net.state_dict().items()}
    changed = []
    for other in cascade(conv, images, 0, seed=0):
        state = other.net.state_dict()
        changed.append({k.partition(".")[0] for k, v in state.items() if not torch.equal(v, before[k])})
        assert all(torch.equal(v.flatten().sort().values, before[k].flatten().sort().values) for k, v in state.items())
    assert changed == [{"7"}, {"3", "7"}, {"0", "3", "7"}]
    assert all(torch.equal(v, before[k]) for k, v in conv.net.state_dict().items())
    assert [len(list(cascade(conv, images, n, 0))) for n in (1, 2, 9)] == [1, 2, 3]


def test_a_control_that_knows_no_model_never_changes(conv, images):
    value = Randomisation().judge(make_case(conv, images, "edge-detector")[0]).value
    assert value.tolist() == pytest.approx([1.0] * 7)


def test_a_gradient_changes(conv, images):
    found = Randomisation(stages=3).judge(make_case(conv, images, "gradient")[0])
    assert (found.value < 0.9).all()
    assert found.forwards.tolist() == found.backwards.tolist() == [3] * 7


def test_a_net_without_weights_is_told(formula):
    model = formula(lambda x: x.sum(1))
    with pytest.raises(ModelError, match="nothing to randomise"):
        Randomisation().judge(make_case(model, torch.ones(1, 1, 2, 2), "gradient")[0])


def test_a_second_network_takes_the_place_of_the_cascade():
    case, _ = make_case(second_model("demo"), torch.rand(2, 1, 28, 28), "gradient")
    assert Randomisation(net="demo").judge(case).value.tolist() == pytest.approx([1, 1])
    assert Randomisation(net="demo").further_models == ("demo",)
