"""Model cards as Hugging Face's own library reads them."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

import unshaken
from unshaken.core.errors import ParameterError, RunError
from unshaken.report.model_card import BEGIN, END, model_card
from unshaken.store.run_dir import RunDir

PLAN = [{"method": "fog", "severities": [3]}, {"method": "fgsm", "eps": ["4/255"]}]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("card") / "run"
    return unshaken.audit("demo", "demo", plan=PLAN, limit=20, save_examples=0, device="cpu", out=place)


def test_the_card_has_every_condition_and_hugging_face_reads_it(run):
    card = ModelCard(model_card(run.run, name="door-camera"))
    assert {r.metric_type for r in card.data.eval_results} == {"accuracy", "consistency"}
    results = {r.dataset_config: r for r in card.data.eval_results if r.metric_type == "accuracy"}
    expected = {"clean": run.summary["clean"]} | {c["condition"]: c["accuracy"] for c in run.summary["conditions"]}
    assert len(expected) == 3
    assert {k: r.metric_value for k, r in results.items()} == {
        k: pytest.approx(f["value"], abs=1e-6) for k, f in expected.items()
    }
    fog = results["fog-3"]
    assert (fog.task_type, fog.metric_type, fog.metric_args["n"]) == ("image-classification", "accuracy", 20)
    assert fog.metric_args["low"] == pytest.approx(expected["fog-3"]["low"], abs=1e-6)
    assert card.data.model_name == "door-camera"
    index = eval_results_to_model_index("door-camera", card.data.eval_results)
    assert model_index_to_eval_results(index)[1] == card.data.eval_results


def test_a_card_that_is_there_keeps_all_else(run):
    other = {"task": {"type": "image-classification"}, "dataset": {"name": "d", "type": "d"},
             "metrics": [{"type": "f1", "value": 0.5}]}  # fmt: skip
    front = {"license": "mit", "tags": ["vision"], "model-index": [{"name": "old", "results": [other]}]}
    old = f"---\n{yaml.safe_dump(front)}---\n# Camera\n\nText.\n"
    first = model_card(run.run, card=old)
    assert model_card(run.run, card=first) == first
    card = ModelCard(first)
    assert card.data.license == "mit"
    assert card.data.tags == ["vision", "robustness"]
    assert sorted({r.metric_type for r in card.data.eval_results}) == ["accuracy", "consistency", "f1"]
    assert card.text.startswith("# Camera\n\nText.\n\n" + BEGIN)
    after = first.replace("Text.", "Other text.") + "\nThe end.\n"
    again = model_card(run.run, card=after)
    assert again.count(BEGIN) == again.count(END) == 1
    assert "Other text." in again
    assert again.endswith("The end.\n")


def test_models_and_languages_of_the_card_stay(run):
    mine, other = ({"name": name, "results": [], "extra": name} for name in ("Camera", "Other"))
    old = f"---\nlanguage: no\npublic: true\nmodel-index: {json.dumps([mine, other])}\n---\n"
    card = model_card(run.run, card=old)
    front = yaml.safe_load(card.split("---\n")[1])
    assert (front["language"], front["public"]) == ("no", True)
    assert [(one["name"], one["extra"], bool(one["results"])) for one in front["model-index"]] == [
        ("Camera", "Camera", True), ("Other", "Other", False)
    ]  # fmt: skip
    again = yaml.safe_load(model_card(run.run, card=card, name="Other").split("---\n")[1])["model-index"]
    assert [len(one["results"]) for one in again] == [3, 3]
    third = yaml.safe_load(model_card(run.run, card=card, name="Third").split("---\n")[1])["model-index"]
    assert [one["name"] for one in third] == ["Camera", "Other", "Third"]


@pytest.mark.parametrize(
    "front",
    ["- 1", "5", "[]", "false", "a: 2024-02-31", "? [a]\n: b", "a: " + "[" * 2000 + "]" * 2000, "a: {b", "a: *b"],
)
def test_front_matter_of_another_form_is_one_line(run, front):
    with pytest.raises(ParameterError, match="front matter"):
        model_card(run.run, card=f"---\n{front}\n---\n")


@pytest.mark.parametrize("index", ["5", "[1]", "[{name: x, results: 5}]", "[{name: x, results: [1, {source: y}]}]"])
def test_a_model_index_of_another_form_is_no_failure(run, index):
    assert BEGIN in model_card(run.run, card=f"---\nmodel-index: {index}\n---\n")


def test_a_run_that_is_not_finished_gives_no_card(run, tmp_path):
    copy = shutil.copytree(run.run.root, tmp_path / "run")
    summary = json.loads((copy / "summary.json").read_text())
    (copy / "summary.json").write_text(json.dumps({**summary, "complete": False}))
    with pytest.raises(RunError, match="not finished"):
        model_card(RunDir(copy))


def test_the_section_is_a_table_with_intervals(run):
    clean = run.summary["clean"]
    line = f"| clean | accuracy | {clean['value']:.1%} | {clean['low']:.1%} to {clean['high']:.1%} | 20 |"
    assert line in model_card(run.run).splitlines()


@pytest.mark.parametrize("front", ["a: [", "- 1\n- 2"])
def test_front_matter_that_is_no_table_is_refused(run, front):
    with pytest.raises(ParameterError, match="front matter is no"):
        model_card(run.run, card=f"---\n{front}\n---\n")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no summary\.json"):
        model_card(RunDir(tmp_path))
