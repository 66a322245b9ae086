"""From a search for wrong labels to a review, and its verdicts back: by the command line."""

from __future__ import annotations

import csv
import json
import re
import sqlite3

import numpy as np
import pytest

from unshaken.api.label_evidence import keep_features
from unshaken.api.labels import estimate_wrong, find_labels
from unshaken.cli import main
from unshaken.core.errors import DataError, ModelError, ParameterError, RunError
from unshaken.data import load_data
from unshaken.labels import Evidence
from unshaken.serve.review.exchange import Format, export_review, import_verdicts, share_wrong, verdict_words
from unshaken.serve.review.from_run import Choice, create_from_run
from unshaken.serve.review.part import open_data
from unshaken.serve.review.records import NewItem
from unshaken.serve.review.store import ReviewStore
from unshaken.store.run_dir import RunDir

SPEC = "demo?noise=symmetric:0.2"
EXPORTS = {
    "csv": "x.csv",
    "cleanlab": "x.npz",
    "label-studio": "x.json",
    "fiftyone": "labels.json",
    "overlay": "x.parquet",
    "parquet": "whole.parquet",
}


@pytest.fixture(scope="module")
def truth():
    return dict(zip(load_data("demo").ids, load_data("demo").labels.tolist(), strict=True))


@pytest.fixture(scope="module")
def run(truth, tmp_path_factory):
    """A search whose probabilities know the truth nearly always; twelve samples are drawn."""
    labels = load_data("demo").labels
    p = np.full((1000, 10), 0.02)
    p[np.arange(1000), labels] = 0.82
    return find_labels(SPEC, pred_probs=p, review_size=12, out=tmp_path_factory.mktemp("find") / "run").run


@pytest.fixture
def store(tmp_path):
    with ReviewStore.open(tmp_path / "r.db") as opened:
        opened.ensure_reader("ann")
        yield opened


def test_the_drawn_sample_is_reviewed_in_its_order_with_references_of_both_classes(run, store, truth):
    review = create_from_run(store, run, "review", blind=False)
    record = run.read_json("labels.json")
    items = store.page("review", reader="ann").items
    assert [item.sample for item in items] == record["review"]["ids"]
    assert (review.items, review.data, list(review.classes)) == (12, SPEC, record["classes"])
    noisy = load_data(SPEC)
    given = dict(zip(noisy.ids, noisy.labels.tolist(), strict=True))
    for item in items:
        assert (item.given, item.suggested) == (given[item.sample], truth[item.sample])
        assert len(item.near_given) == 4
        assert item.near_by == "pixels"
        assert {given[near] for near in item.near_given} == {item.given}
        assert item.sample not in item.near_given
        assert {given[near] for near in item.near_suggested} == (
            {item.suggested} if item.suggested != item.given else set()
        )


def test_references_are_nearest_in_the_features_of_the_search(run, store):
    noisy = load_data(SPEC)
    features = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    features[:, 0] += 10 * (np.arange(1000) % 2)
    keep_features(run, Evidence(noisy.labels, 10, features=features))
    try:
        create_from_run(store, run, "features", blind=False)
    finally:
        run.remove("features.npy")
    place = {id: i for i, id in enumerate(noisy.ids)}
    for item in store.page("features", reader="ann").items:
        assert item.near_by == "features"
        if place[item.sample] % 2:
            assert {place[near] % 2 for near in item.near_given} == {1}


def test_flagged_and_all_are_reviewed_most_suspect_first(run, store):
    for choice in (Choice.FLAGGED, Choice.ALL):
        create_from_run(store, run, choice.value, choice=choice, blind=False)
        scores = [item.score for item in store.page(choice.value, reader="ann", limit=500).items]
        assert scores == sorted(scores)
    assert store.review("flagged").items == run.read_json("labels.json")["found"]["confident-learning"]["flagged"]
    assert store.review("all").items == 1000


