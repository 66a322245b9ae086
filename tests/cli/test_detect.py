"""`unshaken detect`: detectors fitted, scored and set anew, and marks on images."""

from __future__ import annotations

import json
import shlex
import shutil

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from unshaken.cli.app import main
from unshaken.core.registry import parse_method
from unshaken.data import load_data, stream
from unshaken.detect.engine.detector_set import load_detector

FIT = "--model demo --data demo --method msp --method energy --method knn:k=5 --limit 300"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted") / "d"
    assert main(["detect", "fit", *FIT.split(), "--out", str(folder), "-q"]) == 0
    return folder


def scores(run):
    return [r for f in sorted((run / "rows/scores").glob("*.parquet")) for r in pq.read_table(f).to_pylist()]


def test_fit_says_where_the_thresholds_lie_and_what_they_promise(unshaken, place):
    done = unshaken(f"detect fit {FIT} --out d --accept 0.9")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["msp", "energy", "knn"]
    assert all("accepted with probability 0.9 or more" in line and " 60 " in line for line in lines[2:5])
    assert lines[-1] == "detectors: d"
    assert sorted(p.name for p in (place / "d").iterdir()) == ["banks.safetensors", "detectors.json"]


def test_thresholds_are_told_without_the_model(unshaken, fitted):
    done = unshaken("detect", "threshold", "--detectors", str(fitted), "--accept", "0.9", "--json")
    record = json.loads(done.out)
    assert list(record) == ["msp", "energy", "knn"]
    assert record["knn"]["n"] == 60
    assert record["knn"]["accept"] == 0.9
    wider = json.loads(unshaken("detect", "threshold", "--detectors", str(fitted), "--json").out)
    assert all(wider[k]["value"] > record[k]["value"] for k in record)


def test_too_few_calibration_samples_accept_everything_and_say_so(unshaken, fitted):
    done = unshaken("detect", "threshold", "--detectors", str(fitted), "--accept", "0.999", "--json")
    record = json.loads(done.out)
    assert record["msp"]["value"] is None
    assert record["msp"]["needed"] == 999


def test_one_command_scores_and_keeps_rows(unshaken, place, fitted):
    done = unshaken(
        "detect", "score", "--model", "demo", "--data", "demo", "--limit", "60", "--detectors", str(fitted), "--out",
        "run", "--shift", "gaussian_noise-3", "--against", "far/dark=folder:photos?size=28&mode=L", "--samples", "16",
        "--attack", "pgd:steps=5,rel_stepsize=0.3", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert {f["name"] for f in summary["flags"]} >= {"few-calibration-samples", "scored-on-fit-data"}
    own = scores(place / "run")
    assert {(r["detector"], r["split"]) for r in own} == {
        (d, s) for d in ("msp", "energy", "knn") for s in ("normal", "covariate/gaussian_noise-3")
    }
    assert len(own) == 60 * 3 * 2
    assert all(r["error"] is None and r["forwards"] == 0 for r in own)
    other = scores(place / "run/against/far-dark")
    assert {r["split"] for r in other} == {"far/dark"}
    assert all(r["label"] is None for r in other)
    tried = scores(place / "run/evasion")
    assert {r["split"] for r in tried} == {"naive/linf-0.0313725", "adaptive/linf-0.0313725"}
    assert len(tried) == 16 * 3 * 2
    # accepted is what lies at or below the threshold that was told
    record = json.loads(unshaken("detect", "threshold", "--detectors", str(fitted), "--json").out)
    assert all(r["accepted"] == (r["score"] <= record[r["detector"]]["value"]) for r in [*own, *other, *tried])
    assert "<html" in (place / "run/report.html").read_text()


def test_resuming_changes_no_row_and_other_detectors_are_refused(unshaken, place, fitted):
    shutil.copytree(fitted, place / "d")
    line = "detect score --model demo --data demo --limit 40 --detectors d --out run --not-attacked"
    assert unshaken(line).code == 0
    before = scores(place / "run")
    assert unshaken(f"{line} --resume").code == 0
    assert scores(place / "run") == before
    assert (
        unshaken("detect fit --model demo --data demo --method msp --method energy --method knn:k=7 --out d").code == 0
    )
    refused = unshaken(f"{line} --resume")
    assert refused.code == 2
    assert "cannot resume with another configuration (plan:" in refused.err


OWN_FIT = "--fit demo?split=first --method msp --method knn:k=5"
ABNORMAL = "--against near/dark=folder:photos?size=28&mode=L --against far/bright=folder:photos?size=28&mode=L"


def test_one_command_fits_scores_and_writes_the_table_of_openood(unshaken, place):
    line = (
        f"detect score --model demo --data demo?split=second --limit 30 {OWN_FIT} {ABNORMAL} --not-attacked --out run"
    )
    done = unshaken(*line.split(), "--openood", "ood.csv")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "table: ood.csv"
    assert [d["label"] for d in json.loads((place / "run/detectors/detectors.json").read_text())["detectors"]] == [
        "msp", "knn",
    ]  # fmt: skip
    rows = [row.split(",") for row in (place / "ood.csv").read_text().splitlines()]
    assert rows[0] == ["postprocessor", "dataset", "FPR@95", "AUROC", "AUPR_IN", "AUPR_OUT", "ACC"]
    names = ["dark", "nearood", "bright", "farood"]
    assert [row[:2] for row in rows[1:]] == [[method, name] for method in ("msp", "knn") for name in names]
    before = scores(place / "run")
    kept = (place / "run/detectors/banks.safetensors").stat().st_mtime_ns
    again = unshaken(*line.split(), "--resume", "--openood", "ood.csv", "--overwrite")
    assert again.code == 0, again.err
    assert scores(place / "run") == before
    assert (place / "run/detectors/banks.safetensors").stat().st_mtime_ns == kept  # not fitted again
    for change in ("--fit demo?split=second", "--seed 1"):
        changed = line.replace("--fit demo?split=first", change) if "fit" in change else f"{line} {change}"
        refused = unshaken(*changed.split(), "--resume")
        assert refused.code == 2
        assert "run/detectors: fitted on demo?split=first with seed 0, by msp, knn: resume by the same" in refused.err
    assert "already holds a run; add --resume" in unshaken(*line.split()).err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "give either --detectors of 'unshaken detect fit', or --fit with normal images"),
        ("--detectors d --fit demo", "give either --detectors of 'unshaken detect fit', or --fit with normal images"),
        ("--detectors d --method msp", "--method goes with --fit"),
        ("--fit demo --openood ood.csv", "--openood needs abnormal images: --against near/NAME=SPEC"),
        ("--fit folder:none", "none"),
        ("--fit demo --against far=folder:none", "none"),
        ("--fit demo --method mps", "mps"),
        ("--fit demo --method msp --accept 0.9999", "accept"),
        ("--fit demo --share", "--fit goes with neither --share nor --part"),
        ("--fit demo --method msp --gate 'nonsense.x > 1'", "nonsense"),
        ("--fit demo --method msp --shift fogg-1", "fogg"),
    ],
)
def test_a_refused_fit_leaves_nothing(unshaken, place, options, message):
    refused = unshaken(*shlex.split(f"detect score --model demo --data demo --limit 20 --out run {options}"))
    assert refused.code == 2
    assert message in refused.err
    assert len(refused.err.splitlines()) == 1
    assert not (place / "run").exists()
    assert not (place / "ood.csv").exists()


