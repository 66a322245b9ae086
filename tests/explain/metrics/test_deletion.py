import dataclasses

import pytest
import torch

from unshaken.core.rng import SampleRng
from unshaken.explain.metrics.deletion import Deletion
from unshaken.explain.metrics.insertion import Insertion

SHARES = [0.4, 0.3, 0.2, 0.1]
OPTIONS = {"score": "logit", "substrate": "black", "steps": 4}


@pytest.mark.parametrize(("order", "area"), [(SHARES, 0.375), (SHARES[::-1], 0.625)])
def test_the_best_and_the_worst_order_of_an_additive_model(additive, order, area):
    found = Deletion(**OPTIONS).judge(additive(order))
    assert found.value.item() == pytest.approx(area, abs=1e-6)
    assert found.forwards.tolist() == [5]


@pytest.mark.parametrize("order", [SHARES, [0.2, 0.9, 0.1, 0.3]])
def test_with_one_substrate_both_games_add_up_to_the_whole(additive, order):
    """In an additive model the pixels that insertion has put in are those that deletion has taken out."""
    case = additive(order)
    both = sum(metric(**OPTIONS).judge(case).value.item() for metric in (Deletion, Insertion))
    assert both == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("metric", [Deletion, Insertion])
def test_a_model_that_is_equally_sure_of_everything(additive, metric):
    """Both areas are its confidence, for every map: the bias of the raw value, which the correction takes away."""
    for order in (SHARES, SHARES[::-1], [0.0] * 4):
        case = additive(order, lambda x: torch.full((len(x),), 2.0))
        confidence = torch.tensor(2.0).sigmoid().item()
        assert metric(steps=4).judge(case).value.item() == pytest.approx(confidence, abs=1e-6)
        assert metric(steps=4, corrected=True).judge(case).value.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("metric", [Deletion, Insertion])
def test_correction_by_hand(additive, metric):
    """The raw area minus that of the sample's random order, over the clean confidence; both share their ends."""
    case = additive(SHARES)
    value = metric(steps=4, substrate="black", corrected=True).judge(case)
    drawn = SampleRng.of(0, f"explain {metric.info.name}", case.ids).fold("order").uniform(2, 2)
    raw, control = (
        metric(steps=4, substrate="black").judge(dataclasses.replace(case, maps=maps)).value.item()
        for maps in (case.maps, drawn)
    )
    assert value.value.item() == pytest.approx((raw - control) / torch.tensor(1.0).sigmoid().item(), abs=1e-6)
    assert value.forwards.tolist() == [8]


def test_no_copy_beyond_the_last_is_asked_for(additive, monkeypatch):
    """Five copies in three queries of two: the last query asks for the last copy twice, and it counts once."""
    asked = []

    class Noting(Deletion):
        def probes(self, target, number):
            asked.extend(number[0].tolist())
            return super().probes(target, number)

    monkeypatch.setattr("unshaken.explain.engine.probed_metric.CHUNK", 2)
    value = Noting(score="logit", substrate="black", steps=4).judge(additive(SHARES)).value
    assert asked == [0, 1, 2, 3, 4, 4]
    assert value.item() == pytest.approx(0.375, abs=1e-6)
