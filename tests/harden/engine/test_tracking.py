from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

import unshaken
from unshaken.core.errors import MissingExtra, ParameterError, RunError
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.tracking import Tracker
from unshaken.store.run_dir import RunDir
from unshaken.store.tracking import Sink, bare, event_files, mlflow_run, sink_of
from unshaken.store.tracking.mlflow_run import MlflowRun

FEW: dict[str, Any] = {"epochs": 2, "limit": 200, "batch_size": 64, "check_images": 20, "device": "cpu"}
RECIPES = ["at:eps=0.1,steps=1", "ema:decay=0.5"]
FINISHED, KILLED = "3", "5"


def train(out: Path, track: Any, **more: Any) -> Any:
    return unshaken.harden("small", "demo", RECIPES, out=out, track=str(track), **FEW | more)


def stored(store: Path) -> SimpleNamespace:
    """The one run of MLflow's file store, read from its plain files."""
    (meta,) = store.glob("*/*/meta.yaml")
    folder = meta.parent
    texts = {kind: {p.name: p.read_text() for p in (folder / kind).rglob("*")} for kind in ("params", "tags")}
    lines = {p.name: [x.split() for x in p.read_text().splitlines()] for p in (folder / "metrics").iterdir()}
    metrics = {k: [(int(step), float(value)) for _, value, step in v] for k, v in lines.items()}
    (status,) = [x.split()[1] for x in meta.read_text().splitlines() if x.startswith("status:")]
    return SimpleNamespace(id=folder.name, metrics=metrics, status=status, **texts)


