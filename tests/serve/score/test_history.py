"""The history of an endpoint: windows as rows of a run directory, whatever happens to the server."""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import pytest
import torch

from tests.serve.score.conftest import dyadic, noise, png
from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, RunError
from unshaken.data.arrays import InMemory
from unshaken.measure import share
from unshaken.report.pages.service import CONFIDENCES
from unshaken.report.rebuild import rebuild_report
from unshaken.serve.score import history as module
from unshaken.serve.score.history import History
from unshaken.serve.score.options import ScoreOptions
from unshaken.serve.score.reference import measure_reference
from unshaken.serve.score.scorer import Scorer, Work
from unshaken.store.run_dir import RunDir


class Clock:
    """A clock that is set by hand."""

    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module")
def answers(scorer):
    """Answers for 10 images, and those for 10 of a diagonal line, which are abnormal."""
    ids = tuple(map(str, range(10)))
    batches = [Batch(x, None, ids) for x in (dyadic(10, 5), torch.eye(8).expand(10, 1, 8, 8))]
    return [scorer.run([Work(batch, ScoreOptions())])[0] for batch in batches]


def windows(run):
    """Rows by window, kind and name."""
    return {(r["window"], r["kind"], r["name"]): r for r in RunDir(run).rows("windows").to_pylist()}


def test_counts_of_windows_are_those_of_the_answers(tmp_path, scorer, answers, clock):
    history = History(RunDir(tmp_path), scorer, images=20, clock=clock)
    with history.opened():
        for one in (answers[0], answers[0], answers[1]):
            history.add(one, unusable=1)
            clock.now += 60
    rows = windows(tmp_path)
    classes = torch.bincount(answers[0].predictions, minlength=3).tolist()
    for number, count in enumerate(classes):
        if count:
            row = rows[0, "class", str(number)]
            assert (row["count"], row["n"], row["complete"]) == (2 * count, 20, True)
            figure = share(2 * count, 20)
            assert (row["share"], row["low"], row["high"]) == (figure.value, figure.low, figure.high)
    assert rows[0, "unusable", ""]["count"] == 2
    assert rows[0, "unusable", ""]["n"] == 22
    for label in ("knn", "max-logit"):
        rejected = int((~answers[1].detected[label].accepted).sum())
        assert rows[1, "detector", label]["count"] == rejected
    assert rows[1, "all", ""]["count"] == int((~answers[1].accepted).sum())
    assert not rows[1, "unusable", ""]["complete"]
    assert (rows[0, "all", ""]["began"], rows[0, "all", ""]["ended"]) == (1_800_000_000.0, 1_800_000_060.0)


def test_a_killed_server_loses_no_stored_window_and_goes_on_in_a_new_one(tmp_path, scorer, answers, clock, monkeypatch):
    class Killed(BaseException):
        """Stands for the end of the process: nothing is written after it."""

    history = History(RunDir(tmp_path), scorer, images=20, clock=clock)
    with suppress(Killed), history.opened():
        for _ in range(3):
            history.add(answers[0])
        history.store(force=True)
        before = windows(tmp_path)
        history.add(answers[0])
        monkeypatch.setattr(history, "store", lambda force: None)
        raise Killed
    again = History(RunDir(tmp_path), scorer, images=20, clock=clock)
    with again.opened():
        again.add(answers[1])
    after = windows(tmp_path)
    assert {key: (after[key]["count"], after[key]["n"], after[key]["ended"]) for key in before} == {
        key: (row["count"], row["n"], row["ended"]) for key, row in before.items()
    }
    assert after[1, "all", ""]["complete"]
    assert {number for number, _, _ in before} == {0, 1}
    assert {number for number, _, _ in after} == {0, 1, 2}


