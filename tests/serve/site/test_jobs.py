"""Runs that are started from forms: what the forms offer, what is refused, progress and an end."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from scipy.stats import binomtest
from starlette.testclient import TestClient

from tests.report.conftest import write_run
from tests.serve.conftest import Browser
from tests.serve.site.conftest import PLAN
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.registry import find_method
from unshaken.report import write_report
from unshaken.serve.app import create_app
from unshaken.serve.site import jobs as jobs_module
from unshaken.serve.site.index import RunIndex
from unshaken.serve.site.job import SHOWN, JobState
from unshaken.serve.site.jobs import MOST_WAITING, JobRecords, Jobs
from unshaken.serve.site.launch import Specs, Verb, allowed_specs, arguments_of, choices_of, methods_of
from unshaken.serve.site.part import site_parts
from unshaken.serve.site.partial import PartialFigures
from unshaken.store.lock import locked
from unshaken.store.owner import _start_of
from unshaken.store.run_dir import RunDir

SPECS = Specs(("demo", "torchvision:resnet18"), ("demo",))
ATTACK = {"verb": "attack", "method": "pgd", "model": "demo", "data": "demo", "limit": "20", "seed": "1"}


def python(code):
    """A program that ignores the arguments of a job."""
    return sys.executable, "-c", code


def wait_for(fits, seconds=30.0):
    end = time.monotonic() + seconds
    while not fits():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def jobs(tmp_path):
    opened = Jobs(tmp_path / "runs", command=python("import sys; print(sys.argv[1:])"))
    yield opened
    opened.close()


def test_a_form_becomes_the_arguments_of_a_command():
    fields = {**ATTACK, "norm": "l2", "eps": "8/255", "p-steps": "5", "p-restarts": "1", "p-loss": "dlr"}
    title, arguments = arguments_of(fields, SPECS)
    assert title == "attack pgd: demo on demo"
    assert arguments == [
        "attack", "--model=demo", "--data=demo", "--limit=20", "--seed=1", "--method=pgd:steps=5,loss=dlr",
        "--norm=l2", "--eps=8/255",
    ]  # fmt: skip
    audit = {"verb": "audit", "model": "demo", "data": "demo", "plan": "quick"}
    assert arguments_of(audit, SPECS)[1][-1] == "--plan=quick"
    certify = {**ATTACK, "verb": "certify", "method": "smoothing", "radius": "0.5", "p-n": "100"}
    assert arguments_of(certify, SPECS)[1][-2:] == ["--method=smoothing:n=100", "--radius=0.5"]
    harden = {**ATTACK, "verb": "harden", "method": "at", "model": "small-cnn", "epochs": "2", "eps": "1"}
    title, arguments = arguments_of(harden, SPECS)
    assert title == "harden at: small-cnn on demo"
    assert arguments[:2] == ["harden", "--model=small-cnn"]
    assert arguments[-2:] == ["--method=at", "--epochs=2"]


REFUSED = {
    "verb": {"verb": "repair"},
    "recipe that needs a file": {"verb": "harden", "method": "distillation"},
    "defence that trains nothing": {"verb": "harden", "method": "crossmax"},
    "epochs": {"verb": "harden", "method": "at", "epochs": "0"},
    "epochs in words": {"verb": "harden", "method": "at", "epochs": "1;id"},
    "architecture of an attack": {"model": "small-cnn"},
    "no verb": {"verb": ""},
    "model that is not allowed": {"model": "py:evil.py:make"},
    "model as an option": {"model": "--out=/etc"},
    "data that are not allowed": {"data": "folder:/etc"},
    "method of another room": {"method": "fog"},
    "method with a parameter": {"method": "pgd:steps=1"},
    "no method": {"method": ""},
    "no limit": {"limit": "0"},
    "huge limit": {"limit": "1" * 30},
    "limit in words": {"limit": "all"},
    "seed": {"seed": "-1"},
    "norm": {"norm": "l3"},
    "eps": {"eps": "nan"},
    "negative eps": {"eps": "-1"},
    "parameter out of range": {"p-steps": "0"},
    "parameter with another in it": {"p-steps": "5,loss=dlr"},
    "parameter in words": {"p-steps": "$(id)"},
    "choice": {"p-loss": "ce;id"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_was_not_offered_is_refused(name):
    with pytest.raises(ParameterError):
        arguments_of({**ATTACK, **REFUSED[name]}, SPECS)


@pytest.mark.parametrize("verb", [Verb.ATTACK, Verb.CERTIFY, Verb.HARDEN])
def test_no_form_offers_free_text_and_one_sent_as_it_was_given_changes_nothing(verb):
    methods = methods_of(verb)
    assert len(methods) > 5
    for method in methods:
        schemas, choices = method.parameters(), choices_of(method)
        for choice in choices:
            kinds = [schemas[choice.name], *schemas[choice.name].get("anyOf", ())]
            kinds += [item for k in kinds for item in (k.get("items", {}), *k.get("prefixItems", ()))]
            assert choice.values or {"integer", "number"} & {k.get("type") for k in kinds}
        if all("default" in schema for schema in schemas.values()):
            given = {f"p-{choice.name}": choice.default for choice in choices}
            arguments = arguments_of({**ATTACK, **given, "verb": verb, "method": method.name}, SPECS)[1]
            assert arguments[-1].partition("=")[2] == method.name


def test_several_values_are_sent_as_text():
    """Each is of the list or a number, so that nothing but that parameter is written."""
    sent = {**ATTACK, "verb": "certify", "method": "smoothing", "p-radii": "0.25+1/2"}
    assert arguments_of(sent, SPECS)[1][-1].endswith("=smoothing:radii=0.25+1/2")
    for wrong, message in (("0.25+x", "radii"), ("1,n=3", "radii"), ("1+", "empty item")):
        with pytest.raises(ParameterError, match=message):
            arguments_of({**sent, "p-radii": wrong}, SPECS)


def test_parameters_keep_their_order():
    names = [choice.name for choice in choices_of(find_method("pgd"))]
    assert names == ["rel_stepsize", "step_size", "steps", "restarts", "random_start", "loss", "temperature"]


def test_code_is_offered_only_where_it_was_allowed():
    listed = [
        [(spec, "classification") for spec in specs]
        for specs in (["demo", "py:net.py:make", "onnx:x.onnx"], ["demo", "py:data.py:make"])
    ]
    found = allowed_specs(listed, ())
    assert (found.models, found.data) == (("demo", "onnx:x.onnx"), ("demo",))
    assert "py:net.py:make" in allowed_specs(listed, ["py:net.py:make"]).models


def test_a_model_and_data_of_other_tasks_are_refused():
    specs = allowed_specs(([("onnx:boxes.onnx", "detection")], [("coco:a", "detection"), ("folder:b", "")]), ())
    for model, data in (("demo", "coco:a"), ("onnx:boxes.onnx", "demo")):
        with pytest.raises(ParameterError, match="choose two that fit together"):
            arguments_of({**ATTACK, "model": model, "data": data}, specs)
    assert arguments_of({**ATTACK, "model": "onnx:boxes.onnx", "data": "coco:a"}, specs)


def test_a_job_runs_without_a_shell_and_ends(jobs):
    job = jobs.start("a title", ["attack", "--model=$(id); `id`"], "ann")
    wait_for(lambda: job.ends)
    assert (job.state, job.code, job.progress()) == (JobState.DONE, 0, 1.0)
    assert job.messages() == f"['attack', '--model=$(id); `id`', '--out', {job.out!r}]"


@pytest.mark.parametrize(("code", "state"), [(1, JobState.DONE), (2, JobState.FAILED), (3, JobState.DONE)])
def test_the_exit_code_decides_the_state(jobs, code, state):
    jobs.command = python(f"print('why\\x1b[31m'); raise SystemExit({code})")
    job = jobs.start("x", ["audit"], "ann")
    wait_for(lambda: job.ends)
    assert (job.state, job.code) == (state, code)
    assert job.messages() == "why\\x1b[31m"


def test_others_wait_and_a_cancelled_job_ends_with_what_it_started(jobs):
    jobs.command = python(
        "import subprocess, sys; "
        "subprocess.run([sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(60)'])"
    )
    first, second = (jobs.start(str(k), ["audit"], "ann") for k in range(2))
    assert (first.state, second.state) == (JobState.RUNNING, JobState.WAITING)
    wait_for(lambda: first.messages() == "1")  # an interrupt while Python starts may be lost: it is killed later then
    jobs.cancel(second)
    jobs.cancel(first)
    wait_for(lambda: first.process.poll() is not None)
    assert (first.state, second.state, second.process) == (JobState.CANCELLED, JobState.CANCELLED, None)
    assert [job.title for job in jobs.all()] == ["1", "0"]


def test_a_job_that_ignores_the_interrupt_is_killed(jobs, monkeypatch):
    monkeypatch.setattr("unshaken.serve.site.jobs.PATIENCE", 0.05)
    jobs.command = python("import signal, time; signal.signal(2, signal.SIG_IGN); print(1, flush=True); time.sleep(60)")
    job = jobs.start("x", ["audit"], "ann")
    wait_for(lambda: job.messages() == "1")
    jobs.cancel(job)
    wait_for(lambda: job.code is not None)
    assert job.code == -9


def test_not_more_jobs_wait_than_may(jobs):
    jobs.at_once = 0
    for _ in range(MOST_WAITING):
        jobs.start("x", ["audit"], "ann")
    with pytest.raises(ParameterError, match="wait already"):
        jobs.start("x", ["audit"], "ann")


def test_progress_is_the_share_of_finished_parts(jobs):
    jobs.at_once = 0
    job = jobs.start("x", ["audit"], "ann")
    assert job.progress() is None
    steps = [{"method": m, "conditions": [c]} for m, c in (("fog", "fog-3"), ("pgd", "pgd-linf-0.0313725"))]
    run = write_run(job.out, plan=PLAN, pictures=0, steps=steps)  # 3 conditions in 2 shards
    assert job.progress() == 1.0
    run.remove("rows", "outcomes", "fog-3-00001.parquet")
    assert job.progress() == pytest.approx(5 / 6)


def sent_events(text):
    """Names, ids and values of the events of a stream."""
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.strip().split("\n\n")]
    return [(block["event"], block.get("id"), json.loads(block["data"])) for block in blocks]


def test_the_log_is_given_by_whole_lines_from_a_place(jobs):
    jobs.at_once = 0
    job = jobs.start("x", ["audit"], "ann")
    assert job.messages_after(0) == ("", 0)
    log = Path(f"{job.out}.log")
    log.write_bytes(b"one\ntw\xc3")
    assert job.messages_after(0) == ("one\n", 4)
    log.write_bytes(b"one\ntw\xc3\xb6\nthree")
    assert job.messages_after(4) == ("tw\xf6\n", 9)
    job.state = JobState.DONE
    assert job.messages_after(9) == ("three\n", 14)
    assert job.messages_after(14) == ("", 14)
    assert job.messages_after(10**6)[0].startswith("one\n")  # the log was begun anew
    log.write_bytes(b"x" * 9000)
    assert job.messages_after(0) == ("x" * SHOWN + "\n", 9000)


def test_figures_of_finished_shards_are_those_of_their_rows(tmp_path):
    steps = [{"method": m, "conditions": [c]} for m, c in (("fog", "fog-3"), ("pgd", "pgd-linf-0.0313725"))]
    run = write_run(tmp_path / "run", plan=PLAN, pictures=0, shift=2.0, steps=steps)
    run.remove("rows", "outcomes", "fog-3-00001.parquet")
    found = {one.condition: one for one in PartialFigures(run.root).read()}
    assert [*found] == ["clean", "fog-3", "pgd-linf-0.0313725"]
    for condition, one in found.items():
        rows = [row for row in run.rows("outcomes", condition=condition).to_pylist() if row["correct"] is not None]
        right = sum(row["correct"] for row in rows)
        assert (one.accuracy.value, one.accuracy.n) == (right / len(rows), len(rows))
        test = binomtest(right, len(rows)).proportion_ci(method="exact")
        assert (one.accuracy.low, one.accuracy.high) == pytest.approx((test.low, test.high))
    ids = {row["id"] for row in run.rows("outcomes", condition="fog-3").to_pylist()}
    same = [r["correct"] for r in run.rows("outcomes", condition="clean").to_pylist() if r["id"] in ids]
    same = [correct for correct in same if correct is not None]
    assert found["fog-3"].unchanged == sum(same) / len(same)
    assert found["clean"].unchanged is None


def test_shards_are_read_once_and_a_few_at_a_time(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", plan=PLAN, pictures=0)
    monkeypatch.setattr("unshaken.serve.site.partial.AT_ONCE", -1.0)
    partial, files = PartialFigures(run.root), len(run.finished())
    assert [one.condition for one in partial.read()] == ["clean"]
    assert partial.unread == files - 1
    monkeypatch.setattr("unshaken.serve.site.partial.AT_ONCE", 60.0)
    whole = partial.read()
    for file in run.names("rows", "outcomes"):
        Path(run.at("rows", "outcomes", file)).write_bytes(b"not read again")
    assert (partial.read(), partial.unread) == (whole, 0)
    with pytest.raises(RunError, match="damaged"):
        PartialFigures(run.root).read()
    assert PartialFigures(str(tmp_path / "nothing")).read() == []


def test_a_stream_tells_the_log_the_figures_and_the_end(ann):
    ann.site.jobs.command = python("print('a<b>\\nc')")
    job = ann.site.jobs.start("x", ["audit"], "ann")
    write_run(job.out, plan=PLAN, pictures=0)
    wait_for(lambda: job.ends)
    answer = ann.client.get(f"/jobs/{job.id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    log, figures, state = sent_events(answer.text)
    assert log == ("log", "7", "a<b>\nc\n")
    assert (figures[0], figures[2]["figures"][0][:2]) == ("figures", ["clean", "48"])
    assert (state[0], state[2]["state"], state[2]["ended"]) == ("state", "done", True)
    again = ann.client.get(f"/jobs/{job.id}/events?after=0", headers={"last-event-id": "5"})
    assert sent_events(again.text)[0] == ("log", "7", "c\n")
    odd = ann.client.get(f"/jobs/{job.id}/events?after=7", headers={"last-event-id": "-1"})
    assert [name for name, _, _ in sent_events(odd.text)] == ["figures", "state"]
    page = ann.get(f"/jobs/{job.id}")
    assert "Figures so far" in page
    assert "a&lt;b&gt;" in page
    assert ann.site.jobs.streams == 0


def test_a_stream_is_refused_to_other_sites_and_beyond_its_number(ann):
    ann.site.jobs.command = python("pass")
    job = ann.site.jobs.start("x", ["audit"], "ann")
    wait_for(lambda: job.ends)
    path = f"/jobs/{job.id}/events"
    ann.get(path, 403, headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"})
    ann.get(f"{path}?after=-1", 404)
    ann.get("/jobs/..%2f..%2fetc/events", 404)
    ann.get("/jobs/none/events", 404)
    ann.get(path, 404, headers={"last-event-id": "1" * 30})
    ann.site.jobs.streams = 64
    assert "follow jobs already" in ann.get(path, 503)


def test_damaged_rows_of_a_job_are_named_on_its_page(ann):
    ann.site.jobs.at_once = 0
    job = ann.site.jobs.start("x", ["audit"], "ann")
    run = write_run(job.out, plan=PLAN, pictures=0)
    Path(run.at("rows", "outcomes", "clean-00000.parquet")).write_bytes(b"PAR1")
    assert "clean-00000.parquet is damaged" in ann.get(f"/jobs/{job.id}")


def test_a_stream_ends_with_its_server(ann):
    ann.site.jobs.at_once = 0
    job = ann.site.jobs.start("x", ["audit"], "ann")
    ann.client.app.state.is_ending = lambda: True
    state = sent_events(ann.client.get(f"/jobs/{job.id}/events").text)[-1]
    assert (state[2]["state"], state[2]["ended"]) == ("waiting", False)


def test_a_run_is_started_from_its_form(ann):
    ann.site.jobs.command = python("pass")
    form = ann.get("/jobs/new?verb=attack&method=pgd")
    assert 'name="p-steps" value="40"' in form
    assert "attacks at" in form or "gradient ascent" in form
    wrong = ann.post("/jobs", form, status=400, **{**ATTACK, "p-steps": "0"})
    assert "steps=0" in wrong
    assert 'name="p-steps" value="0"' in wrong
    page = ann.post("/jobs", form, **ATTACK)
    assert "attack pgd: demo on demo" in page
    job = ann.site.jobs.all()[0]
    assert job.reader == "ann"
    wait_for(lambda: job.ends)
    assert ann.client.get(f"/jobs/{job.id}/state").json()["state"] == "done"
    assert f"/jobs/{job.id}" in ann.get("/jobs")
    assert "done" in ann.post(f"/jobs/{job.id}/cancel", form)


def test_a_job_that_ended_before_its_first_part_has_no_moving_bar(ann):
    ann.site.jobs.at_once = 0
    job = ann.site.jobs.start("x", ["audit"], "ann")
    assert "<progress" in ann.get(f"/jobs/{job.id}")
    ann.site.jobs.cancel(job)
    page = ann.get(f"/jobs/{job.id}")
    assert "cancelled" in page
    assert "<progress" not in page


@pytest.fixture
def begin(tmp_path):
    """Starts the jobs of a server after the one before has ended, or was killed."""
    opened = []

    def start(code="import time; time.sleep(60)", folder="runs"):
        records = JobRecords(index, str(tmp_path / folder))
        opened.append(Jobs(tmp_path / folder, command=python(code), records=records))
        return opened[-1]

    with RunIndex(tmp_path / "site.db", [str(tmp_path / "runs")]) as index:
        yield start
        for jobs in opened:
            jobs.close()


def test_a_server_that_starts_again_lists_what_was_done(begin):
    first = begin("print('hello')")
    job = first.start("a title", ["attack", "--model=$(id)"], "ann")
    wait_for(lambda: first.records.find(job.id).state is JobState.DONE)
    first.close()
    again = begin().all()
    assert [(j.title, j.state, j.reader, j.code, j.messages()) for j in again] == [
        ("a title", JobState.DONE, "ann", 0, "hello")
    ]
    assert (again[0].resume_command, again[0].here) == ("", False)


def test_what_a_server_ended_with_itself_is_interrupted(begin, tmp_path):
    first = begin()
    running, waiting = (first.start(name, ["audit", "--model=$(id)"], "ann") for name in ("r", "w"))
    write_run(running.out, plan=PLAN, pictures=0)
    first.close()
    found = {job.title: job for job in begin().all()}
    assert {job.state for job in found.values()} == {JobState.INTERRUPTED}
    assert found["r"].resume_command == f"unshaken audit '--model=$(id)' --out {running.out} --resume"
    assert found["w"].resume_command == f"unshaken audit '--model=$(id)' --out {waiting.out}"
    assert found["r"].seconds < 60


def test_an_interrupted_job_goes_on_in_the_next_server(begin):
    first = begin()
    job = first.start("r", ["audit", "--model=$(id)"], "ann")
    write_run(job.out, plan=PLAN, pictures=0)
    first.close()
    again = begin("import sys; print(sys.argv[1:])")
    again.go_on(again.find(job.id))
    wait_for(lambda: again.records.find(job.id).state is JobState.DONE)
    done = again.find(job.id)
    assert (done.state, done.code, done.here) == (JobState.DONE, 0, True)
    assert done.messages().endswith(str(["audit", "--model=$(id)", "--out", job.out, "--resume"]))
    with pytest.raises(ParameterError, match="is done: only one that was cancelled or interrupted goes on"):
        again.go_on(done)


def test_a_job_goes_on_after_its_process_has_ended(jobs):
    jobs.command = python("import signal, time; signal.signal(2, signal.SIG_IGN); print(1, flush=True); time.sleep(60)")
    job = jobs.start("x", ["audit"], "ann")
    wait_for(lambda: job.messages() == "1")
    jobs_module._interrupt(job.process)  # ignored
    job.state = JobState.CANCELLED
    with pytest.raises(ParameterError, match="still saves what is finished"):
        jobs.go_on(job)
    jobs_module._interrupt(job.process, kill=True)
    job.process.wait()
    jobs.command = python("print(2)")
    jobs.go_on(job)
    wait_for(lambda: job.ends)
    assert (job.state, job.code, job.messages()) == (JobState.DONE, 0, "1\n2")


def test_a_job_goes_on_by_a_click_unless_its_model_is_no_longer_allowed(ann):
    jobs = ann.site.jobs
    jobs.at_once = 0
    fine, other = (jobs.start(m, ["audit", f"--model={m}", "--data=demo"], "ann") for m in ("demo", "py:net.py:make"))
    for job in (fine, other):
        jobs.cancel(job)
    page = ann.get(f"/jobs/{fine.id}")
    assert "Go on" in page
    assert "waiting" in ann.post(f"/jobs/{fine.id}/go-on", page)
    assert "this run is waiting" in ann.post(f"/jobs/{fine.id}/go-on", page, status=409)
    assert "is not allowed here" in ann.post(f"/jobs/{other.id}/go-on", page, status=409)
    assert other.state is JobState.CANCELLED


def killed(jobs):
    """Let the records of jobs be those of a server on this machine that has ended without a word."""
    owner = json.loads(jobs.records._server)
    jobs.records._server = json.dumps({**owner, "pid": 2**22 + 1})
    for job in jobs.all():
        jobs.records.save(job)
    return jobs


def test_after_a_server_was_killed_each_job_is_what_is_found_of_it(begin):
    first = begin()
    at_work, done, half, _ = (first.start(n, ["audit"], "ann") for n in ("at work", "done", "half", "none"))
    for job in (at_work, done, half):
        run = write_run(job.out, plan=PLAN, pictures=0)
        if job is done:
            write_report(run)
    killed(first)
    with locked(RunDir(at_work.out)):
        states = {job.title: job.state.value for job in begin().all()}
        assert states == {
            "at work": "running",
            "done": "done",
            "half": "interrupted",
            "none": "interrupted",
        }
        second = begin()
        with pytest.raises(ParameterError, match="outside of this server"):
            second.cancel(second.find(at_work.id))
    assert begin().find(at_work.id).state is JobState.INTERRUPTED
    assert begin().find(half.id).resume_command.endswith("--resume")


def test_two_servers_at_once_do_not_disturb_each_other(begin):
    first = begin()
    running, waiting = (first.start(name, ["audit"], "ann") for name in ("r", "w"))
    owner = json.loads(first.records._server)
    first.records._server = json.dumps({**owner, "pid": os.getppid(), "started": _start_of(os.getppid())})
    for job in (running, waiting):
        first.records.save(job)
    second = begin()
    assert {job.title: job.state for job in second.all()} == {"r": JobState.RUNNING, "w": JobState.WAITING}
    second.close()
    assert first.records.find(running.id).state is JobState.RUNNING


def test_of_many_jobs_the_newest_are_kept_and_those_of_another_folder_are_not_mixed_in(begin, monkeypatch):
    monkeypatch.setattr(jobs_module, "MOST_KEPT", 2)
    first, other = begin("pass"), begin("pass", "others")
    other.start("other", ["audit"], "ann")
    jobs = [first.start(str(number), ["audit"], "ann") for number in range(3)]
    wait_for(lambda: all(job.ends for job in jobs))
    first.records.save(jobs[0])
    assert [job.title for job in first.records.load()] == ["2", "1"]
    assert [job.title for job in other.records.load()] == ["other"]


def test_a_record_that_cannot_be_written_keeps_no_job_from_running(begin, monkeypatch, caplog):
    def fail(records, job):
        raise RunError("the disk is full")

    jobs = begin("pass")
    monkeypatch.setattr(JobRecords, "save", fail)
    job = jobs.start("x", ["audit"], "ann")
    wait_for(lambda: job.ends)
    assert job.state is JobState.DONE
    assert "the disk is full" in caplog.text


def test_a_server_that_closes_waits_until_the_last_job_is_kept(begin, monkeypatch):
    began, kept = threading.Event(), []

    def save(records, job):
        if job.ends:
            began.set()
            time.sleep(0.05)
            kept.append(job)

    jobs = begin("pass")
    monkeypatch.setattr(JobRecords, "save", save)
    job = jobs.start("x", ["audit"], "ann")
    assert began.wait(30)
    jobs.close()
    assert kept == [job]


def test_the_pages_show_how_an_interrupted_job_goes_on(open_at, folder):
    site = open_at(folder)
    site.jobs.command = python("import time; time.sleep(60)")
    job = site.jobs.start("<b>x</b>", ["audit", "--model=a b"], "ann")
    site.jobs.close()
    site.jobs._jobs.clear()  # as in a server that starts again
    client = Browser(
        TestClient(create_app(site_parts(site), readers=site.store, local="ann"), base_url="http://localhost")
    )
    assert "interrupted" in client.get("/jobs")
    page = client.get(f"/jobs/{job.id}")
    assert f"unshaken audit &#39;--model=a b&#39; --out {job.out}" in page
    assert "<b>x" not in page
    assert "Cancel" not in page
    assert client.client.get(f"/jobs/{job.id}/state").json()["ended"] is True


def test_forms_of_what_is_not_known_say_so(ann):
    ann.get("/jobs/new?verb=attack&method=nothing", 400)
    assert "Plan" in ann.get("/jobs/new?verb=delete")


def test_a_training_is_started_from_its_form(ann):
    ann.site.jobs.command = python("pass")
    form = ann.get("/jobs/new?verb=harden&method=trades")
    assert "<option>small-cnn</option>" in form
    assert 'name="epochs"' in form
    assert 'name="radius"' not in form
    sent = {"verb": "harden", "method": "trades", "model": "small-cnn", "data": "demo", "limit": "50", "epochs": "1"}
    assert "--method=trades --epochs=1" in ann.post("/jobs", form, **sent)
