"""Figures laid out as a law, a framework and a standard ask for them: each from a run, and each gap named."""

from __future__ import annotations

import html
import json
import re
import shlex

import pytest

import unshaken
from unshaken.cli.app import main
from unshaken.core.errors import ParameterError, RunError
from unshaken.report.pages.norms import COLLECTORS, LAYOUTS, QUESTIONS, lay_out, norms_page, write_norms
from unshaken.report.render.html import render_html
from unshaken.report.write import write_report
from unshaken.store.run_dir import RunDir

PLAN = [
    {"method": "fog", "severities": [3]},
    {"method": "gaussian_noise", "severities": [1]},
    {"method": "fgsm", "eps": ["4/255"]},
]
CLAIMS = re.compile(r"complian|complies|comply|conform|certified by|approved|lawful|satisf|fulfil", re.IGNORECASE)
"""Words of a legal claim."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """An audit with an attack, certificates, and a comparison of the embedded images with themselves."""
    top = tmp_path_factory.mktemp("norms")
    few = {"limit": 8, "save_examples": 0, "device": "cpu"}
    unshaken.audit("demo", "demo", plan=PLAN, gates=["clean.accuracy >= 0.2"], out=top / "audit", **few)
    smoothing = {"method": "smoothing:sigma=0.25,n0=10,n=50,alpha=0.01", "radii": [0.1], "attacked": False}
    unshaken.certify("demo", "demo", **smoothing, out=top / "certify", **few)
    unshaken.drift("demo", "demo", limit=24, out=top / "drift", device="cpu")
    return [RunDir(top / name) for name in ("audit", "certify", "drift")]


def answers(filed):
    """Question of a layout to the figures that answer it, as programs read them."""
    return {one["question"]: one["figures"] for one in filed.to_json()["questions"]}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_has_the_figures_of_the_runs_with_their_sources(runs, name):
    found = {f["what"]: f for figures in answers(lay_out(name, runs)).values() for f in figures}
    audit, certify = (run.read_json("summary.json") for run in runs[:2])
    fog = next(c for c in audit["conditions"] if c["condition"] == "fog-3")["accuracy"]
    places = {str(run) for run in runs}
    assert found["accuracy, fog, severity 3"] == {
        "what": "accuracy, fog, severity 3", "text": f"{100 * fog['value']:.1f} %", **fog, "run": str(runs[0]),
        "table": "outcomes", "condition": "fog-3",
    }  # fmt: skip
    attacked = found["accuracy, FGSM L∞, ε 4/255"]
    assert (attacked["value"], attacked["run"]) == (audit["conditions"][-1]["accuracy"]["value"], str(runs[0]))
    proven = next(f for what, f in found.items() if what.startswith("certified accuracy, smoothing, L2 radius 0.1"))
    radius = next(r for r in certify["certified"][0]["radii"] if r["radius"] == 0.1)
    assert (proven["value"], proven["table"]) == (radius["certified_accuracy"]["value"], "certificates")
    drift = runs[2].read_json("evaluate.json")["figures"]["auroc_pixels"]
    assert found["drift: AUROC pixels"]["low"] == drift["low"]
    assert found["gate clean.accuracy >= 0.2"]["value"] == audit["clean"]["value"]
    assert {f["run"] for f in found.values()} <= places


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_sentence_claims_anything_legal_and_every_norm_is_dated(runs, name):
    page = norms_page(lay_out(name, runs))
    text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", render_html(page))
    assert CLAIMS.search(text) is None
    assert all(re.search(r"20[12]\d", source) and html.escape(source) in text for source in LAYOUTS[name]["sources"])
    assert all(re.search(words, text) for words in ("Not covered", "[Pp]oisoning", "[Ee]xtraction", "[Pp]rivacy"))


def test_layouts_name_all_questions_whose_commands_are_understood(capsys):
    asked = {key for layout in LAYOUTS.values() for _, _, keys in layout["parts"] for key in keys.split()}
    assert asked == set(QUESTIONS) == set(COLLECTORS)
    for command in {one for _, text in QUESTIONS.values() for one in text.split(" and ")}:
        words = shlex.split(command)
        assert words[0] == "unshaken"
        options = [word for word in words if word.startswith("--")]
        assert main([*[w for w in words[1:3] if w.islower() and not w.startswith("-")], "--help-all"]) == 0
        shown = capsys.readouterr().out
        assert all(option in shown for option in options), command


def test_a_run_that_lacks_everything_leaves_gaps_with_commands(runs):
    filed = lay_out("ai-act", [runs[2]])
    assert {q: bool(lines) for q, lines in answers(filed).items() if lines} == {
        "Does the data that it meets differ from the data that it was evaluated on?": True
    }
    text = render_html(norms_page(filed))
    assert "12 of 13 questions have no figure" in text
    assert "unshaken certify --model MODEL --data DATA --radius R" in text


def test_a_run_without_labels_and_one_of_another_model(make_run):
    bare, other = make_run("bare", labelled=False), make_run("other", plan=[], model_fingerprint="12" * 32)
    for run in (bare, other):
        write_report(run)
    found = answers(lay_out("nist", [bare]))
    assert found["How accurate is the model on unchanged images?"] == []
    assert all(
        f["what"].startswith("same prediction as unchanged")
        for f in found["What do noise, blur, weather and other natural changes cost?"][:-1]
    )
    assert "2 different models" in render_html(norms_page(lay_out("nist", [bare, other])))


def test_hostile_names_are_text(make_run):
    run = make_run("<img src=x onerror=alert(1)>", attacks=True, model_name="<script>alert(2)</script>")
    write_report(run)
    text = render_html(norms_page(lay_out("iso-24029", [run])))
    assert "<img src=x" not in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(2)" in text


def test_the_command_writes_three_files_and_refuses_what_it_cannot_lay_out(make_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = make_run("first", plan=[]), make_run("second", plan=[])
    for run in (first, second):
        write_report(run)
    assert main(["report", str(first), str(second), "--for", "nist", "--quiet"]) == 0
    place = RunDir(tmp_path / "nist-first-second")
    assert sorted(place.names()) == ["norms.html", "norms.json", "norms.md"]
    assert json.loads(place.read("norms.json"))["for"] == "nist"
    assert "norms.html" in capsys.readouterr().out
    for words, message in (
        ([str(first), "--for", "gdpr"], "ai-act"),
        ([str(first), str(second)], "several with --for"),
        ([str(first), "--out", "x"], "--out is the folder of --for"),
        ([str(tmp_path), "--for", "nist"], "neither run.json nor evaluate.json"),
        ([str(first), "--for", "nist", "--out", str(second)], "holds"),
    ):
        assert main(["report", *words]) == 2
        error = capsys.readouterr().err
        assert message in error, error
        assert error.count("\n") == 1


def test_wrong_calls(make_run, tmp_path):
    with pytest.raises(ParameterError, match="no layout 'aiact'; did you mean 'ai-act'"):
        lay_out("aiact", [RunDir(tmp_path)])
    with pytest.raises(ParameterError, match="one run directory at least"):
        lay_out("nist", [])
    unreported = make_run("unreported", plan=[])
    with pytest.raises(RunError, match=r"no summary.json; make it with 'unshaken report"):
        lay_out("nist", [unreported])
    write_report(unreported)
    summary = unreported.read_json("summary.json")
    unreported.write_json({**summary, "complete": False}, "summary.json")
    with pytest.raises(RunError, match="not finished"):
        write_norms(RunDir(tmp_path / "out"), lay_out("nist", [unreported]))
