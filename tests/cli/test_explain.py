"""`unshaken explain`: maps shard by shard, analyses, their page; stopped and resumed; wrong input."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from unshaken.api import explain, explain_maps
from unshaken.core.errors import RunError
from unshaken.core.registry import register, unregister
from unshaken.data import load_data
from unshaken.data.arrays import InMemory
from unshaken.explain import Analysis, Case, Findings, MapMetric, MapScores, Subject
from unshaken.measure import share
from unshaken.report.pages.explain import EXPLAIN
from unshaken.store.run_dir import RunDir


@pytest.fixture
def toys():
    """A metric that is the map's mean, and an analysis that counts classes."""

    @register("map-mean", reference="none")
    class MapMean(MapMetric):
        """The mean of a map."""

        def judge(self, case: Case) -> MapScores:
            assert case.again(case.images, None, None).maps.equal(case.maps)
            return MapScores.free(case.maps.flatten(1).mean(1))

    @register("bright", reference="none")
    class Bright(Analysis):
        """Share of bright images."""

        table = "geometry"
        group = "geometry"

        def find(self, subject: Subject) -> Findings:
            bright = torch.cat([b.images.flatten(1).mean(1) > 0.25 for b in subject.batches()])
            figure = share(int(bright.sum()), len(bright))
            rows = {"quantity": ["bright"], "value": [figure.value], "n": [len(bright)]}
            return Findings(rows, {"bright": figure}, ("Made of pixels alone.",), {"bright": bright})

    yield MapMean, Bright
    unregister("map-mean")
    unregister("bright")


def rows_of(run: str, table: str, name: str) -> list[dict[str, object]]:
    return [r for r in RunDir(run).rows(table).to_pylist() if r["condition"] == name]


def test_maps_are_made_judged_kept_and_shown(unshaken, place, toys, monkeypatch):
    monkeypatch.setattr(explain_maps, "SHARD", 8)
    made = unshaken("explain gradcam --metric map-mean bright --limit 20 --save-maps 8 --out run --batch-size 5")
    assert (made.code, made.err) == (0, "")
    assert "report: run/report.html" in made.out
    assert "Made of pixels alone." in made.out
    rows = rows_of("run", "attributions", "gradcam")
    assert len(rows) == len({r["id"] for r in rows}) == 20
    assert {r["forwards"] for r in rows} == {2}
    judged = rows_of("run", "map_metrics", "gradcam")
    assert {r["metric"] for r in judged} == {"map-mean"}
    assert len(rows_of("run", "map_metrics", "random-map")) == 20  # the control comes unasked
    kept = RunDir("run").read_tensors("maps", "gradcam-00000.safetensors")
    assert kept.tensors["maps"].shape == (8, 28, 28)
    assert list(kept.ids) == [r["id"] for r in rows[:8]]
    assert not RunDir("run").exists("maps", "gradcam-00001.safetensors")
    means = kept.tensors["maps"].flatten(1).mean(1).tolist()
    assert [r["value"] for r in judged[:8]] == pytest.approx(means)
    record = json.loads((place / "run/explain.json").read_text())
    assert record["found"]["bright"]["figures"]["bright"]["n"] == 20
    assert record["finished"]
    page = (place / "run/report.md").read_text()
    assert "map-mean" in page
    assert "bright" in page


def test_a_map_is_the_same_whatever_else_is_explained(tmp_path):
    whole = explain(data="demo", methods="smoothgrad:samples=2", limit=12, out=tmp_path / "a", batch_size=12)
    part = explain(data="demo", methods=["gradcam", "smoothgrad:samples=2"], limit=12, out=tmp_path / "b", batch_size=1)
    first, second = (r.run.read_tensors("maps", "smoothgrad-00000.safetensors") for r in (whole, part))
    assert first.ids == second.ids
    assert torch.allclose(first.tensors["maps"], second.tensors["maps"], atol=1e-6)


