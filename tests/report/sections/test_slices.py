"""Slices of a run: rows beside its rows, figures counted by hand, gates, the page, and columns that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unshaken import api
from unshaken.cli.results import ask
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.measure.calibration.calibration import calibration_error, softmax
from unshaken.measure.statistics.intervals import share
from unshaken.report.write import make_report
from unshaken.store.config import Entry

FOG = [Entry(method="fog", severities=(3,))]


@pytest.fixture
def sliced(make_run, tmp_path):
    """A run whose samples 0, 8, ... are wrong unchanged and 0 to 2, 8 to 10, ... in fog, and their weather."""
    run = make_run(plan=FOG, bad=False, n=240)
    lines = [f"dir/{i:03d}.png,{'night' if i % 8 < 2 else 'day'},{i % 2}" for i in range(240)]
    (tmp_path / "meta.csv").write_text("\n".join(["id,weather,camera", *lines]))
    return run, tmp_path / "meta.csv"


def test_figures_gates_page_and_queries(sliced):
    run, meta = sliced
    gates = ["slice[weather=night].accuracy >= 0.6", "slice[camera=0,weather=night,condition=fog-3].accuracy <= 0"]
    done = api.slices(run, ["weather", "weather*camera"], meta=meta, gates=gates)
    assert run.read("report.md").decode().count("Points of accuracy by weather") == 2
    found = {(r["slicing"], r["part"], r["condition"]): r for r in done.summary["slices"]}
    assert len(found) == (2 + 4) * 2
    each = 1 - 0.05 / 12
    assert found["weather", "night", "clean"]["accuracy"] == share(30, 60, level=each).to_json()
    assert found["weather", "day", "clean"]["accuracy"]["value"] == 1
    assert found["weather*camera", "night*0", "fog-3"]["accuracy"]["value"] == 0
    rows = [r for r in run.rows("outcomes", condition="fog-3").to_pylist() if int(r["id"][4:7]) % 8 >= 2]
    day = found["weather", "day", "fog-3"]
    assert day["accuracy"]["value"] == pytest.approx(np.mean([r["correct"] for r in rows]))
    assert day["drop"]["value"] == pytest.approx(day["accuracy"]["value"] - 1)
    assert [(g.text, g.held) for g in done.gates] == [(gates[0], False), (gates[1], True)]
    assert "slice[weather=night].accuracy" in run.read("junit.xml").decode()
    page = run.read("report.html").decode()
    wanted = "Where weather = night, camera = 1, fog, severity 3 costs 100.0 points; where weather = night, camera = 0,"
    assert f"{wanted} it costs 0.0." in run.read("report.md").decode()
    assert "What each condition costs, by slice" in page
    weak = done.summary["weak_slices"][0]
    assert weak["slice"] == "weather = night"
    assert weak["confirmed"]
    query = "select part, count(*) from slices where slicing = 'weather' group by part order by part"
    assert ask(run, query)[1] == [("day", 180), ("night", 60)]


def test_confidence_in_a_slice(sliced):
    run, meta = sliced
    gates = ["slice[weather=night].ece <= 0.2", "slice[camera=0,weather=day].accuracy_at_80 >= 1"]
    done = api.slices(run, ["weather", "weather*camera"], meta=meta, gates=gates)
    found = {(r["slicing"], r["part"], r["condition"]): r["confidence"] for r in done.summary["slices"]}
    assert {key[2] for key, own in found.items() if own is None} == {"fog-3"}
    clean = run.rows("outcomes", condition="clean").to_pylist()
    rows = [r for r in clean if int(r["id"][4:7]) % 8 < 2]
    p, y = softmax([r["logits"] for r in rows]), np.array([r["label"] for r in rows])
    night = found["weather", "night", "clean"]
    assert night["brier"]["value"] == pytest.approx(((p - np.eye(p.shape[1])[y]) ** 2).sum(1).mean(), rel=1e-5)
    assert night["ece"]["value"] == pytest.approx(calibration_error(p.max(1), p.argmax(1) == y).ece.value, abs=1e-5)
    assert night["aurc"]["n"] == 60
    assert night["p_value"] < 0.05
    assert night["signed_gap"] < 0 < found["weather", "day", "clean"]["signed_gap"]  # right where it is less sure
    assert [(g.text, g.held) for g in done.gates] == [(gates[0], False), (gates[1], True)]
    text = run.read("report.md").decode()
    assert "Confidence by slice, on unchanged images" in text
    assert "Mean confidence, where that is clearest: weather = night" in text


def test_slices_of_an_earlier_call_are_replaced_and_its_gates_stay(sliced):
    run, meta = sliced
    api.slices(run, ["weather"], meta=meta, gates=["slice[weather=day].accuracy >= 0.9"])
    done = api.slices(run, ["camera"], meta=meta)
    assert {r["slicing"] for r in done.summary["slices"]} == {"camera"}
    assert [g.held for g in done.gates] == [None]
    assert "no slices by 'weather'" in done.gates[0].detail


def test_properties_and_classes_come_from_the_data(make_run, tmp_path):
    run = make_run(plan=FOG, bad=False, n=48)
    (tmp_path / "photos/dir").mkdir(parents=True)
    for i in range(48):
        Image.new("RGB", (8, 8 + 8 * (i % 2)), (i % 3 * 100,) * 3).save(tmp_path / f"photos/dir/{i:03d}.png")
    data = f"folder:{tmp_path / 'photos'}"
    done = api.slices(run, ["brightness:0.2+0.5", "aspect", "class"], data=data)
    found = {(r["slicing"], r["part"]): r["accuracy"]["n"] for r in done.summary["slices"] if r["condition"] == "clean"}
    assert {k: n for k, n in found.items() if k[0] == "brightness"} == {
        ("brightness", "below 0.2"): 16, ("brightness", "0.2 to 0.5"): 16, ("brightness", "0.5 and above"): 16,
    }  # fmt: skip
    assert found["class", "dir"] == 48
    page = run.read("report.md").decode()
    assert "Columns of one slice are left out: class." in page
    assert "class = dir" not in page
    (tmp_path / "photos/dir/007.png").unlink()
    with pytest.raises(DataError, match=r"lacks 1 of the run's 48 samples, such as 'dir/007\.png'"):
        api.slices(run, ["aspect"], data=data)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("wether", "no column 'wether'; did you mean 'weather'"),
        ("weather*camera*size", "two columns may cross, not 3"),
        ("weather*weather", "does not cross itself"),
        ("weather:1+2", "which borders do not cut"),
        ("camera:x", "'x'"),
    ],
)
def test_wrong_columns_are_refused(sliced, by, message):
    run, meta = sliced
    with pytest.raises(ParameterError, match=message):
        api.slices(run, [by], meta=meta)
    with pytest.raises(ParameterError, match="asked for twice"):
        api.slices(run, ["weather", "weather"], meta=meta)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("slice.accuracy >= 0.5", "is not understood: write slice"),
        ("slice[weather=night,camera=1,size=3].accuracy >= 0.5", "is not understood"),
        ("slice[weather=night].consistency >= 0.5", "is not understood"),
        ("slice[weather=night,condition=fog-3].ece <= 0.5", "is of unchanged images: leave out the condition"),
        ("fog.ece <= 0.5", r"\.ece is of slices only: write slice\[COLUMN=PART\]\.ece"),
        ("slice[weather=nigth].accuracy >= 0.5", "no part 'nigth' there; did you mean 'night'"),
        ("slice[weather=night,condition=fog].accuracy >= 0.5", "no condition 'fog' there"),
        ("slice[wether=night].accuracy >= 0.5", "no slices by 'wether'"),
    ],
)
def test_wrong_gates_are_refused(sliced, gate, message):
    run, meta = sliced
    with pytest.raises(ParameterError, match=message):
        api.slices(run, ["weather"], meta=meta, gates=[gate])


def test_a_run_without_slices_says_how_to_make_them(sliced):
    run, _ = sliced
    with pytest.raises(ParameterError, match="make them with --slices or 'unshaken slices'"):
        make_report(run, gates=["slice[weather=night].accuracy >= 0.5"])


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError):
        api.slices(tmp_path)