def curves(out: Path) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = pq.read_table(out / "curves.parquet").to_pylist()
    return rows


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of two epochs, told to MLflow."""
    folder = tmp_path_factory.mktemp("tracked")
    train(folder / "small-run", folder / "store")
    return SimpleNamespace(out=folder / "small-run", stored=stored(folder / "store"))


def test_each_column_of_the_curves_is_a_metric_at_each_epoch(tracked: SimpleNamespace) -> None:
    rows = curves(tracked.out)
    expected = {k: [(i + 1, pytest.approx(r[k])) for i, r in enumerate(rows)] for k in rows[0] if k != "epoch"}
    assert {"loss", "lr", "held_accuracy", "held_robust", "train_fgsm"} <= set(expected)
    own = {k: v for k, v in tracked.stored.metrics.items() if not k.startswith("chosen_")}
    assert own == expected
    assert [step for step, _ in own["loss"]] == [1, 2]


def test_the_run_says_what_was_asked_and_what_came_out(tracked: SimpleNamespace) -> None:
    params, tags = tracked.stored.params, tracked.stored.tags
    wanted = {"model": "small", "data": "demo", "recipes": " ".join(RECIPES), "at.eps": "0.1", "at.steps": "1",
              "at.norm": "linf", "ema.decay": "0.5", "epochs": "2", "batch_size": "64", "lr": "0.1",
              "images.usable": "200", "images.held_out": "40"}  # fmt: skip
    assert {k: params[k] for k in wanted} == wanted
    assert tags["mlflow.runName"] == "small-run"
    assert tags["run"] == str(tracked.out)
    assert all(Path(tags[k]).is_file() for k in ("model", "last", "report"))
    result = json.loads((tracked.out / "harden.json").read_text())["result"]
    assert tags["chosen_epoch"] == str(result["chosen_epoch"])
    assert tracked.stored.metrics["chosen_held_robust"] == [
        (result["chosen_epoch"], pytest.approx(result["figures"]["held_robust"]["value"]))
    ]
    assert tracked.stored.status == FINISHED


def test_a_resumed_run_goes_on_in_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Loop._measure

    def stopped(self: Loop, record: dict[str, float]) -> None:
        if self.progress.epoch == 1:
            raise KeyboardInterrupt
        whole(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_measure", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", tmp_path / "store")
    before = stored(tmp_path / "store")
    assert before.status == KILLED
    assert [step for step, _ in before.metrics["loss"]] == [1]
    kept = json.loads((tmp_path / "run" / "tracking.json").read_text())
    assert kept == {"schema": 1, (tmp_path / "store").as_uri(): {"run": before.id, "epochs": 1}}
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "run", "store", resume=True)
    after = stored(tmp_path / "store")
    assert (after.id, after.status) == (before.id, FINISHED)
    assert after.metrics["loss"] == [(i + 1, pytest.approx(r["loss"])) for i, r in enumerate(curves(tmp_path / "run"))]


def test_a_run_that_is_tracked_late_is_told_from_its_beginning(tracked: SimpleNamespace, tmp_path: Path) -> None:
    train(tracked.out, tmp_path / "other", resume=True)
    assert [step for step, _ in stored(tmp_path / "other").metrics["held_robust"]] == [1, 2]


def test_a_run_that_the_store_has_lost_is_said(tmp_path: Path) -> None:
    run, store = RunDir(tmp_path / "run"), tmp_path / "store"
    gone = "0" * 32
    run.write_json({store.as_uri(): {"run": gone, "epochs": 1}}, "tracking.json")
    with pytest.raises(RunError, match=rf"{gone}.* delete tracking\.json in {run} to begin another there"):
        Tracker(sink_of(str(store)), run, dict).begin("run", {})


# A service that fails.


class Shaky(Sink):
    """Remembers what it is told; fails while `down`."""

    def __init__(self) -> None:
        super().__init__("shaky://ann:secret@place")
        self.down, self.epochs, self.tags = False, list[tuple[int, dict[str, float]]](), dict[str, str]()

    def _up(self) -> None:
        if self.down:
            raise OSError("no route to shaky://ann:secret@place")

    def begin(self, name: str, run: str, parameters: Any) -> str:
        self._up()
        return run or "7"

    def log_metrics(self, step: int, figures: Any) -> None:
        self._up()
        self.epochs.append((step, dict(figures)))

    def log_tags(self, tags: Any) -> None:
        self._up()
        self.tags |= tags

    def close(self, status: str) -> None:
        self._up()


def record(epoch: int, **more: float) -> dict[str, float]:
    return {"epoch": float(epoch), "loss": 1.0 / (epoch + 1), **more}


def test_what_a_service_missed_is_told_in_order_once_it_is_back(tmp_path: Path) -> None:
    sink, flags = Shaky(), dict[str, str]()
    tracker = Tracker(sink, RunDir(tmp_path), lambda: flags)
    tracker.begin("run", {})
    tracker.log_epoch(record(0))
    sink.down = True
    with pytest.warns(RuntimeWarning, match=r"no route to shaky://place; training goes on.*missed \(1 epochs\)"):
        tracker.log_epoch(record(1))
    sink.down, tracker.again = False, 0.0
    flags["robust-overfitting"] = "seen"
    tracker.log_epoch(record(2, held_loss=float("nan")))
    assert sink.epochs == [(1, {"loss": 1.0}), (2, {"loss": 0.5}), (3, {"loss": pytest.approx(1 / 3)})]
    assert sink.tags == {"flag.robust-overfitting": "seen"}
    text = (tmp_path / "tracking.json").read_text()
    assert json.loads(text) == {"schema": 1, "shaky://place": {"run": "7", "epochs": 3}}
    tracker.log_epoch(record(2))
    assert len(sink.epochs) == 3


def test_a_slow_failure_is_not_tried_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("unshaken.store.tracking.tracker.time.monotonic", lambda: clock[0])
    sink = Shaky()
    tracker = Tracker(sink, RunDir(tmp_path), dict)
    tracker.begin("run", {})
    calls = list[int]()

    def slow(number: int, figures: Any) -> None:
        calls.append(number)
        clock[0] += 3
        raise OSError("slow")

    monkeypatch.setattr(sink, "log_metrics", slow)
    with pytest.warns(RuntimeWarning, match="slow"):
        tracker.log_epoch(record(0))
    clock[0] = 32.9
    tracker.log_epoch(record(1))
    assert calls == [1]
    clock[0] = 33.1
    with pytest.warns(RuntimeWarning, match=r"missed \(3 epochs\)"):
        tracker.log_epoch(record(2))
    assert calls == [1, 1]


def test_a_service_that_is_not_there_is_one_line_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RunError, match=r"^track 'http://127\.0\.0\.1:9': ") as caught:
        train(tmp_path / "run", "http://ann:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "curves.parquet").exists()


# TensorBoard.


def events(folder: Path) -> list[Any]:
    """The events of a folder, read as the format of TensorFlow's records has it: length, checksum, data, checksum."""
    proto = pytest.importorskip("tensorboardX.proto.event_pb2", reason="tensorboardX is not installed")
    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack("<Q", data[at : at + 8])
            found.append(proto.Event.FromString(data[at + 12 : at + 12 + size]))
            at += size + 16
    return found


