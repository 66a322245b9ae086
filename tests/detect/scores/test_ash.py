"""Energy of the largest features."""

import pytest
import torch

from unshaken.core.errors import ModelError, ParameterError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.ash import ASH, ash
from unshaken.detect.scores.energy import Energy

HEAD = Anatomy("toy", 2, "head", (), torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]]), torch.zeros(2))
F = torch.tensor([[0.1, 2, 0.5, 1]])


def forward(features):
    return ForwardPass(HEAD, HEAD.read_out(features).float(), {"head:in": features})


@pytest.mark.parametrize(
    ("variant", "expected"), [("p", [0, 2, 0, 1]), ("b", [0, 1.8, 0, 1.8]), ("s", [0, 6.640234, 0, 3.320117])]
)
def test_published_features(variant, expected):
    assert ash(F, 50, variant)[0].tolist() == pytest.approx(expected, abs=1e-6)
    energy = -torch.tensor([expected[0] + expected[2], expected[1] + expected[3]]).logsumexp(0)
    assert ASH(percentile=50, variant=variant).score(forward(F), {}).item() == pytest.approx(energy.item(), abs=1e-5)


def test_the_largest_feature_alone_is_left_of_four():
    assert ash(F, 95, "p").tolist() == [[0, 2, 0, 0]]
    assert ash(F, 95, "b")[0].tolist() == pytest.approx([0, 3.6, 0, 0])


def test_pruning_nothing_is_energy():
    sample = forward(torch.rand(20, 4))
    found = ASH(percentile=0, variant="p").score(sample, {})
    assert torch.allclose(found, Energy().score(sample, {}), atol=1e-6)


def test_pruning_and_binarising_keep_the_order_of_the_kept():
    features = torch.rand(30, 10)
    for variant in ("p", "s"):
        assert torch.equal(ash(features, 65, variant).argmax(1), features.argmax(1))
    fit_data = features.topk(4).indices
    for variant in ("p", "b", "s"):
        assert ash(features, 65, variant).gather(1, fit_data).min() > 0
        assert (ash(features, 65, variant) > 0).sum(1).tolist() == [4] * 30  # 10 - round(6.5) = 4


@pytest.mark.parametrize("variant", ["p", "b", "s"])
def test_a_sample_that_is_zero_all_over_has_a_score(variant):
    assert ASH(variant=variant).score(forward(torch.zeros(1, 4)), {}).item() == pytest.approx(
        -torch.tensor(2.0).log().item()
    )


@pytest.mark.parametrize("variant", ["p", "b", "s"])
def test_one_feature_at_least_stays_and_the_stretch_stays_finite(variant):
    assert ASH(variant=variant, percentile=95).score(forward(torch.ones(1, 4)), {}).isfinite().all()


def test_features_below_zero_are_refused():
    with pytest.raises(ModelError, match=r"ash: the head's input has values below 0 \(-0.5\)"):
        ASH().score(forward(torch.tensor([[1.0, -0.5, 0, 2]])), {})


@pytest.mark.parametrize("values", [{"variant": "x"}, {"percentile": 99}, {"percentile": -1}])
def test_parameters_are_checked(values):
    with pytest.raises(ParameterError, match=next(iter(values))):
        ASH(**values)
