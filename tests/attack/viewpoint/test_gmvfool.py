"""Attacks by viewpoint on a net that sees the azimuth alone, so that the answer is known for every view."""

import json

import pytest
import torch

from tests.attack.viewpoint.conftest import AzimuthNet, azimuth
from unshaken.attack.viewpoint.base import Objects
from unshaken.attack.viewpoint.gmvfool import GMVFool
from unshaken.attack.viewpoint.natural_views import NaturalViews
from unshaken.attack.viewpoint.random_views import RandomViews
from unshaken.attack.viewpoint.viewfool import ViewFool
from unshaken.core import Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError
from unshaken.run.adapters import Line, conditions_of
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

QUICK = {"components": 2, "pairs": 20, "iterations": 12, "samples": 20, "rate": 0.3}


def rows(part):
    return table_of(part).to_pylist()


def test_a_search_finds_the_azimuths_that_fool(azimuth_batch, evaluated):
    parts, meter = evaluated(GMVFool(**QUICK), azimuth_batch)
    views = rows(parts["views"])
    assert len(views) == 3 * 20
    assert all(v["correct"] == ((v["theta"] < 0) == (v["label"] == 0)) for v in views)  # what the net does, by hand
    fooled = sum(not v["correct"] for v in views) / len(views)
    drawn = rows(evaluated(RandomViews(samples=20), azimuth_batch)[0]["views"])
    assert sum(not v["correct"] for v in drawn) / len(drawn) < 0.7 < fooled
    assert all(abs(v["theta"]) < 180 and 20 < v["phi"] < 80 and 3.5 < v["r"] < 4.5 for v in views)
    spent = 12 * (2 + 2 * 20) + 20
    outcome = rows(parts["outcomes"])
    assert [o["forwards"] for o in outcome] == [spent] * 3
    assert meter.forwards == 3 * spent + 3  # and the clean images
    assert {v["component"] for v in views} == {0, 1}
    mixtures = rows(parts["view_mixtures"])
    assert len(mixtures) == 6
    assert mixtures[0]["renders"] == spent - 20
    assert mixtures[0]["half"] == [5, 180, 30, 0.5, 0.1, 0.1]


def test_the_outcome_is_that_of_the_hardest_view(azimuth_batch, evaluated):
    parts, _ = evaluated(RandomViews(samples=30), azimuth_batch)
    views, outcomes = rows(parts["views"]), rows(parts["outcomes"])
    for outcome in outcomes:
        mine = [v for v in views if v["id"] == outcome["id"]]
        assert outcome["correct"] == all(v["correct"] for v in mine)
        assert outcome["loss"] == pytest.approx(max(v["loss"] for v in mine))
        assert outcome["broken_by"] == "random-views"
    shown = parts["outcomes"].images(torch.tensor([2, 0]))
    worst = [max((v["loss"], v["theta"]) for v in views if v["id"] == i)[1] for i in ("c", "a")]
    assert shown[:, 0, 0, 0].tolist() == pytest.approx([t / 360 + 0.5 for t in worst], abs=1e-6)


@pytest.mark.parametrize("attack", [GMVFool(**QUICK), RandomViews(samples=9), NaturalViews(samples=9)])
def test_rows_are_the_same_alone_and_in_any_order(attack, azimuth_batch, evaluated):
    whole, _ = evaluated(attack, azimuth_batch)
    turned, _ = evaluated(attack, azimuth_batch[torch.tensor([2, 0])], limit=5)
    for table in ("views", "outcomes"):
        wanted = {(r["id"], r.get("number")): r for r in rows(whole[table])}
        for row in rows(turned[table]):
            other = wanted[row["id"], row.get("number")]
            for name in ("theta", "phi", "prediction", "forwards"):
                assert row.get(name) == other.get(name)
    other_seed, _ = evaluated(attack, azimuth_batch, seed=1)
    assert rows(other_seed["views"])[0]["theta"] != rows(whole["views"])[0]["theta"]