def test_a_write_that_is_cut_off_leaves_what_was_there(tmp_path, scorer, answers, clock, monkeypatch):
    history = History(RunDir(tmp_path), scorer, images=20, clock=clock)
    with history.opened():
        history.add(answers[0])
        history.store(force=True)
        before = windows(tmp_path)
        history.add(answers[0])
        monkeypatch.setattr("os.replace", fails := _failing())
        history.store(force=True)
        assert fails.calls == 1
        assert windows(tmp_path) == before
        monkeypatch.undo()
        clock.now += 11
        history.store()  # it is tried again
        assert windows(tmp_path)[0, "all", ""]["n"] == 20


def _failing():
    def fail(*_):
        fail.calls += 1
        raise OSError(28, "No space left on device")

    fail.calls = 0
    return fail


@pytest.mark.parametrize("error", [OSError("no such device"), ValueError("no number"), RunError("the disk is full")])
def test_a_writing_that_fails_is_tried_again(tmp_path, scorer, answers, clock, monkeypatch, caplog, error):
    def fail(history, *given):
        raise error

    history = History(RunDir(tmp_path), scorer, images=20, clock=clock)
    with history.opened():
        history.add(answers[0])
        with monkeypatch.context() as patch:
            patch.setattr(History, "_write", fail)
            history.store(force=True)
        assert "not stored" in caplog.text
        history.store(force=True)
        assert windows(tmp_path)


def test_many_windows_stand_in_few_files(tmp_path, scorer, answers, clock, monkeypatch):
    monkeypatch.setattr(module, "A_FILE", 3)
    for _ in range(2):  # and over a restart
        history = History(RunDir(tmp_path), scorer, images=10, clock=clock)
        with history.opened():
            for _ in range(4):
                history.add(answers[0])
                history.store(force=True)
    run = RunDir(tmp_path)
    assert len(run.names("rows", "windows")) == 3
    assert sorted({number for number, _, _ in windows(tmp_path)}) == list(range(8))
    assert len(history._kept) == 2  # what is stored for good is not held in memory


def test_what_is_new_is_written_now_and_then(tmp_path, scorer, answers, clock):
    history = History(RunDir(tmp_path), scorer, images=100, clock=clock)
    with history.opened():
        history.add(answers[0])
        history.store()
        history.add(answers[0])
        clock.now += 5
        history.store()
        assert windows(tmp_path)[0, "all", ""]["n"] == 10
        clock.now += 5
        history.store()
        assert windows(tmp_path)[0, "all", ""]["n"] == 20


def test_an_old_window_ends(tmp_path, scorer, answers, clock):
    history = History(RunDir(tmp_path), scorer, images=100, oldest=3600, clock=clock)
    with history.opened():
        history.add(answers[0])
        clock.now += 3600
        history.store()
        history.add(answers[0])
    rows = windows(tmp_path)
    assert rows[0, "all", ""]["complete"]
    assert rows[1, "all", ""]["n"] == 10


def test_a_history_of_another_promise_or_another_command_is_refused(tmp_path, scorer, answers, clock):
    with History(RunDir(tmp_path / "a"), scorer, clock=clock).opened():
        pass
    other = Scorer(scorer.model, scorer.detectors, accept=0.8)
    with pytest.raises(RunError, match="accept, thresholds"), History(RunDir(tmp_path / "a"), other).opened():
        pass
    RunDir(tmp_path / "b").write_json({}, "run.json")
    with pytest.raises(RunError, match="another command"), History(RunDir(tmp_path / "b"), scorer).opened():
        pass


def test_two_servers_do_not_write_one_history(tmp_path, scorer):
    with (
        History(RunDir(tmp_path), scorer).opened(),
        pytest.raises(RunError, match="is writing here"),
        History(RunDir(tmp_path), scorer).opened(),
    ):
        pass


