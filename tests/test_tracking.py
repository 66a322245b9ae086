"""Audits, comparisons and trained models in MLflow's plain file store, in event files, and in Weights & Biases."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import unshaken
from unshaken.api.mlflow_model import GuardedModel, load_folder, write_model
from unshaken.core.errors import DataError, MissingExtra, ModelError, ParameterError, RunError
from unshaken.models import load_model
from unshaken.store.tracking import Registration, metrics_of, sink_of

PLAN = [{"method": "fog", "severities": [3]}]
FEW: dict[str, Any] = {"plan": PLAN, "limit": 30, "save_examples": 0, "device": "cpu"}
HELD, FAILED = "clean.accuracy >= 0.1", "clean.accuracy >= 1.0"


@pytest.fixture(scope="module")
def client() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        yield lambda store: MlflowClient(tracking_uri=store.as_uri(), registry_uri=store.as_uri())


def only_run(client: Any, store: Path) -> Any:
    there = client(store)
    (experiment,) = [e for e in there.search_experiments() if e.name == "unshaken"]
    (run,) = there.search_runs([experiment.experiment_id])
    return run


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("audited")
    store, gates = folder / "store", (HELD,)
    first = unshaken.audit("demo", "demo", out=folder / "first", track=str(store), gates=gates,
                           register="camera@champion", **FEW)  # fmt: skip
    return SimpleNamespace(folder=folder, store=store, first=first)


def test_an_audit_is_logged_with_intervals_files_and_gates(audited: SimpleNamespace, client: Any) -> None:
    run, clean = only_run(client, audited.store), audited.first.summary["clean"]
    for tail, end in {"": "value", "_low": "low", "_high": "high"}.items():
        assert run.data.metrics[f"clean{tail}"] == pytest.approx(clean[end])
    fog = audited.first.summary["conditions"][-1]
    assert run.data.metrics["conditions.fog-3.accuracy_low"] == pytest.approx(fog["accuracy"]["low"])
    assert run.data.params["model"] == "demo"
    assert run.data.params["samples"] == "30"
    assert (run.data.tags["gates"], run.info.status) == ("held", "FINISHED")
    assert run.data.tags["gate.1"].startswith(f"held: {HELD} (")
    kept = {f.path for f in client(audited.store).list_artifacts(run.info.run_id)}
    assert kept == {"report.html", "report.md", "summary.json", "run.json", "gates.json", "junit.xml", "model"}


def test_an_alias_moves_only_when_all_gates_hold(audited: SimpleNamespace, client: Any) -> None:
    registry = client(audited.store)
    assert registry.get_model_version_by_alias("camera", "champion").version == 1
    again: dict[str, Any] = {"track": str(audited.store), "register": "camera@champion", **FEW}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "second")
        failed = unshaken.audit("demo", "demo", out=audited.folder / "worse", gates=(HELD, FAILED), **again)
        assert not failed.held
        assert registry.get_model_version_by_alias("camera", "champion").version == 1
        assert {v.version for v in registry.search_model_versions("name = 'camera'")} == {1, 2}
        unshaken.audit("demo", "demo", out=audited.folder / "better", gates=(HELD,), **again)
    assert registry.get_model_version_by_alias("camera", "champion").version == 3


def test_a_resumed_audit_is_logged_in_the_same_run(audited: SimpleNamespace, client: Any) -> None:
    unshaken.audit("demo", "demo", out=audited.folder / "first", track=str(audited.store), resume=True, **FEW)
    run = only_run(client, audited.store)
    kept = json.loads((audited.folder / "first" / "tracking.json").read_text())
    assert kept[audited.store.as_uri()]["run"] == run.info.run_id
    assert run.data.tags["gates"] == "held"  # a resumed run keeps its gates


def test_a_comparison_is_a_run_of_its_own(audited: SimpleNamespace, client: Any, tmp_path: Path) -> None:
    unshaken.audit("demo:robust", "demo", out=tmp_path / "robust", **FEW)
    result = unshaken.compare(audited.folder / "first", tmp_path / "robust", track=str(tmp_path / "store"))
    run, one = only_run(client, tmp_path / "store"), result.runs[0].to_json()
    difference = one["conditions"][0]["difference"]
    name = f"comparisons.{one['candidate_name'].replace(':', '_')}.conditions.clean.difference"
    for tail, end in {"": "value", "_low": "low", "_high": "high"}.items():
        assert run.data.metrics[name + tail] == pytest.approx(difference[end])
    assert run.info.run_name == "compare-first-robust"


def test_what_is_registered_answers_as_the_library_does(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, about its own annotations
        import mlflow.pyfunc

    data = unshaken.load_data("demo")
    fitted = unshaken.detect.fit("demo", data, ["msp", "energy"])
    fitted.save(tmp_path / "detectors")
    write_model(tmp_path / "model", "demo", detectors=str(tmp_path / "detectors"), accept=0.9)
    found = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    images = torch.rand(4, 1, 28, 28)
    answer = found.predict(images.numpy())
    model = load_model("demo")
    with torch.no_grad():
        expected = model(images).softmax(1)
    np.testing.assert_allclose(answer["probability"], expected.numpy(), atol=1e-6)
    assert answer["class"].tolist() == [model.classes[i] for i in expected.argmax(1)]
    own = unshaken.detect.DetectorSet.load(tmp_path / "detectors", model)
    for label, accepted in own.decide(images, accept=0.9).items():
        assert answer[f"accepted.{label}"].tolist() == accepted.tolist()


@pytest.mark.parametrize(
    "images", [np.zeros((1, 28, 28)), np.full((1, 1, 28, 28), 1.5), np.full((1, 1, 28, 28), np.nan)]
)
def test_a_served_model_refuses_what_are_no_images(images: Any) -> None:
    with pytest.raises(DataError, match=r"must be \[N, C, H, W\] with numbers in \[0, 1\]"):
        GuardedModel(load_model("demo"), None, 0.95).predict(images)


def test_a_trained_model_is_copied_and_code_is_refused(tmp_path: Path) -> None:
    from unshaken.models.loaders.from_run import save_model

    save_model(load_model("demo"), tmp_path / "run", arch="small")
    write_model(tmp_path / "kept", f"run:{tmp_path / 'run'}")
    for file in (tmp_path / "run").iterdir():
        file.unlink()
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        expected = load_model("demo")(images).softmax(1)
    found = load_folder(tmp_path / "kept" / "data").predict(images.numpy())
    np.testing.assert_allclose(found["probability"], expected.numpy(), atol=1e-6)
    with pytest.raises(ParameterError, match=r"py:net\.py:make.* is code of your own, which is not copied"):
        write_model(tmp_path / "other", "py:net.py:make")
    card = tmp_path / "kept" / "data" / "unshaken.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "model": "py:net.py:make"}))
    with pytest.raises(ModelError, match=r"unshaken\.json"):
        load_folder(card.parent)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"register": "a@b"}, r"needs a registry of models: give --track URI"),
        ({"register": "a@b", "track": "STORE"}, r"moves the alias only where gates hold, and there is none"),
        ({"register": "a@b", "track": "tensorboard:STORE", "gates": (HELD,)}, r"has no registry of models"),
        ({"register": "a", "track": "STORE", "gates": (HELD,)}, r"'a' is not of the form NAME@ALIAS"),
        ({"register": "a@latest", "track": "STORE", "gates": (HELD,)}, r"neither 'latest' nor a number"),
        ({"register": "a@v3", "track": "STORE", "gates": (HELD,)}, r"neither 'latest' nor a number"),
        ({"track": " "}, r"names no place"),
        ({"track": "wandb:"}, r"names no place"),
    ],
)
def test_wrong_words_are_refused_before_anything_runs(options: Any, message: str, tmp_path: Path) -> None:
    options = {k: v.replace("STORE", str(tmp_path / "s")) if isinstance(v, str) else v for k, v in options.items()}
    with pytest.raises(ParameterError, match=message):
        unshaken.audit("demo", "demo", out=tmp_path / "run", **options, **FEW)
    assert not (tmp_path / "run").exists()


def test_a_server_that_does_not_answer_is_known_before_the_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RunError, match=r"^track 'http://127\.0\.0\.1:9': no answer \(.+\): start the server"):
        unshaken.audit("demo", "demo", out=tmp_path / "run", track="http://127.0.0.1:9", **FEW)
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:codecs.open")  # of mlflow; `pytest.warns` gives it on without its module
@pytest.mark.parametrize("call", ["begin", "log_metrics"])
def test_a_service_that_fails_at_the_end_is_a_warning(call: str, tmp_path: Path, monkeypatch: Any) -> None:
    def broken(*_: Any) -> None:
        raise OSError("gone")

    monkeypatch.setattr(f"unshaken.store.tracking.mlflow_run.MlflowRun.{call}", broken)
    with pytest.warns(RuntimeWarning, match=r"gone; the run directory has everything; .* with --resume"):
        done = unshaken.audit("demo", "demo", out=tmp_path / "run", track=str(tmp_path / "store"), **FEW)
    assert done.summary["clean"]["n"] == 30


def test_names_of_figures_are_paths_and_only_numbers_are_kept() -> None:
    figure = {"value": 0.5, "low": None, "high": 1.0, "n": 2}
    data = {
        "a": [{"condition": "pgd-8/255", "accuracy": figure}, {"x": figure}],
        "b": {"value": float("nan"), "low": 0, "high": 1},
    }
    assert metrics_of(data) == {
        "a.pgd-8/255.accuracy": 0.5, "a.pgd-8/255.accuracy_high": 1.0, "a.1.x": 0.5, "a.1.x_high": 1.0,
        "b_low": 0.0, "b_high": 1.0,
    }  # fmt: skip


# Weights & Biases: its package is large and talks to the network, so a stand-in takes its place here.


class FakeWandb(ModuleType):
    """The part of the package `wandb` that is called; it remembers the calls."""

    class Error(Exception):
        pass

    class Settings:
        def __init__(self, **_: Any) -> None:
            pass

    class Artifact:
        def __init__(self, name: str, type: str) -> None:
            self.name, self.type, self.files = name, type, list[str]()

        def add_dir(self, folder: str) -> None:
            self.files = sorted(p.name for p in Path(folder).iterdir())

    def __init__(self) -> None:
        super().__init__("wandb")
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.artifacts: list[tuple[Any, Any]] = []
        self.summary: dict[str, Any] = {}
        self.begun: dict[str, Any] = {}
        self.code: int | None = None

    def init(self, **given: Any) -> Any:
        self.begun = given
        return SimpleNamespace(
            id="abc", log=lambda values, step: self.logged.append((step, values)), summary=self.summary,
            log_artifact=lambda a, aliases=None: self.artifacts.append((a, aliases)), finish=self.finish,
        )  # fmt: skip

    def finish(self, exit_code: int) -> None:
        self.code = exit_code


def test_weights_and_biases_gets_the_same(tmp_path: Path, monkeypatch: Any) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    done = unshaken.audit("demo", "demo", out=tmp_path / "run", track="wandb:team/doors", gates=(HELD,),
                          register="camera@champion", **FEW)  # fmt: skip
    assert (fake.begun["entity"], fake.begun["project"], fake.begun["name"]) == ("team", "doors", "run")
    ((step, metrics),) = fake.logged
    assert (step, metrics["clean_low"]) == (1, done.summary["clean"]["low"])
    (files, _), (model, aliases) = fake.artifacts
    assert "report.html" in files.files
    assert (model.name, model.files, aliases) == (
        "camera", ["MLmodel", "data", "requirements.txt"], ["latest", "champion"],
    )  # fmt: skip
    assert (fake.summary["gates"], fake.code) == ("held", 0)


def test_processes_that_share_a_run_log_it_one_after_the_other_in_one_run(tmp_path: Path, monkeypatch: Any) -> None:
    fake, held, begun = FakeWandb(), [], []
    init = fake.init

    def noted(**given: Any) -> Any:
        held.append([p.name for p in (tmp_path / "run" / "leases").iterdir()])
        begun.append(given["id"])
        return init(**given)

    monkeypatch.setattr(fake, "init", noted)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for _ in range(2):
        unshaken.audit("demo", "demo", out=tmp_path / "run", track="wandb:team/doors", share=True, **FEW)
    assert held == [["track"], ["track"]]
    assert begun == [None, "abc"]
    with pytest.raises(ParameterError, match="each process of a shared run would register"):
        unshaken.audit("demo", out=tmp_path / "run", share=True, track="wandb:a", register="a@b", gates=(HELD,), **FEW)


def test_without_its_package_weights_and_biases_names_the_extra(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtra, match=r"pip install 'unshaken\[wandb\]'"):
        sink_of("wandb:doors")


def test_a_name_with_its_alias() -> None:
    assert Registration.parse("a b.c@prod-1") == Registration("a b.c", "prod-1")