def test_what_is_finished_is_not_done_again(tmp_path, monkeypatch, toys):
    monkeypatch.setattr(explain_maps, "SHARD", 8)
    asked: list[int] = []
    real = explain_maps.attribute

    def counted(model, images: Tensor, *rest, **options):
        asked.append(len(images))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(model, images, *rest, **options)

    monkeypatch.setattr(explain_maps, "attribute", counted)
    with pytest.raises(KeyboardInterrupt):
        explain(data="demo", methods="gradient", limit=20, out=tmp_path / "run")
    explain(data="demo", methods="gradient", limit=20, out=tmp_path / "run", resume=True)
    assert asked == [8, 8, 8, 4]
    straight = explain(data="demo", methods="gradient", limit=20, out=tmp_path / "straight")
    left, right = (
        [pq.read_table(f).drop_columns(["seconds"]) for f in sorted((p / "rows/attributions").iterdir())]
        for p in (tmp_path / "run", tmp_path / "straight")
    )
    assert left == right
    EXPLAIN.write(straight.run)


def test_maps_that_rank_no_pixel_are_counted_and_told(tmp_path, monkeypatch):
    """Of a net that sums the positive part of `image - 1/2`: the gradient of a dark image is 0 everywhere."""
    net = nn.Sequential(nn.Flatten(), nn.Hardshrink(0.5), nn.Linear(784, 2, bias=False))
    images = torch.zeros(5, 1, 28, 28, dtype=torch.uint8)
    images[3:, :, :9] = 255
    data = InMemory(images, torch.zeros(5, dtype=torch.int64))
    monkeypatch.setattr(explain_maps, "SHARD", 2)
    found = explain(net, data, ["gradient", "centre-point"], out=tmp_path / "run")
    rows = found.run.rows("attributions").to_pylist()
    assert [r["constant"] for r in rows if r["condition"] == "gradient"] == [True] * 3 + [False] * 2
    (remark,) = [text for text in found.summary.found["gradient"].remarks if "constant" in text]
    assert remark.startswith("3 of 5 maps are constant")
    assert not any("constant" in text for text in found.summary.found["centre-point"].remarks)


def test_labels_can_be_explained_and_bad_samples_are_told(unshaken, place):
    made = unshaken("explain gradient --target label --data folder:photos?size=8 --model py:net.py:build --out run")
    assert made.code in (0, 3)
    rows = rows_of("run", "attributions", "gradient")
    assert all(r["explained"] == r["label"] for r in rows if r["error"] is None)


def test_boxes_and_masks_say_where_the_objects_are(unshaken, place):
    names = load_data("folder:photos").ids
    lines = [f"{name},0.25,0.5,0.5,1.0" for name in names]
    (place / "boxes.csv").write_text("\n".join(["id,x,y,w,h", *lines]))
    (place / "masks").mkdir()
    for name in names:
        path = (place / "masks" / name).with_suffix(".png")
        path.parent.mkdir(exist_ok=True)
        with Image.open(place / "photos" / name) as photo:
            mask = Image.new("L", photo.size)
        mask.paste(255, (0, 0, mask.width // 2, mask.height))
        mask.save(path)
    start = "explain gradient edge-detector --data folder:photos?size=8 --model py:net.py:build --metric mask-share"
    assert unshaken(f"{start} --boxes boxes.csv --metric pointing-game --out boxes").code in (0, 3)
    assert unshaken(f"{start} --masks masks --out masks-run").code in (0, 3)
    own = start.replace("size=8", "size=8&boxes=boxes.csv")
    assert unshaken(f"{own} --metric pointing-game --out own").code in (0, 3)
    shares = [
        [r["value"] for r in rows_of(run, "map_metrics", "gradient") if r["metric"] == "mask-share"]
        for run in ("boxes", "masks-run", "own")
    ]
    assert len(shares[0]) > 3
    assert shares[0] == shares[1] == shares[2]
    record = json.loads((place / "boxes/explain.json").read_text())
    assert set(record["found"]) == {"gradient", "edge-detector", "random-map"}
    assert "mask-share" in record["found"]["gradient"]["extra"]["over_control"]
    assert record["agreements"] == []  # of a method and a control there is nothing to say


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("explain nothing --out x", "no method 'nothing' in explain"),
        ("explain gradcam --metric gradcam --out x", "gradcam is no method of this kind"),
        ("explain map-mean --out x", "map-mean is a metric of maps: give it as --metric"),
        ("explain bright --metric map-mean --out x", "metrics judge maps: name an attribution, such as gradcam"),
        ("explain gradcam --model demo --model demo:robust --out x", "gradcam looks at one model and there are 2"),
        ("explain gradcam --model demo --out x", "gradcam looks at images: give data"),
        ("explain gradcam --metric pointing-game --limit 2 --out x", "pointing-game needs"),
        ("explain gradcam --metric mask-share --boxes no.csv --limit 2 --out x", "no.csv"),
        ("explain gradcam --metric mask-share --masks nowhere --limit 2 --out x", "nowhere"),
        ("explain gradcam --target none --out x", "target='none' is not one of prediction, label"),
        ("explain gradcam:layer=nowhere --limit 2 --out x", "nowhere"),
        ("explain gradcam:layers=2 --limit 2 --out x", "no parameter"),
        ("explain gradcam --limit 0 --out x", "--limit"),
        ("explain gradcam --save-maps -2 --out x", "--save-maps"),
    ],
)
def test_wrong_input_is_told_in_one_line(unshaken, place, toys, arguments, words):
    made = unshaken(arguments)
    assert made.code == 2
    assert words in made.err
    assert made.err.count("\n") == 1


