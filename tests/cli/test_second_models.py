"""A further model that a method names answers by the names of its classes; one of other classes is refused."""

from __future__ import annotations

import pytest
import torch

from unshaken import load_model
from unshaken.core import Oracle
from unshaken.detect.scores.ensemble import Members

OTHER = "demo:robust?classes=names.txt"
LINES = {
    "transfer": f"attack --attack transfer:surrogate={OTHER}",
    "oracle": f"attack --attack oracle-bounded:oracle={OTHER},steps=1",
    "held out": f"attack --attack oracle-bounded:held_out={OTHER},steps=1",
    "defence": "attack --attack fgsm --defence mixture:robust=demo:robust?classes=names.txt",
    "ensemble": f"detect fit --method ensemble:members={OTHER}",
    "accurate": f"certify --method adaptive-smoothing:accurate={OTHER},n=10,n0=5 --not-attacked",
    "right half": f"certify --method dual-smoothing:right={OTHER},n=10,n0=5 --not-attacked",
    "teacher": f"harden --recipe distillation:teacher={OTHER} --epochs 1",
    "three heads": f"harden --recipe three-heads:teacher={OTHER} --recipe noise --epochs 1",
    "mixing": f"harden --recipe mixing-network:robust={OTHER} --epochs 1",
}


@pytest.fixture
def names(place):
    """Writes the names of the classes of the further model."""

    def write(names):
        (place / "names.txt").write_text("\n".join(names) + "\n")

    return write


@pytest.mark.parametrize("line", LINES)
def test_a_model_of_other_classes_is_refused(line, unshaken, names):
    names([f"letter {c}" for c in "abcdefghij"])
    done = unshaken(f"{LINES[line]} --model demo --data demo --limit 80 --out run --device cpu")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "has no class named as 10 of the 10 classes of model '" in done.err


def test_classes_are_found_by_name_or_taken_by_position(names):
    model, images = load_model("demo").eval(), torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    swapped = list(model.classes)
    swapped[0], swapped[1] = swapped[1], swapped[0]
    names(swapped)
    own = load_model("demo:robust").eval()(images)
    for spec, columns in {OTHER: [1, 0, *range(2, 10)], "demo:robust?classes=positions": list(range(10))}.items():
        answer = Members(images, specs=(spec,), classes=10).evaluate(Oracle(model), None)
        torch.testing.assert_close(answer.logits[:, 0], own[:, columns])