def test_thresholds_set_anew_by_other_data(unshaken, place, fitted):
    line = f"detect threshold --detectors {fitted} --model demo --data demo --limit 100 --out e --json"
    record = json.loads(unshaken(line).out)
    assert record["knn"]["n"] == 100
    about = json.loads((place / "e/detectors.json").read_text())["about"]
    assert about["calibrated_on"] == "demo"
    assert about["samples"]["calibration"] == 100


def test_bad_samples_of_a_fit_give_3(unshaken, place):
    for i in range(12):
        shutil.copy(place / "photos/dark" / sorted(p.name for p in (place / "photos/dark").iterdir())[0],
                    place / f"photos/dark/more{i}.png")  # fmt: skip
    (place / "photos/dark/broken.png").write_bytes(b"")
    done = unshaken("detect fit --model py:net.py:build --data folder:photos --method msp --out d")
    assert done.code == 3
    assert "bad sample dark/broken.png: the file is empty" in done.err


def test_a_gate_on_the_model_behind_a_detector(unshaken, place, fitted):
    done = unshaken(
        *f"detect score --model demo --data demo --limit 40 --detectors {fitted} --not-attacked --out run".split(),
        "--gate", "clean.accuracy > 0.999",
    )  # fmt: skip
    assert done.code == 1
    assert "gate FAILED" in done.out


def test_drift_rings_when_fewer_are_let_in_than_promised(unshaken, place, fitted):
    line = f"detect score --model demo --data demo --limit 200 --detectors {fitted} --not-attacked --out run"
    assert unshaken(line).code == 0
    quiet = unshaken("detect drift run --promised 0.7 --window 50")
    assert quiet.code == 0
    assert quiet.out.count("no alarm; accepted by windows of 50: ") == 3
    dark = (
        f"detect score --model demo --data folder:photos?size=28&mode=L --detectors {fitted} --not-attacked --out dark"
    )
    assert unshaken(dark).code == 0
    loud = unshaken("detect drift dark --promised 0.999 --window 4 --json")
    record = json.loads(loud.out)["detectors"]
    rows = {d: [r["accepted"] for r in scores(place / "dark") if r["detector"] == d] for d in record}
    assert [w["share"]["value"] for w in record["msp"]["windows"]] == [
        sum(rows["msp"][i : i + 4]) / 4 for i in range(0, 12, 4)
    ]
    assert loud.code == (1 if any(t["alarm"] is not None for t in record.values()) else 0)
    nothing = unshaken("detect drift photos")
    assert nothing.code == 2