def test_another_run_in_the_folder_is_refused_and_a_damaged_record_told(unshaken, place):
    assert unshaken("explain gradient --limit 4 --out run").code == 0
    again = unshaken("explain gradient --limit 4 --out run")
    assert "already holds explanations; add --resume" in again.err
    other = unshaken("explain gradient --limit 5 --out run --resume")
    assert "was begun with other settings (limit differ)" in other.err
    assert unshaken("report run").code == 0
    (place / "run/explain.json").write_text('{"settings": []}')
    damaged = unshaken("report run")
    assert damaged.code == 2
    assert "explain.json" in damaged.err


def test_the_geometry_of_data_needs_no_model(unshaken, place):
    made = unshaken("explain label-sharpness --data folder:photos?size=8 --out run --json")
    assert made.code in (0, 3), made.err
    record = json.loads(made.out)
    assert record["settings"]["models"] == []
    assert record["found"]["label-sharpness"]["group"] == "geometry"
    assert RunDir("run").rows("geometry").num_rows > 0


def test_other_weights_are_another_run(tmp_path):
    torch.manual_seed(0)
    nets = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)) for _ in range(2)]
    explain(nets[0], "demo", "gradient", limit=4, out=tmp_path / "run")
    with pytest.raises(RunError, match="model_fingerprints differ"):
        explain(nets[1], "demo", "gradient", limit=4, out=tmp_path / "run", resume=True)


def test_examples_of_an_audit_are_explained_before_and_after(unshaken, place):
    assert unshaken("audit --model demo:standard --data demo --plan fog.yaml --limit 12 --out audit --quiet").code == 0
    made = unshaken("explain gradient --run audit")
    assert (made.code, made.err) == (0, "")
    assert "maps before and after: fog-" in made.out
    assert "report: audit/report.html" in made.out
    assert RunDir("audit").names("maps", suffix=".safetensors")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("explain gradient --run nowhere", "nowhere"),
        ("explain gradient --run audit --limit 4", "leave --limit out"),
        ("explain gradient gradcam --run audit", "leave all but one method and one model out"),
        ("explain filter-quality --run audit", "no attribution"),
    ],
)
def test_what_does_not_go_with_a_run_is_told(unshaken, place, arguments, words):
    if not (place / "audit").exists():
        unshaken("audit --model demo:standard --data demo --plan fog.yaml --limit 4 --out audit --quiet")
    made = unshaken(arguments)
    assert made.code == 2
    assert words in made.err
    assert made.err.count("\n") == 1


def test_what_a_reader_must_know_of_a_method_is_in_the_record(tmp_path):
    found = explain(methods=["guided-backprop", "gradcam"], limit=2, out=tmp_path / "run").summary.found
    assert "random ones" in found["guided-backprop"].remarks[0]
    assert found["gradcam"].remarks == []
