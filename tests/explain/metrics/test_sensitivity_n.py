import pytest
import torch

from unshaken.explain.metrics.sensitivity_n import SensitivityN

SHARES = [0.4, 0.3, 0.2, 0.1]


@pytest.mark.parametrize(("factor", "correlation"), [(3.0, 1), (-1.0, -1)])
@pytest.mark.parametrize("share", [0.25, 0.5])
def test_shares_of_a_linear_model_tell_every_fall(additive, factor, correlation, share):
    case = additive([factor * s for s in SHARES])
    found = SensitivityN(share=share, samples=20, substrate="black").judge(case)
    assert found.value.item() == pytest.approx(correlation, abs=1e-6)
    assert found.forwards.tolist() == [21]


def test_a_model_that_does_not_move_has_no_value(additive):
    case = additive(SHARES, lambda x: torch.zeros(len(x)))
    assert SensitivityN(samples=5, substrate="black").judge(case).value.isnan().all()