def test_what_cannot_be_attacked_is_said(unshaken, place, fitted):
    loose = "folder:photos/dark?size=28&mode=L"
    done = unshaken(f"detect score --model demo --data {loose} --detectors {fitted} --out run --json")
    assert done.code == 0
    flags = {f["name"]: f["detail"] for f in json.loads(done.out)["flags"]}
    assert flags["not-run"].startswith("not run: evasion; the data has no labels")
    assert not (place / "run/evasion").exists()


def test_resuming_with_other_abnormal_sets_is_refused(unshaken, place, fitted):
    line = f"detect score --model demo --data demo --limit 20 --detectors {fitted} --not-attacked --out run"
    assert unshaken(line).code == 0
    again = unshaken(f"{line} --resume --against folder:photos?size=28&mode=L")
    assert again.code == 2
    assert "cannot resume with another configuration (inside:" in again.err


def test_unreadable_samples_are_told_when_thresholds_are_set(unshaken, place, fitted):
    """They set no threshold, and a script must not take the others for all."""
    pixels = load_data("demo").read(0)[..., 0]
    for i in range(30):
        (place / "normal" / str(i % 2)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / "normal" / str(i % 2) / f"{i:02}.png")
    (place / "normal" / "0" / "04.png").write_bytes(b"no image")
    done = unshaken(
        f"detect threshold --detectors {fitted} --model demo --data folder:normal --accept 0.9 --out anew --json"
    )
    assert done.code == 3
    assert json.loads(done.out)["msp"]["n"] == 29
    assert done.err.startswith("bad sample 0/04.png: not an image")
    again = unshaken("detect threshold --detectors anew --accept 0.9 --json")
    assert (again.code, json.loads(again.out)) == (0, json.loads(done.out))


def images_of(spec):
    return torch.cat([batch.images for batch in stream(load_data(spec))])


@pytest.mark.parametrize("method", ["spread-spectrum:seed=3,amplitude=8/255", "dct:seed=3,n_bits=16"])
def test_marked_images_are_data_whose_mark_is_read_off(unshaken, place, method):
    done = unshaken(f"detect mark --data demo --limit 40 --method {method} --out marked")
    assert (done.code, done.err, done.out) == (0, "", "images: marked (40 PNG files)\n")
    data = load_data(f"folder:{place / 'marked'}")
    assert len(data) == 40
    assert set(data.classes) <= {name.replace("/", "-") for name in load_data("demo").classes}
    record = json.loads((place / "marked/marked.json").read_text())
    assert record["parameters"]["seed"] == 3
    demo = load_data("demo")
    detector = parse_method(method, "detect")
    marker = detector.watermarker((1, 28, 28), {})
    marked, plain = images_of(f"folder:{place / 'marked'}?mode=L"), images_of("demo")
    assert len(record["images"]) == 40
    assert set(record["images"]) <= set(demo.ids)
    assert float(marker.score(marked).quantile(0.1)) > float(marker.score(plain).quantile(0.9))
    again = unshaken(f"detect mark --data demo --method {method} --out marked")
    assert (again.code, again.err) == (2, "unshaken: marked: holds marked images already; choose another --out\n")


def test_a_learned_mark_is_set_by_the_detector_that_was_fitted(unshaken, place):
    method = "learned-watermark:n_bits=8,steps=60,batch_size=32"
    fitted = unshaken(f"detect fit --model demo:standard --data demo --method {method} --limit 120 --out learned")
    assert fitted.code == 0, fitted.err
    name = "detect mark --data demo --limit 40 --method learned-watermark"
    assert unshaken(f"{name} --detectors learned --out bits").code == 0
    fitted_detector = load_detector(place / "learned", "learned-watermark")
    marker = fitted_detector.method.watermarker((1, 28, 28), fitted_detector.bank)
    marked, plain = images_of(f"folder:{place / 'bits'}?mode=L"), images_of("demo")
    assert float(marker.score(marked).mean()) > float(marker.score(plain).mean()) + 0.2
    bare = unshaken(f"{name} --out bare")
    assert bare.code == 2
    assert "its networks must be trained first: unshaken detect fit --method learned-watermark" in bare.err
    wrong = unshaken("detect mark --data demo --method dct --detectors learned --out bare")
    assert (wrong.code, "no detector 'dct' in learned" in wrong.err) == (2, True)
    assert not (place / "bare").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--method msp --out new", "'msp' is no watermark: use one of dct, learned-watermark, spread-spectrum"),
        ("--method dct:n_bits=64 --out new", "the key has 64: give a shorter key or larger images"),
        ("--method dct --out ''", "'' is empty: give a value"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(unshaken, place, options, message):
    result = unshaken(f"detect mark --data demo {options}")
    assert result.code == 2
    assert message in result.err
    assert not (place / "new").exists()