def test_natural_views_stay_in_front(azimuth_batch, evaluated):
    views = rows(evaluated(NaturalViews(samples=40), azimuth_batch)[0]["views"])
    assert all(abs(v["theta"]) < 45 and 60 < v["phi"] < 80 for v in views)


def test_one_component_is_viewfool():
    oracle, objects = Oracle(Classifier(AzimuthNet()).eval()), Objects(torch.arange(2), torch.tensor([0, 1]))
    rng = SampleRng.of(0, "search", ["a", "b"])
    few = {"pairs": 6, "iterations": 5, "entropy": 0.01}
    found = [
        attack.learn(objects, azimuth, oracle, rng).result.mixture
        for attack in (GMVFool(components=1, **few), ViewFool(**few))
    ]
    assert found[0].mu.shape == (2, 1, 6)
    assert torch.equal(found[0].mu, found[1].mu)
    assert torch.equal(found[0].sigma, found[1].sigma)


def test_coordinates_that_are_not_searched_stay(azimuth_batch, evaluated):
    views = rows(evaluated(GMVFool(**QUICK, search="angles"), azimuth_batch)[0]["views"])
    assert {(v["r"], v["dx"], v["dy"]) for v in views} == {(4, 0, 0)}
    assert len({v["theta"] for v in views}) == len(views)
    own = GMVFool(**QUICK, half=(1, 20, 5, 0.1, 0.1, 0.1), centre=(0, 90, 60, 5, 0, 0))
    views = rows(evaluated(own, azimuth_batch)[0]["views"])
    assert all(70 < v["theta"] < 110 and 4.9 < v["r"] < 5.1 for v in views)


def test_saved_mixtures_are_shown_to_another_model(azimuth_batch, evaluated, tmp_path):
    first, _ = evaluated(GMVFool(**QUICK, component="per_dim"), azimuth_batch)
    run = RunDir(tmp_path / "run")
    run.write_rows(table_of(first["view_mixtures"]), "view_mixtures", "gmvfool", 0)
    again = GMVFool(**QUICK | {"iterations": 0}, start=str(tmp_path / "run"))
    second, meter = evaluated(again, azimuth_batch[torch.tensor([1])])
    assert again.further_files == (f"{tmp_path / 'run'}/rows/view_mixtures",)
    assert rows(second["view_mixtures"])[0]["mu"] == rows(first["view_mixtures"])[2]["mu"]
    assert {v["component"] for v in rows(second["views"])} == {None}  # each coordinate draws one of its own
    assert meter.forwards == 20 + 1
    other = azimuth_batch[torch.tensor([1])]
    with pytest.raises(ParameterError, match="1 objects have no mixture there, such as 'z'"):
        evaluated(again, type(other)(other.images, other.labels, ("z",)))
    with pytest.raises(ParameterError, match=r"are of the box half=\[5.0, 180.0"):
        evaluated(GMVFool(start=str(tmp_path / "run"), region="whole"), other)
    with pytest.raises(ParameterError, match="one search with saved mixtures is needed there; it has none"):
        evaluated(GMVFool(start=str(tmp_path / "empty")), other)


def test_wrong_use_is_one_line(azimuth_batch, evaluated):
    with pytest.raises(ParameterError, match="random-views: it needs objects that can be rendered"):
        evaluated(RandomViews(), azimuth_batch, render=None)
    with pytest.raises(ParameterError, match="neither severities nor eps"):
        conditions_of(GMVFool(), Line("gmvfool", eps=(0.1,)))
    with pytest.raises(ParameterError, match="half and centre make one box"):
        GMVFool(half=(1, 1, 1, 1, 1, 1))
    with pytest.raises(ParameterError, match="r must stay positive"):
        GMVFool(half=(1, 1, 1, 1, 1, 1), centre=(0, 0, 0, 1, 0, 0))
    assert GMVFool(**json.loads(json.dumps(GMVFool().model_dump(mode="json")))) == GMVFool()