def test_a_run_without_a_search_is_told(store, tmp_path):
    with pytest.raises(RunError, match="no finished search for wrong labels; run 'unshaken labels find' first"):
        create_from_run(store, RunDir(tmp_path / "no"), "review")


def verdicts_file(path, run, truth, readers=("ann", "bob")):
    """A CSV file in which readers know the truth."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "readers"])
        for id in run.read_json("labels.json")["review"]["ids"]:
            writer.writerow([id, "; ".join(f"{reader}: {truth[id]}" for reader in readers)])
    return path


def test_verdicts_become_an_estimate(run, store, truth, tmp_path):
    create_from_run(store, run, "review")
    path = verdicts_file(tmp_path / "v.csv", run, truth)
    assert import_verdicts(store, "review", Format.CSV, path) == (24, 24)
    assert import_verdicts(store, "review", Format.CSV, path) == (24, 0)
    ids = run.read_json("labels.json")["review"]["ids"]
    words = verdict_words(store.outcome("review"), ids)
    noisy = load_data(SPEC)
    wrong = {id for id, label in zip(noisy.ids, noisy.labels.tolist(), strict=True) if truth[id] != label}
    assert words == {id: "wrong" if id in wrong else "right" for id in ids}
    assert estimate_wrong(run, words).low <= len(wrong) / 1000 <= estimate_wrong(run, words).high


def test_an_unfinished_review_gives_no_estimate(run, store, truth, tmp_path):
    create_from_run(store, run, "review")
    import_verdicts(store, "review", Format.CSV, verdicts_file(tmp_path / "v.csv", run, truth, ["ann"]))
    words = verdict_words(store.outcome("review"), run.read_json("labels.json")["review"]["ids"])
    assert words == {}  # each item waits for its second reader
    with pytest.raises(DataError, match="none of the 12 drawn samples has a verdict"):
        estimate_wrong(run, words)


def test_a_review_that_has_begun_gives_a_wide_estimate(run, store, truth, tmp_path):
    create_from_run(store, run, "review")
    path = verdicts_file(tmp_path / "v.csv", run, truth)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:6]))  # the first five
    import_verdicts(store, "review", Format.CSV, path)
    ids = run.read_json("labels.json")["review"]["ids"]
    figure = estimate_wrong(run, verdict_words(store.outcome("review"), ids))
    assert figure.n == 5
    wrong = sum(truth[id] != label for id, label in zip(load_data(SPEC).ids, load_data(SPEC).labels, strict=True))
    assert figure.low <= wrong / 1000 <= figure.high
    assert share_wrong(store, "review") == figure


def test_only_a_drawn_sample_tells_of_the_whole_set(run, store, truth, tmp_path):
    for choice in Choice:
        create_from_run(store, run, choice.value, choice=choice, readers_per_item=1)
    path = verdicts_file(tmp_path / "v.csv", run, truth, ["ann"])
    assert import_verdicts(store, "all", Format.CSV, path) == (12, 12)
    assert share_wrong(store, "all") is None
    assert share_wrong(store, "sample") is None  # nothing is answered
    assert sum(store.review("sample").strata) == 1000
    assert store.review("flagged").strata == store.review("all").strata == ()


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("review", "classes", "[", "the classes of the review 'r' is damaged"),
        ("review", "classes", "{}", "the classes of the review 'r' are damaged: needed are two names or more"),
        ("review", "classes", "[1, 2]", "the classes of the review 'r' are damaged"),
        ("item", "near", "[", "the reference pictures of an item is damaged"),
        ("item", "near", "[3]", "the reference pictures of an item are damaged"),
    ],
)
def test_a_damaged_database_is_one_line(table, column, value, message, tmp_path, capsys):
    with ReviewStore.open(tmp_path / "review.db") as store:
        store.create("r", classes=["cat", "dog"], items=[NewItem(sample="a.png", given=0, suggested=1)])
        store.ensure_reader("ann")
    with sqlite3.connect(tmp_path / "review.db") as connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
    connection.close()
    with ReviewStore.open(tmp_path / "review.db") as store, pytest.raises(RunError, match=re.escape(message)):
        store.item("r", 1, "ann")
    if table == "review":
        assert main(["labels", "agree", str(tmp_path), "--review-name", "r"]) == 2
        assert main(["labels", "export", str(tmp_path), "--review-name", "r", "--out", str(tmp_path / "x.csv")]) == 2
        assert "bug" not in capsys.readouterr().err


@pytest.mark.parametrize("format", ["csv", "cleanlab", "label-studio", "fiftyone"])
def test_what_has_no_end_is_refused_at_once(format, tmp_path, capsys):
    with ReviewStore.open(tmp_path / "review.db") as store:
        store.create("review", classes=["cat", "dog"], items=[NewItem(sample="a.png", given=0, suggested=1)])
    assert main(["labels", "import", str(tmp_path), "/dev/zero", "--format", format]) == 2
    assert "/dev/zero: is no regular file" in capsys.readouterr().err


def test_an_import_adds_all_or_nothing(run, store, tmp_path):
    create_from_run(store, run, "review")
    good = run.read_json("labels.json")["review"]["ids"][0]
    for rows, why in ((f"{good},1\nnone,1\n", "no item of sample 'none'"), (f"{good},1\n{good},10\n", "no class 10")):
        (tmp_path / "v.csv").write_text(f"id,answer\n{rows}")
        with pytest.raises(ParameterError, match=why):
            import_verdicts(store, "review", Format.CSV, tmp_path / "v.csv", reader="ann")
    with pytest.raises(ParameterError, match="name a --reader"):
        import_verdicts(store, "review", Format.CSV, tmp_path / "v.csv")
    with pytest.raises(ParameterError, match="format parquet is not imported"):
        import_verdicts(store, "review", Format.PARQUET, tmp_path / "v.csv")
    assert store.review("review").log == 0


@pytest.fixture
def served(run, tmp_path, monkeypatch):
    """The command `labels review`, with a server that ends at once; its database, and what was served."""
    calls = []

    def serve(app, *, host, port, ready):
        ready(f"http://{host}:{port}/")
        calls.append(app)

    monkeypatch.setattr("unshaken.serve.run.serve", serve)
    return tmp_path / "db.sqlite", calls


def test_the_loop_by_the_command_line(run, served, truth, tmp_path, capsys):
    db, calls = served
    options = ["--db", str(db)]
    assert main(["labels", "review", str(run.path), *options, "--readers", "ann,bob"]) == 0
    assert "12 labels to review, 0 done: http://127.0.0.1:8765/" in capsys.readouterr().out
    assert len(calls) == 1
    path = str(verdicts_file(tmp_path / "v.csv", run, truth))
    assert main(["labels", "import", str(run.path), path, *options]) == 0
    assert "24 verdicts added" in capsys.readouterr().out
    assert main(["labels", "review", str(run.path), *options]) == 0
    assert "12 labels to review, 12 done" in capsys.readouterr().out
    assert main(["labels", "agree", str(run.path), *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"][0]["same"] == 12
    assert main(["labels", "agree", str(run.path), *options]) == 0
    assert "ann and bob: 12 of 12 the same, Cohen's kappa 1.000" in capsys.readouterr().out
    assert main(["labels", "estimate", str(run.path), *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 12
    for format, name in EXPORTS.items():
        out = str(tmp_path / name)
        assert main(["labels", "export", str(run.path), *options, "--format", format, "--out", out]) == 0
        told = capsys.readouterr().out
        assert f"12 reviewed labels, version review@24: {out}" in told
        assert ("whole data set: " in told and " samples, none left out" in told) == (format == "parquet")
    ids = run.read_json("labels.json")["review"]["ids"]
    corrected = load_data(f"{SPEC}&labels={tmp_path}/x.parquet")
    whole = load_data(f"parquet:{tmp_path}/whole.parquet")
    assert corrected.labels_version == "review@24"
    assert {id: truth[id] for id in ids}.items() <= dict(
        zip(corrected.ids, corrected.labels.tolist(), strict=True)
    ).items()
    assert whole.labels.tolist() == corrected.labels.tolist()
    out = tmp_path / "page"
    command = ["labels", "compare", f"{tmp_path}/x.parquet", "--out", str(out), "--review", str(run.path), *options]
    assert main([*command, "--review-name", "review"]) == 0
    changed = sum(
        label != truth[id] for id, label in zip(load_data(SPEC).ids, load_data(SPEC).labels, strict=True) if id in ids
    )
    found = RunDir(out).read_json("label-versions.json")
    assert (found["samples"], found["changed"], found["labels"], found["data"]) == (12, changed, "review@24", SPEC)
    assert {(one["answer"], one["effect"]): one["labels"] for one in found["review"]["reasons"]} == {
        ("another class", "changed"): changed,
        ("the label is right", "kept"): 12 - changed,
    }
    assert found["wrong"]["n"] == 12
    assert len(RunDir(out).examples("changed")) == changed
    assert "Krippendorff" in (out / "report.html").read_text()
    assert main([*command, "--review-name", "other"]) == 2
    assert "its labels are of the review 'review': add --name 'review'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["review", "RUN", "--items", "some"], "items 'some' is no choice; did you mean 'sample'?"),
        (["review", "RUN", "--host", "0.0.0.0"], "readers need tokens: name them by --readers"),
        (["review", "RUN", "--db", "mysql://x"], "no address of a store"),
        (["review", "RUN", "--readers", "a/b"], "'a/b' is no name of a reader"),
        (["export", "RUN", "--out", "x", "--format", "xml"], "format 'xml' is not known"),
        (["export", "RUN", "--out", "x", "--review-name", "other"], "no review 'other'"),
        (["agree", "RUN"], "no review 'review'"),
        (["import", "RUN", "absent.csv"], "no review 'review'"),
    ],
)
def test_wrong_use_is_one_line(run, served, capsys, arguments, why):
    arguments = [str(run.path) if word == "RUN" else word for word in arguments]
    db = [] if "--db" in arguments else ["--db", str(served[0])]
    assert main(["labels", *arguments, *db]) == 2
    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1


def test_a_review_that_was_begun_keeps_its_rules(run, served, capsys):
    command = ["labels", "review", str(run.path), "--db", str(served[0])]
    assert main([*command, "--blind"]) == 0
    for other in (["--open"], ["--per-item", "3"], ["--items", "all"]):
        assert main([*command, *other]) == 2
        assert "was begun already, with its own items and rules" in capsys.readouterr().err


def test_code_that_a_review_names_runs_only_where_the_user_names_it(store, tmp_path):
    code, trace = tmp_path / "evil.py", tmp_path / "was run"
    code.write_text(f"import pathlib\npathlib.Path({str(trace)!r}).touch()")
    spec = f"py:{code}:make"
    store.create("c", classes=["a", "b"], items=[NewItem(sample="x", given=0)], data=spec)
    with pytest.raises(ModelError, match="names the code"):
        export_review(store, "c", Format.PARQUET, tmp_path / "x.parquet")
    with pytest.raises(ModelError, match="names the code"):
        open_data(store.review("c"))
    command = [
        "labels",
        "export",
        str(tmp_path),
        "--db",
        str(tmp_path / "r.db"),
        "--review-name",
        "c",
        "--format",
        "parquet",
    ]
    assert main([*command, "--out", str(tmp_path / "x.parquet")]) == 2
    assert not trace.exists()
    main([*command, "--out", str(tmp_path / "x.parquet"), "--allow-code", spec])
    assert trace.exists()