def test_event_files_have_each_epoch_once_over_a_stop(tracked: SimpleNamespace, tmp_path: Path) -> None:
    for _ in range(2):
        train(tracked.out, f"tensorboard:{tmp_path / 'tb'}", resume=True)
    (folder,) = (tmp_path / "tb").iterdir()
    assert folder.name == "small-run"
    values = [(e.step, v) for e in events(folder) for v in e.summary.value if v.HasField("simple_value")]
    seen = [(v.tag, step, v.simple_value) for step, v in values]
    rows = curves(tracked.out)
    for column in ("loss", "held_robust", "lr"):
        expected = [(column, i + 1, pytest.approx(r[column], rel=1e-6)) for i, r in enumerate(rows)]
        assert [s for s in seen if s[0] == column] == expected


def test_another_run_of_the_same_name_has_a_folder_of_its_own(tmp_path: Path) -> None:
    for expected in ("run", "run-2", "run-3"):
        sink = sink_of(f"tensorboard:{tmp_path}")
        assert isinstance(sink, Sink)
        assert sink.begin("run", "", {"lr": "0.1"}) == expected
        sink.close("FINISHED")


# What is asked for, and what is not.


@pytest.mark.parametrize("address", ["", "  ", "tensorboard:", "tensorboard: "])
def test_an_address_without_a_place_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="names no place: give a folder or a URI of MLflow, wandb:PROJECT, or t"):
        train(tmp_path / "run", address)
    assert not (tmp_path / "run").exists()


def test_a_database_needs_all_of_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_run, "find_spec", lambda name: None)
    with pytest.raises(
        ParameterError, match=r"'sqlite:///runs\.db': a database needs all of MLflow: pip install mlflow"
    ):
        sink_of("sqlite:///runs.db")


def test_an_absent_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [m for m in sys.modules if m.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setattr(event_files, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"'mlflow-skinny', which is absent: pip install 'unshaken\[tracking\]'"):
        train(tmp_path / "run", tmp_path / "store")
    with pytest.raises(MissingExtra, match=r"'tensorboardX', which is absent: pip install 'unshaken\[tracking\]'"):
        train(tmp_path / "run", f"tensorboard:{tmp_path}")
    assert not (tmp_path / "run").exists()
    done = unshaken.harden("small", "demo", RECIPES, out=tmp_path / "run", **FEW | {"epochs": 1})  # none is asked for
    assert done.summary["epochs"] == 1
    assert not (tmp_path / "run" / "tracking.json").exists()


def test_the_environment_stays_as_it_was(tmp_path: Path) -> None:
    before = dict(os.environ)
    sink = MlflowRun(str(tmp_path / "store"))
    sink.begin("run", "", {"a": "x" * 9000, **{f"p{i}": "1" for i in range(120)}})
    sink.close("FINISHED")
    assert dict(os.environ) == before
    assert len(stored(tmp_path / "store").params) == 121


def test_the_experiment_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "nets of spring")
    MlflowRun(str(tmp_path / "store")).begin("run", "", {})
    (meta,) = [p for p in (tmp_path / "store").glob("*/meta.yaml") if p.parent.name != "0"]
    assert "name: nets of spring" in meta.read_text()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ann:secret@host/x y", "https://host/x y"),
        ("http://token@host:5000", "http://host:5000"),
        ("file:///a/b@c", "file:///a/b@c"),
        ("cannot reach https://u:p@h/1 or https://u:p@h/2", "cannot reach https://h/1 or https://h/2"),
        ("s3://AKIA:ab/c+d@runs/x", "s3://runs/x"),
        ("http://host:5000/a@b and s3://runs/a:b@c", "http://host:5000/a@b and s3://runs/a:b@c"),
    ],
)
def test_user_and_password_of_a_url_are_left_out(text: str, shown: str) -> None:
    assert bare(text) == shown
