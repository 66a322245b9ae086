"""Files of other leaderboards on a board: as they state their figures, apart from columns and ranks."""

from __future__ import annotations

import json

import pytest

import unshaken
from tests.flat_images import Brightness, flat_images
from unshaken.core.errors import DataError
from unshaken.report.reported import read_reported

INFO = {
    "link": "https://arxiv.org/abs/1", "name": "A title", "dataset": "cifar10", "architecture": "ResNet-18",
    "eps": "8/255", "clean_acc": "89.48", "autoattack_acc": "62.80", "external": 62.79, "reported": None,
}  # fmt: skip
HUB = [{"dataset": {"id": "cais/hle", "task_id": "default"}, "value": 20.9, "notes": "no tools"}]
TIMM = "model,top1,top1_err,top5,top5_err,param_count\nvit_a,88.1,11.9,98.5,1.5,304.53\nnet_b,70,30,,,5\n"


@pytest.fixture
def files(tmp_path):
    """A file of each format where its owner puts it."""
    info, hub = tmp_path / "cifar10/Linf/Mine2026Title.json", tmp_path / "my-model/.eval_results/hle.yaml"
    for path, text in ((info, json.dumps(INFO)), (hub, json.dumps(HUB))):  # JSON is YAML
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "results-imagenet.csv").write_text(TIMM)
    return info, hub, tmp_path / "results-imagenet.csv"


def rows_of(file):
    return [(one.model, one.data, one.figure, one.value, one.unit) for one in read_reported(file)]


def test_files_are_read_as_they_state_their_figures(files):
    info, hub, timm = files
    assert rows_of(info) == [
        ("Mine2026Title", "cifar10", "unchanged images", 89.48, "%"),
        ("Mine2026Title", "cifar10", "AutoAttack, Linf 8/255", 62.8, "%"),
        ("Mine2026Title", "cifar10", "the strongest attack known, Linf 8/255", 62.79, "%"),
    ]
    assert rows_of(hub) == [("my-model", "cais/hle", "default", 20.9, "")]
    assert rows_of(timm) == [
        ("vit_a", "imagenet", "unchanged images", 88.1, "%"),
        ("vit_a", "imagenet", "unchanged images, among five", 98.5, "%"),
        ("net_b", "imagenet", "unchanged images", 70, "%"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "is damaged"),
        ("a.json", "[1]", "no file of RobustBench's model_info"),
        ("a.json", '{"dataset": "cifar10"}', "model_info .no 'clean_acc'"),
        ("a.json", '{"dataset": "cifar10", "clean_acc": "high"}', "'high' is not a number"),
        ("a.json", '{"dataset": "cifar10", "clean_acc": 101}', "clean_acc '101' is out of range"),
        ("a.json", '{"dataset": "cifar10", "clean_acc": null}', "no figure of RobustBench"),
        ("a.yaml", "a: 1", "not a list of results"),
        ("a.yaml", "- value: 1", ".eval_results .no 'dataset'"),
        ("a.yaml", "- dataset: {id: a/b}\n  value: [1]", "is no number"),
        ("a.yaml", "[", "is not valid YAML"),
        ("a.csv", "net,top1\na,1\n", "timm's results .no 'model'"),
        ("a.csv", "model,top1\na,\n", "is not a number"),
        ("a.csv", "", "no figure of timm's results"),
        ("a.csv", b"\xff\xfe", "cannot be read"),
    ],
)
def test_another_file_is_refused_in_a_line(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message) as found:
        read_reported(tmp_path / name)
    assert "\n" not in str(found.value)
    assert str(tmp_path / name) in str(found.value)


def test_reported_figures_stand_apart_from_columns_and_ranks(files, tmp_path):
    unshaken.audit(Brightness(0.5), flat_images(), [], out=tmp_path / "a", name="ours", save_examples=0)
    (tmp_path / "odd.json").write_text("{}")
    alone = unshaken.board(tmp_path / "a", out=tmp_path / "alone")
    made = unshaken.board(tmp_path / "a", *files, tmp_path / "odd.json", out=tmp_path / "board")
    assert made.table() == alone.table()
    for name in ("columns", "protocols", "family", "entries"):
        assert made.summary[name] == alone.summary[name]
    assert [one["model"] for one in made.summary["reported"]] == ["Mine2026Title"] * 3 + [
        "my-model",
        "vit_a",
        "vit_a",
        "net_b",
    ]
    assert [name for name, _ in made.left_out] == [str(tmp_path / "odd.json")]
    page = (tmp_path / "board/index.html").read_text(encoding="utf-8")
    before, part = page.split('id="reported"', 1)
    assert "62.8" in part
    assert "Mine2026Title" not in before
    assert "Reported elsewhere" not in (tmp_path / "alone/index.html").read_text(encoding="utf-8")


def test_our_own_exports_are_read_back(tmp_path):
    run = tmp_path / "a"
    unshaken.audit(Brightness(0.5), flat_images(), [], out=run, name="ours", save_examples=0)
    clean = 100 * json.loads((run / "summary.json").read_text())["clean"]["value"]
    unshaken.api.export_runs(run, form="eval-results", out=tmp_path / "a.yaml", dataset="a/b")
    unshaken.api.export_runs(run, form="timm", out=tmp_path / "results-flat.csv")
    assert rows_of(tmp_path / "a.yaml") == [("a", "a/b", "clean", pytest.approx(clean, abs=0.01), "")]
    assert rows_of(tmp_path / "results-flat.csv")[0] == (
        "ours",
        "flat",
        "unchanged images",
        pytest.approx(clean, abs=0.01),
        "%",
    )
