"""Models that MLflow saved are black boxes, and their code runs only where the user named them."""

import sys

import numpy as np
import pytest
import torch
import yaml

from unshaken.api.mlflow_model import write_model
from unshaken.core.consent import call, named_code, refuse_code
from unshaken.core.errors import MissingExtra, ModelError, ParameterError
from unshaken.models import fingerprint, load_model

LOADER = """
import numpy as np

class Model:
    def __init__(self, factor):
        self.factor = factor

    def predict(self, images, params=None):
        return images.reshape(len(images), -1)[:, :3] * self.factor

def _load_pyfunc(path):
    return Model(np.load(path))
"""


@pytest.fixture
def folder(tmp_path):
    """A model in MLflow's own layout, with its code beside its weights."""
    place = tmp_path / "model"
    (place / "code").mkdir(parents=True)
    (place / "code" / "own_loader_of_test.py").write_text(LOADER)
    np.save(place / "factor.npy", np.float32(2))
    flavor = {"loader_module": "own_loader_of_test", "data": "factor.npy", "code": "code"}
    (place / "MLmodel").write_text(yaml.safe_dump({"flavors": {"python_function": flavor}, "model_uuid": "a" * 32}))
    yield place
    sys.modules.pop("own_loader_of_test", None)
    sys.path[:] = [p for p in sys.path if not p.startswith(str(tmp_path))]


def test_a_model_with_code_of_its_own(folder, images):
    spec = f"mlflow:{folder}?output=logits"
    model = load_model(spec)
    assert torch.equal(model(images), images.flatten(1)[:, :3] * 2)
    assert not model.differentiable
    same = fingerprint(model)
    assert fingerprint(load_model(spec)) == same
    np.save(folder / "factor.npy", np.float32(3))
    assert fingerprint(load_model(spec)) != same


def test_an_entry_of_an_answer(tmp_path):
    write_model(tmp_path / "model", "demo")
    images = torch.rand(3, 1, 28, 28)
    found = load_model(f"mlflow:{tmp_path}/model?output=probabilities&scores=probability")(images)
    torch.testing.assert_close(found.softmax(1), load_model("demo")(images).softmax(1).detach())
    for tail, shown in {"": "scores=NAME", "&scores=logits": "scores=logits"}.items():
        with pytest.raises(ModelError, match=rf"{shown} must name an entry of the answer, which has \['class', 'prob"):
            load_model(f"mlflow:{tmp_path}/model?output=probabilities{tail}")(images)


def test_a_registry_is_asked_for_the_folder(folder, images, monkeypatch):
    asked = []
    import mlflow.artifacts

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda uri: asked.append(uri) or str(folder))
    model = load_model("mlflow:models:/camera/3?output=logits", download=True)
    assert torch.equal(model(images), images.flatten(1)[:, :3] * 2)
    assert (asked, model.name) == (["models:/camera/3"], "mlflow:models:/camera/3")


def test_its_code_needs_consent(folder):
    spec = f"mlflow:{folder}"
    with call("demo"):
        with pytest.raises(ModelError, match=f"names the code '{spec}', which would be executed"):
            load_model(f"{spec}?output=logits")
        with pytest.raises(ModelError, match=r"plan\.yaml names the code 'mlflow:models:/camera/3'"):
            refuse_code({"model": "mlflow:models:/camera/3?output=logits"}, "plan.yaml")
    with call(f"{spec}?output=logits"):
        assert named_code() == [spec]
        load_model(f"{spec}?output=logits")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("mlflow:?output=logits", ParameterError, "write mlflow:FOLDER or mlflow:models:/NAME/VERSION"),
        ("mlflow:FOLDER", ParameterError, "say what it returns by output=logits, probabilities or labels"),
        ("mlflow:FOLDER?output=label", ParameterError, "no output 'label'; did you mean 'labels'"),
        ("mlflow:/no/such?output=logits", ModelError, "no file MLmodel in '/no/such'"),
        (
            "mlflow:models:/camera/3?output=logits",
            ModelError,
            "from MLflow's registry: run again with --download",
        ),
    ],
)
def test_a_wrong_spec_gets_one_clear_line(folder, text, error, message):
    with pytest.raises(error, match=message):
        load_model(text.replace("FOLDER", str(folder)))


def test_what_does_not_load(folder):
    (folder / "MLmodel").write_text("flavors: {onnx: {}}\n")
    with pytest.raises(ModelError, match=r"does not load: MlflowException: .*python_function") as caught:
        load_model(f"mlflow:{folder}?output=logits")
    assert "\n" not in str(caught.value)


def test_without_mlflow_the_extra_is_named(folder, monkeypatch):
    for module in [m for m in sys.modules if m.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtra, match=r"'mlflow-skinny', which is absent: pip install 'unshaken\[tracking\]'"):
        load_model(f"mlflow:{folder}?output=logits")
