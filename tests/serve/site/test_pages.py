"""The pages of runs: what a reader sees, in how many clicks, and what hostile runs cannot do."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.report.conftest import CLASSES, write_run
from tests.serve.site.conftest import PLAN, runs_of
from unshaken.core.flag import Flag
from unshaken.report import write_report
from unshaken.report.gates.kept import begin_gates
from unshaken.run.shard import write_flags
from unshaken.serve.app import create_app
from unshaken.serve.site.opened import OpenedRun
from unshaken.serve.site.part import site_part
from unshaken.serve.site.records import KINDS

SCRIPT = "<script>"


def links(page):
    return [link.replace("&amp;", "&") for link in re.findall(r'href="(/[^"]+)"', page)]


def test_the_list_leads_to_every_run(ann):
    page = ann.get("/")
    assert "2 runs" in page
    for name in ("a", "deep/b"):
        run = runs_of(ann.site)[name]
        assert f'<a href="/runs/{run.id}">{name}</a>' in page
        assert f"net {name}" in ann.get(f"/runs/{run.id}")


def test_one_flag_is_counted_as_one(open_client, tmp_path):
    run = write_run(tmp_path / "runs" / "a", plan=PLAN[:1], bad=False, flags=False)
    write_flags(run, "start", 0, [Flag("train-mode", "the model came in training mode")])
    write_report(run)
    assert "1 flag<" in open_client(tmp_path / "runs").get("/")


def test_two_clicks_compare_two_runs(ann):
    first = next(link for link in links(ann.get("/runs")) if "baseline=" in link)
    second = next(link for link in links(ann.get(first)) if link.startswith("/compare"))
    page = ann.get(second)
    assert "better than net" in page
    assert "on the same 48 images" in page


def test_several_chosen_runs_are_compared_with_one(open_client, folder):
    for name, shift in (("c", 1.0), ("d", 0.0)):
        write_report(write_run(folder / name, plan=PLAN, shift=shift, model_name=f"net {name}", model="demo", seed=1))
    write_report(write_run(folder / "other", plan=PLAN, model_name="net other", data_fingerprint="ef" * 32))
    ann = open_client(folder)
    runs = runs_of(ann.site)
    page = ann.get(f"/runs?baseline={runs['a'].id}")
    offered = re.findall(r'name="candidate" value="(\d+)" form="several"', page)
    assert sorted(offered) == sorted(str(runs[name].id) for name in ("deep/b", "c", "d"))
    assert '<form id="several"' in page
    address = f"/compare?baseline={runs['a'].id}" + "".join(f"&candidate={number}" for number in offered)
    text = re.sub("<[^>]+>", "", ann.get(address))
    assert "Which is better than net a?" in text
    # three candidates under three conditions are one family; a copy of the baseline differs nowhere
    assert "net d cannot be told apart from net a; on the same 48 images" in text
    assert re.search(r"net deep/b is worse than net a by \d+\.\d points under ", text)
    assert ann.get(address + f"&candidate={offered[0]}") == ann.get(address)
    assert "choose at most 9" in ann.get(address + "".join(f"&candidate={i}" for i in range(500, 507)), 400)
    assert "No run was chosen" in ann.get(f"/compare?baseline={runs['a'].id}", 404)
    ann.get(address + f"&candidate={runs['other'].id}", 400)


def test_the_worst_examples_are_those_of_the_lowest_figure(ann):
    run = runs_of(ann.site)["a"]
    summary = json.loads((Path(run.place) / "summary.json").read_text())
    worst = min(summary["conditions"], key=lambda row: row["accuracy"]["value"])["condition"]
    button = re.search(r'href="([^"]+)">Worst examples', ann.get(f"/runs/{run.id}"))
    assert button[1] == f"/runs/{run.id}/samples?condition={worst}"


def test_filters_of_the_list_stay_in_the_links_of_its_pages(ann):
    assert "1 run<" in ann.get("/runs?search=deep")
    assert "No run fits" in ann.get("/runs?search=nothing")
    assert "No run fits" in ann.get("/runs?kind=harden")
    assert ann.get("/runs?order=sideways", 400)


def test_a_run_shows_its_figures_and_leads_to_its_samples(ann):
    run = runs_of(ann.site)["a"]
    page = ann.get(f"/runs/{run.id}")
    assert "62.5 %" in page  # fog-3: wrong where i % 8 is below 3
    assert f"/runs/{run.id}/samples?condition=fog-3" in links(page)
    worst = re.search('<a class="button" href="([^"]+)">Worst examples</a>', page)
    assert worst[1].replace("&amp;", "&") == f"/runs/{run.id}/samples?condition=pgd-linf-0.0313725"
    grid = ann.get(f"/runs/{run.id}/samples?condition=fog-3&outcome=broken")
    assert "12 samples" in grid
    sample = ann.get(f"/runs/{run.id}/samples/9")
    assert "deep/b" in sample  # the other run on the same data
    assert sample.count("fog-3</a>") == 1


def test_every_link_of_every_page_leads_somewhere(ann):
    waiting, seen = ["/"], set()
    while waiting:
        path = waiting.pop()
        if path in seen or re.search(r"samples/([1-9]\d|[2-9])", path):
            continue
        seen.add(path)
        answer = ann.client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        if "html" in answer.headers["content-type"]:
            assert SCRIPT not in answer.text, path  # all scripts are files, and all names are escaped
            waiting += links(answer.text)
    assert len(seen) > 25


def test_pictures_are_those_that_were_kept(ann):
    number = runs_of(ann.site)["a"].id
    kept = ann.client.get(f"/runs/{number}/samples/1/image.img?condition=fog-3")
    assert (kept.status_code, kept.headers["content-type"]) == (200, "image/png")
    tag = {"if-none-match": kept.headers["etag"]}
    assert ann.client.get(f"/runs/{number}/samples/1/image.img?condition=fog-3", headers=tag).status_code == 304
    absent = ann.client.get(f"/runs/{number}/samples/20/image.img?condition=fog-3")
    assert (absent.status_code, absent.headers["content-type"]) == (404, "image/svg+xml")
    assert "not kept" in " ".join(re.sub("<[^>]+>", " ", absent.text).split())


def test_the_report_is_made_of_the_rows_and_the_file_opens_in_a_sandbox(ann):
    number = runs_of(ann.site)["a"].id
    assert "Robustness of net a" in ann.get(f"/runs/{number}/report")
    file = ann.client.get(f"/runs/{number}/report.html")
    policy = file.headers["content-security-policy"]
    assert policy.startswith("sandbox;")
    assert "script" not in policy
    assert "allow" not in policy


def test_tags_are_put_on_and_taken_off(ann):
    number = runs_of(ann.site)["a"].id
    page = ann.get(f"/runs/{number}")
    page = ann.post(f"/runs/{number}/tags", page, tag="<b>night</b>")
    assert "&lt;b&gt;night&lt;/b&gt;" in page
    assert "1 run<" in ann.get("/runs?tag=%3Cb%3Enight%3C/b%3E")
    ann.post(f"/runs/{number}/tags", page, status=400, tag=" ")
    assert "none" in ann.post(f"/runs/{number}/tags", page, remove="<b>night</b>")


def test_an_archived_run_leaves_the_list_and_comes_back(ann):
    run = runs_of(ann.site)["a"]
    place = f"/runs/{run.id}"
    line = f'<a href="{place}">a</a>'
    page = ann.post(f"{place}/archive", ann.get(place), archived="yes")
    assert "is in the archive" in page
    assert (line in ann.get("/runs"), line in ann.get("/runs?archived=yes")) == (False, True)
    assert "1 run<" in ann.get("/runs?archived=yes")
    ann.site.index.refresh()
    assert line not in ann.get("/runs")
    assert Path(run.place).is_dir()
    page = ann.post(f"{place}/archive", page, archived="no")
    assert "is in the archive" not in page
    assert (line in ann.get("/runs"), line in ann.get("/runs?archived=yes")) == (True, False)


def test_a_look_finds_new_runs(open_client, folder, tmp_path):
    shutil.copytree(folder / "a", tmp_path / "runs" / "a")
    ann = open_client(tmp_path / "runs")
    shutil.copytree(folder / "deep" / "b", tmp_path / "runs" / "new")
    page = ann.get("/runs")
    assert "new</a>" not in page
    assert "new</a>" in ann.post("/runs/refresh", page)


def test_a_server_looks_for_new_runs_as_long_as_it_runs(open_at, folder, tmp_path):
    (tmp_path / "runs").mkdir()
    site = open_at(tmp_path / "runs")
    with TestClient(create_app([site_part(site, every=0.01)], readers=site.store, local="ann")):
        shutil.copytree(folder / "a", tmp_path / "runs" / "a")
        end = time.monotonic() + 20
        while not site.index.last.found:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_look_that_fails_is_not_the_last_one(open_at, folder, monkeypatch, caplog):
    looks = []

    def fail(index):
        looks.append(index)
        raise ValueError("of no kind that was foreseen")

    site = open_at(folder)
    monkeypatch.setattr("unshaken.serve.site.index.RunIndex.refresh", fail)
    with TestClient(create_app([site_part(site, every=0.01)], readers=site.store, local="ann")):
        end = time.monotonic() + 20
        while len(looks) < 3:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert "could not be looked at" in caplog.text


@pytest.mark.parametrize("conditions", [[{"condition": ["fog-3"]}], [1], 5, "fog-3"])
def test_a_summary_of_other_conditions_is_no_failure(open_client, folder, tmp_path, conditions):
    shutil.copytree(folder / "a", tmp_path / "runs" / "a")
    summary = tmp_path / "runs" / "a" / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "conditions": conditions}))
    ann = open_client(tmp_path / "runs")
    assert "fog-3" in ann.get(f"/runs/{runs_of(ann.site)['a'].id}")


WRONG = {
    "absent run": ("/runs/999", 404),
    "run 0": ("/runs/0", 404),
    "run by a path": ("/runs/..%2f..%2fetc%2fpasswd", 404),
    "run in words": ("/runs/one", 404),
    "huge run": (f"/runs/{10**30}", 404),
    "absent sample": ("/runs/{a}/samples/999", 404),
    "negative sample": ("/runs/{a}/samples/-1", 404),
    "sample by a path": ("/runs/{a}/samples/..%2f..%2fx/image.img", 404),
    "use of no kind": ("/runs/{a}/samples/1/raw.img", 404),
    "condition by a path": ("/runs/{a}/samples/1/image.img?condition=../../../x", 400),
    "condition of no kind": ("/runs/{a}/samples?condition=snow-1", 400),
    "outcome of no kind": ("/runs/{a}/samples?outcome=lost", 400),
    "class of no kind": ("/runs/{a}/samples?label=zebra", 400),
    "confidence of no kind": ("/runs/{a}/samples?low=nan", 400),
    "page of no kind": ("/runs/{a}/samples?after=x", 400),
    "order of no kind": ("/runs/{a}/samples?order=x", 400),
    "long filter": ("/runs/{a}/samples?label=" + "x" * 400, 404),
    "page of the list of no kind": ("/runs?after=x", 400),
    "absent baseline": ("/runs?baseline=999", 404),
    "baseline in words": ("/runs?baseline=one", 404),
    "comparison with nothing": ("/compare?baseline={a}&candidate=999", 404),
    "comparison without a run": ("/compare?baseline={a}", 404),
    "absent job": ("/jobs/20260101-000000-00000000", 404),
    "job by a path": ("/jobs/..%2f..%2fx", 404),
    "absent review": ("/reviews/1~night/next", 404),
    "review of no run": ("/reviews/x~night/next", 404),
    "tags by GET": ("/runs/{a}/tags", 405),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_address_is_refused(ann, name):
    path, status = WRONG[name]
    answer = ann.client.get(path.replace("{a}", str(runs_of(ann.site)["a"].id)))
    assert answer.status_code == status, answer.text


def test_hostile_runs_are_shown_as_text_and_reach_nothing(open_client, folder, tmp_path):
    (tmp_path / "secret.html").write_text("the secret")
    runs = tmp_path / "runs"
    evil, code = runs / "<script>alert(1)<" / "script>", tmp_path / "evil.py"
    code.write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'was run')!r}).touch()")
    write_report(write_run(evil, plan=PLAN, model_name="<script>x</script>", data=f"py:{code}:make", model="py:x.py:y"))
    (evil / "report.html").unlink()
    os.symlink(tmp_path / "secret.html", evil / "report.html")
    other = write_run(runs / "rows of another", plan=PLAN, seed=3)
    shutil.copy(
        other.at("rows", "outcomes", "fog-3-00000.parquet"),
        other.at("rows", "outcomes", "pgd-linf-0.0313725-00000.parquet"),
    )
    write_run(runs / "no rows", plan=PLAN)
    shutil.rmtree(runs / "no rows" / "rows")
    away = write_report(write_run(tmp_path / "outside", plan=PLAN)) and write_run(
        runs / "beside", plan=PLAN, beside=["../../outside"]
    )
    write_report(away)
    (runs / "damaged").mkdir()
    (runs / "damaged" / "run.json").write_text("{")
    (runs / "shallow").mkdir()
    (runs / "shallow" / "run.json").write_text('{"model": "demo"}')
    ann, pages = open_client(runs), ["", "/samples", "/samples/1", "/report", "/report.html"]
    assert len(runs_of(ann.site)) == 6
    found = {}
    for name, run in runs_of(ann.site).items():
        for page in pages:
            answer = ann.client.get(f"/runs/{run.id}{page}")
            assert SCRIPT not in answer.text or answer.headers["content-security-policy"].startswith("sandbox;")
            assert "secret" not in answer.text
            assert "Traceback" not in answer.text
            found[name, page] = answer.status_code
    hostile = next(n for n in runs_of(ann.site) if "script" in n)
    assert found[hostile, ""] == found[hostile, "/samples"] == 200
    assert found[hostile, "/report.html"] == 404
    assert found["damaged", ""] == found["shallow", ""] == 200
    assert found["damaged", "/samples"] == found["damaged", "/samples/1"] == found["shallow", "/samples/1"] == 404
    assert "not in the listed folders" in ann.get(f"/runs/{runs_of(ann.site)['beside'].id}/report")
    assert "is a copy of" in ann.get(f"/runs/{runs_of(ann.site)['rows of another'].id}/report")
    placeholder = ann.client.get(f"/runs/{runs_of(ann.site)[hostile].id}/samples/20/image.img")
    assert placeholder.status_code == 404
    assert not (tmp_path / "was run").exists()


PAGES = {"": 200, "/report": 200, "/report.html": 404} | dict.fromkeys(
    ("/samples", "/samples/0", "/samples/0/shown.img", "/samples/0/image.img", "/classes", "/classes?q=a"), 404
)
"""Pages of a run that is no evaluation and holds no report, to their status."""


@pytest.mark.parametrize("record", KINDS)
@pytest.mark.parametrize("content", ["{}", '{"slug": "x", "run": "y", "settings": {}}', "[]", "{"])
def test_no_page_of_a_run_of_another_kind_or_a_damaged_one_is_a_failure(open_client, folder, tmp_path, record, content):
    runs = tmp_path / "runs"
    shutil.copytree(folder / "a", runs / "a")
    (runs / "b").mkdir()
    (runs / "b" / record).write_text(content)
    (runs / "b" / "rows").mkdir()
    ann = open_client(runs)
    number, good = runs_of(ann.site)["b"].id, runs_of(ann.site)["a"].id
    for page, status in PAGES.items():
        answer = ann.client.get(f"/runs/{number}{page}")
        assert answer.status_code == status, (page, answer.text)
    for pair in ((good, number), (number, good)):
        assert ann.client.get(f"/compare?baseline={pair[0]}&candidate={pair[1]}").status_code == 400


def test_a_page_of_a_sample_says_that_its_rows_are_damaged(open_client, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "runs")
    for file in (tmp_path / "runs/a/rows/outcomes").iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    ann = open_client(tmp_path / "runs")
    page = ann.get(f"/runs/{runs_of(ann.site)['a'].id}/samples/1")
    assert "is damaged" in page
    assert "deep/b" in page  # the other run on the same data


def test_a_sample_shows_this_run_and_opens_another_when_asked(ann, monkeypatch):
    read, rows_of = [], OpenedRun.rows_of
    monkeypatch.setattr(OpenedRun, "rows_of", lambda one, *a: read.append(str(one.run)) or rows_of(one, *a))
    runs = runs_of(ann.site)
    a, b = runs["a"].id, runs["deep/b"].id
    address = f"/runs/{a}/samples/0"
    folded = ann.get(address)
    assert (folded.count("<table"), folded.count("<details")) == (1, 1)
    assert f'href="{address}?other={b}#run-{b}"' in folded
    assert {Path(one).name for one in read} == {"a"}  # of a folded run nothing is read
    before, after = ann.get(f"{address}?other={b}").split(f'<details id="run-{b}" open>')
    assert (before.count("<table"), after.count("<table")) == (1, 1)
    assert f'href="/runs/{b}/samples/0"' in after
    # i % 8 = 0: wrong unchanged, and under both conditions
    assert "right under 0 of 3 conditions" in after
    assert Path(read[-1]).name == "b"


def test_a_sample_is_shown_beside_runs_on_the_same_data_alone(open_client, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "runs")
    write_report(write_run(tmp_path / "runs/c", plan=PLAN, data_fingerprint="other"))
    write_report(write_run(tmp_path / "runs/short", plan=PLAN, n=40))
    for file in (tmp_path / "runs/deep/b/rows/outcomes").iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    ann = open_client(tmp_path / "runs")
    runs = {name: run.id for name, run in runs_of(ann.site).items()}
    address = f"/runs/{runs['a']}/samples/0"
    assert f"The run {runs['c']} is no other run on the same data." in ann.get(f"{address}?other={runs['c']}", 404)
    ann.get(f"{address}?other={runs['a']}", 404)
    ann.get(f"{address}?other=999", 404)
    ann.get(f"{address}?other=x", 404)
    assert "is damaged" in ann.get(f"{address}?other={runs['deep/b']}")
    assert "no sample of this id" in ann.get(f"/runs/{runs['a']}/samples/45?other={runs['short']}")


def test_a_run_that_is_not_among_the_newest_is_shown_beside(ann, monkeypatch):
    monkeypatch.setattr("unshaken.serve.site.pages.samples.OTHERS", 0)
    a, b = (runs_of(ann.site)[name].id for name in ("a", "deep/b"))
    assert "<details" not in ann.get(f"/runs/{a}/samples/0")
    assert f'id="run-{b}" open' in ann.get(f"/runs/{a}/samples/0?other={b}")


def test_class_names_are_escaped_everywhere(ann):
    page = ann.get(f"/runs/{runs_of(ann.site)['a'].id}/samples?label=boot")
    assert CLASSES[1] not in page
    names = ann.client.get(f"/runs/{runs_of(ann.site)['a'].id}/classes?q=script").json()
    assert names == [CLASSES[1]]


def test_read_only_hides_and_refuses_every_act(open_client, folder):
    ann = open_client(folder, read_only=True)
    pages = [ann.get(p) for p in ("/runs", "/papers", *(f"/runs/{r.id}" for r in runs_of(ann.site).values()))]
    assert not [p for p in pages if 'method="post"' in p]
    assert ">Jobs<" not in pages[0]
    assert ann.client.get("/jobs/new").status_code == 404
    for path in ("/runs/refresh", "/runs/1/tags", "/runs/1/archive", "/jobs", "/jobs/x/cancel", "/reviews/x/undo"):
        answer = ann.client.post(path, data={"form": "x"})
        assert (answer.status_code, "--read-only" in answer.text) == (403, True)


def test_acts_without_the_token_of_a_form_are_refused(ann):
    number = runs_of(ann.site)["a"].id
    for path in ("/runs/refresh", f"/runs/{number}/tags", f"/runs/{number}/archive", "/jobs"):
        assert ann.client.post(path, data={"tag": "x"}).status_code in (400, 403)
        assert ann.client.post(path, data={"tag": "x", "form": "0" * 64}).status_code == 403
        foreign = {"origin": "http://evil.example"}
        assert ann.client.post(path, data={"tag": "x"}, headers=foreign).status_code == 403
    assert runs_of(ann.site)["a"].tags == ()


def test_without_a_token_of_a_reader_nothing_is_shown(open_client, folder):
    nobody = open_client(folder, reader=None)
    for path in (
        "/runs",
        "/runs/1",
        "/runs/1/samples",
        "/runs/1/report.html",
        "/papers",
        "/jobs",
        "/compare?baseline=1&candidate=2",
    ):
        assert nobody.client.get(path, follow_redirects=False).status_code == 303
    assert nobody.client.get("/runs/1/samples/1/image.img").status_code == 403


def test_the_verdict_of_gates_stands_in_the_list_and_on_the_pages_of_a_run(open_client, tmp_path):
    bound = {"held": 0.5, "failed": 0.99}
    for name in ("none", *bound, "undecided", "damaged"):
        run = write_run(tmp_path / name, plan=PLAN, model_name="net", model="demo")
        write_report(run, gates=[f"clean.accuracy >= {bound.get(name, 0.5)}"] if name != "none" else [])
        if name == "undecided":
            begin_gates(run, "net", ["clean.accuracy >= 0.5"], None, first=False)
        if name == "damaged":
            run.write(b"{", "gates.json")
    client = open_client(tmp_path)
    words = {"held": "gates held", "failed": "gates FAILED", "undecided": "gates not decided"}
    runs = runs_of(client.site)
    listed = client.get("/runs")
    assert [listed.count(f">{shown}<") for shown in words.values()] == [1, 1, 1]
    for name, shown in words.items():
        assert f">{shown}<" in client.get(f"/runs/{runs[name].id}")
    assert "gates" not in re.sub("<head>.*</head>", "", client.get(f"/runs/{runs['none'].id}"), flags=re.S)
    assert "The gate failed" in client.get(f"/runs/{runs['failed'].id}/report")
    assert "The gate is not decided" in client.get(f"/runs/{runs['undecided'].id}/report")
    assert "gates.json is damaged" in client.get(f"/runs/{runs['damaged'].id}")
    assert "gates.json is damaged" in client.get(f"/runs/{runs['damaged'].id}/report")


def test_a_verdict_that_changes_changes_the_list(open_client, tmp_path):
    run = write_run(tmp_path / "a", plan=PLAN, model_name="net", model="demo")
    write_report(run, gates=["clean.accuracy >= 0.5"])
    client = open_client(tmp_path)
    begin_gates(run, "net", ["clean.accuracy >= 0.5"], None, first=False)
    client.site.index.refresh()
    assert runs_of(client.site)["a"].gates == "undecided"
