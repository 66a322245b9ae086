"""`unshaken.certify` as a whole: on the embedded networks, with figures that stand in order."""

from __future__ import annotations

import pytest

import unshaken
from unshaken.core.errors import ParameterError


def certify(place, method, **options):
    return unshaken.certify("demo:robust", "demo", method, out=place / "run", **{"limit": 6} | options)


def one_prediction(done, method):
    """Rows of both tables give a sample one prediction, and one that is abstained from is not correct."""
    proofs = {r["id"]: r for r in done.run.rows("certificates").to_pylist()}
    answers = [r for r in done.run.rows("outcomes").to_pylist() if r["method"] == method]
    assert len(answers) == len(proofs)
    for row in answers:
        proof = proofs[row["id"]]
        assert row["prediction"] == proof["prediction"]
        assert row["correct"] == (row["prediction"] == row["label"] and not proof["abstained"])
    right = sum(row["correct"] for row in answers) / len(answers)
    (one,) = done.summary["certified"]
    at_zero = next(r for r in one["radii"] if r["radius"] == 0)
    assert one["clean"]["value"] == at_zero["certified_accuracy"]["value"] == right
    return [proof["abstained"] for proof in proofs.values()]


@pytest.mark.parametrize("method", ["smoothing", "smoothing-sequential", "dual-smoothing", "adaptive-smoothing"])
def test_a_certified_classifier_has_one_prediction_a_sample(tmp_path, method):
    done = certify(tmp_path, f"{method}:sigma=0.5,n0=2,n=20", limit=12, attacked=False)
    assert any(one_prediction(done, method))
    base = done.summary["certified"][0]["base"]
    assert base == done.summary["clean"]


def test_clean_attacked_and_certified_fall_in_this_order(tmp_path):
    done = certify(tmp_path, "smoothing-sequential:sigma=0.1,n=3000", radii=["0.05", 0.1])
    (one,) = done.summary["certified"]
    assert [r["radius"] for r in one["radii"]] == [0.0, 0.05, 0.1]
    assert [a["radius"] for a in one["attacked"]] == [0.05, 0.1]
    held = {r["radius"]: r["certified_accuracy"]["value"] for r in one["radii"]}
    for attacked in one["attacked"]:
        assert one["clean"]["value"] >= attacked["accuracy"]["value"] >= held[attacked["radius"]]
    assert one["samples"]["mean"] < 3100
    assert one["broken"] == []
    assert done.summary["aggregates"]["worst_attack"] is None  # nothing attacked the network itself


@pytest.mark.parametrize("method", ["dual-smoothing:sigma=0.15,n=500", "adaptive-smoothing:sigma=0.1,n=500"])
def test_whoever_votes_is_attacked_through_its_own_noise(tmp_path, method):
    done = certify(tmp_path, method, limit=2)
    (one,) = done.summary["certified"]
    assert len(one["attacked"]) == 6
    held = [(r["radius"], r["certified_accuracy"]["value"]) for r in one["radii"]]
    for attacked in one["attacked"]:
        beyond = [value for radius, value in held if radius >= attacked["radius"]]
        assert one["clean"]["value"] >= attacked["accuracy"]["value"] >= max(beyond, default=0.0)
    assert one["broken"] == []
    assert not {f["name"] for f in done.summary["flags"]} & {"certificate-broken"}


@pytest.mark.parametrize("method", ["ibp", "crown"])
def test_bounds_stand_beside_pgd_and_are_no_attack(tmp_path, method):
    done = certify(tmp_path, method, radii="0.5/255")
    (one,) = done.summary["certified"]
    assert (one["norm"], one["alpha"], one["broken"]) == ("linf", 0.0, [])
    (attacked,) = one["attacked"]
    assert attacked["accuracy"]["value"] >= one["radii"][-1]["certified_accuracy"]["value"]
    assert one["base"] is None  # the network itself is certified
    assert one["clean"] == done.summary["clean"]
    proven = next(c for c in done.summary["conditions"] if c["method"] == method)
    assert proven["accuracy"] == one["radii"][-1]["certified_accuracy"]
    assert proven["consistency"] == one["radii"][-1]["certified_share"]
    groups = {c["method"]: c["group"] for c in done.summary["conditions"]}
    assert groups == {method: "certificate", "pgd": "attack"}
    assert done.summary["worst_case"]["conditions"] == ["clean", "pgd-linf-0.00196078"]
    page = done.run.read("report.md").decode()
    assert "hold without a chance of error; an image without one may still be robust" in page
    assert "Certificates are exact" not in page


def test_nothing_is_attacked_unless_asked(tmp_path):
    done = certify(tmp_path, "smoothing:sigma=0.1,n=300", attacked=False)
    assert [c["method"] for c in done.summary["conditions"]] == ["smoothing"]
    (one,) = done.summary["certified"]
    assert one["attacked"] == []
    assert one["samples"]["mean"] == 400


def test_a_radius_out_of_reach_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(ParameterError, match=r"n=300 votes .* give n=\d+ or more"):
        unshaken.certify("nonesuch:model", "demo", "smoothing:sigma=0.1,n=300", radii=0.25, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_whole_number_is_a_shift(tmp_path):
    done = certify(tmp_path, "crop-selection", radii=1)
    assert [c["severity"] for c in done.summary["conditions"]] == [1]
    with pytest.raises(ParameterError, match=r"a radius is a shift in whole pixels, not 0\.5"):
        certify(tmp_path, "crop-selection", radii=0.5)
