"""The grammar of a model SPEC."""

import pytest

from unshaken.core.errors import ParameterError
from unshaken.models.loaders.spec import parse_model_spec


@pytest.mark.parametrize(
    ("text", "kind", "name", "options"),
    [
        ("demo", "demo", "", {}),
        ("demo:robust", "demo", "robust", {}),
        ("py:a/b.py:make?mean=0.5&std=0.25", "py", "a/b.py:make", {"mean": "0.5", "std": "0.25"}),
        ("torchvision:resnet18@DEFAULT", "torchvision", "resnet18@DEFAULT", {}),
        ("openclip:ViT-B-32//tmp/w.bin?classes=c=1.txt", "openclip", "ViT-B-32//tmp/w.bin", {"classes": "c=1.txt"}),
        (" onnx:net.onnx? ", "onnx", "net.onnx", {}),
    ],
)  # fmt: skip
def test_parts(text, kind, name, options):
    spec = parse_model_spec(text)
    assert (spec.kind, spec.name, dict(spec.options)) == (kind, name, options)
    assert parse_model_spec(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no kind"),
        (":net", "has no kind"),
        ("demo?mean", "option 'mean' must read NAME=VALUE"),
        ("demo?mean=", "option 'mean=' must read NAME=VALUE"),
        ("demo?size=1&size=2", "option 'size' is given twice"),
    ],
)
def test_refused(text, message):
    with pytest.raises(ParameterError, match=message):
        parse_model_spec(text)