def test_the_page_is_made_again_from_the_rows(tmp_path, scorer, answers, clock):
    history = History(RunDir(tmp_path), scorer, images=10, clock=clock)
    with history.opened():
        for one in (answers[0], answers[1], answers[1]):
            history.add(one, unusable=1)
            clock.now += 60
    run = RunDir(tmp_path)
    page = run.read("report.html").decode()
    run.remove("report.html")
    assert rebuild_report(run)["model_name"] == "exact"
    assert run.read("report.html").decode() == page
    assert "<script>alert" not in page  # the name of a class
    text = run.read("report.md").decode()
    assert "30 images in 3 windows" in text
    assert "more is rejected than normal images explain, first in window 1" in text
    assert "3 of 33 images could not be scored" in text


def test_drift_from_a_reference_is_told_and_kept(tmp_path, scorer, answers, clock):
    reference = measure_reference(scorer, in_memory(200))
    ids = tuple(map(str, range(200)))
    whole = scorer.run([Work(Batch(in_memory(200).images.float() / 255, None, ids), ScoreOptions())])[0]
    assert [reference.classes[k] for k in range(3)] == torch.bincount(whole.predictions, minlength=3).tolist()
    below = [(whole.probabilities.amax(1) < edge).sum().item() for edge in CONFIDENCES]
    assert reference.confidence == np.diff([0, *below, 200]).tolist()
    history = History(RunDir(tmp_path), scorer, images=200, reference=reference, clock=clock)
    with history.opened():
        history.add(whole)
        for _ in range(20):
            history.add(answers[1])
            clock.now += 60
        history.store(force=True)
        assert json.loads(RunDir(tmp_path).read("drift.json"))["alarms"]
    run = RunDir(tmp_path)
    alarms = json.loads(run.read("drift.json"))
    assert (alarms["false_alarms"], alarms["windows"]) == (0.01, 2)
    assert {one["window"] for one in alarms["alarms"]} == {1}
    seen = int(answers[1].predictions[0])  # of every image of the second window
    name = scorer.model.classes[seen]
    own = next(one for one in alarms["alarms"] if (one["kind"], one["name"]) == ("class", name))
    assert (own["more"], own["share"]["value"], own["share"]["n"]) == (True, 1.0, 200)
    assert own["least"] < reference.classes[seen] / 200 < own["most"]
    text = run.read("report.md").decode()
    assert "Predicted classes drift from the reference, first in window 1" in text
    run.remove("drift.json")
    rebuild_report(run)
    assert json.loads(run.read("drift.json")) == alarms
    with History(run, scorer, images=200, reference=reference, clock=clock).opened():
        pass
    with pytest.raises(RunError, match="reference differ"), History(run, scorer, images=200).opened():
        pass


def test_a_stream_like_the_reference_shows_no_drift(tmp_path, scorer, clock):
    ids = tuple(map(str, range(200)))
    like = scorer.run([Work(Batch(dyadic(200, 9), None, ids), ScoreOptions())])[0]
    reference = measure_reference(scorer, in_memory(200))
    history = History(RunDir(tmp_path), scorer, images=200, reference=reference, clock=clock)
    with history.opened():
        history.add(like)
    assert json.loads(RunDir(tmp_path).read("drift.json"))["alarms"] == []
    assert "No drift is shown" in RunDir(tmp_path).read("report.md").decode()
    with pytest.raises(DataError, match="has 60 images that can be used: a reference needs 100"):
        measure_reference(scorer, in_memory(60))


def in_memory(n):
    """Images without labels, of the source of `dyadic`."""
    return InMemory((dyadic(n, 7) * 255).round().to(torch.uint8))


def test_the_endpoint_counts_into_its_history(tmp_path, open_client, scorer):
    client = open_client(scorer, history=History(RunDir(tmp_path), scorer))
    files = [("f", png(noise(seed=seed))) for seed in range(3)]
    assert client.post("/v1/score", files=[*files, ("f", b"x")]).status_code == 200
    assert client.post("/v1/score", files=[("f", b"x")]).status_code == 422
    client.__exit__(None, None, None)
    rows = windows(tmp_path)
    assert rows[0, "all", ""]["n"] == 3
    assert (rows[0, "unusable", ""]["count"], rows[0, "unusable", ""]["n"]) == (2, 5)
