"""A method is one file in its room, a verb two files, and a room one package: known everywhere without another edit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.processes import run_program
from unshaken.core.sources import PACKAGE

HEAD = """from __future__ import annotations

from typing import Any, ClassVar

from unshaken.core.registry import register
"""
FILES = {
    "stress/geometry/toy_stress.py": """
from unshaken.stress.engine.base import Stressor

@register("toy-stress", reference="Nobody 2026")
class ToyStress(Stressor):
    \"\"\"Turn images upside down.\"\"\"

    def run(self, images: Any, severity: int, rng: Any) -> Any:
        return images.flip(2)
""",
    "stress/geometry/toy_heat.py": """
from typing import Self

from pydantic import PrivateAttr

from unshaken.stress.engine.base import Stressor

class Thermometer:
    \"\"\"A resource: how warm it was.\"\"\"

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

@register("toy-heat", reference="Nobody 2026")
class ToyHeat(Stressor):
    \"\"\"Brighter where it was warm.\"\"\"

    _degrees: float = PrivateAttr(0.0)

    def with_resources(self, found: Any) -> Self:
        copy = self.model_copy()
        copy._degrees = found[Thermometer].degrees
        return copy

    def run(self, images: Any, severity: int, rng: Any) -> Any:
        return (images + self._degrees).clamp(0, 1)
""",
    "tasks/toy_task.py": """
from unshaken.core.part import Part
from unshaken.core.tables import declare_table
from unshaken.tasks.classification import Classification
from unshaken.tasks.task import task

declare_table("toy_answers", "id string, condition string, loudest double")

@task("toy-task")
class ToyTask(Classification):
    \"\"\"Classification that also writes the largest logit.\"\"\"

    def rows(self, condition: Any, batch: Any, outputs: Any, /, **columns: Any) -> Any:
        loudest = outputs.amax(1).tolist()
        own = {"id": list(batch.ids), "condition": [condition.id] * len(batch), "loudest": loudest}
        return [*super().rows(condition, batch, outputs, **columns), Part("toy_answers", condition, own)]
""",
    "explain/attribution/toy_map.py": """
from unshaken.explain.engine.gradients import SingleGradient

@register("toy-map", reference="Nobody 2026")
class ToyMap(SingleGradient):
    \"\"\"The gradient itself.\"\"\"

    def values(self, images: Any, gradient: Any) -> Any:
        return gradient
""",
    "labels/find/toy_finder.py": """
from unshaken.labels.engine.finder import Finder, LabelScores

@register("toy-finder", reference="Nobody 2026")
class ToyFinder(Finder):
    \"\"\"The probability of the given label.\"\"\"

    def find(self, evidence: Any) -> LabelScores:
        summary = evidence.summary()
        return LabelScores(summary.own, summary.best, summary.own < 0.5)
""",
    "data/properties/toy_redness.py": """
from unshaken.data.properties.base import ImageProperty, image_property

@image_property("toy_redness")
class ToyRedness(ImageProperty):
    \"\"\"Share of red.\"\"\"

    def measure(self, image: Any) -> float:
        return float(image[..., 0].mean()) / 255
""",
    "attack/gradient/toy_attack.py": """
from unshaken.attack.gradient.fgsm import FGSM

@register("toy-attack", reference="Nobody 2026")
class ToyAttack(FGSM):
    \"\"\"One step.\"\"\"
""",
    "certify/bounds/toy_certificate.py": """
from unshaken.certify.engine.base import Certifier

@register("toy-certificate", reference="Nobody 2026", norms=("linf",))
class ToyCertificate(Certifier):
    \"\"\"Half of what is asked for, of bright images alone.\"\"\"

    def certified_radius(self, oracle: Any, images: Any, prediction: Any, eps: float) -> Any:
        return (images.mean((1, 2, 3)) > 0.4).double() * eps / 2
""",
    "detect/scores/toy_score.py": """
from unshaken.detect.engine.base import Detector

@register("toy-score", reference="Nobody 2026")
class ToyScore(Detector):
    \"\"\"The largest logit with its sign turned.\"\"\"

    def score(self, look: Any, bank: Any) -> Any:
        return -look.logits.max(1).values
""",
    "harden/recipes/losses/toy_recipe.py": """
import torch.nn.functional as F
from unshaken.harden.engine.recipe import Recipe

@register("toy-recipe", reference="Nobody 2026")
class ToyRecipe(Recipe):
    \"\"\"Cross-entropy.\"\"\"

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})

    def loss(self, step: Any) -> Any:
        return F.cross_entropy(step.model(step.shown), step.labels)
""",
    "harden/defences/toy_defence.py": """
from unshaken.harden.engine.defence import Defence

@register("toy-defence", reference="Nobody 2026")
class ToyDefence(Defence):
    \"\"\"The model as it is.\"\"\"

    def wrap(self, model: Any) -> Any:
        return model
""",
    "tasks/toy_evaluation.py": """
from unshaken.core.tables import declare_table
from unshaken.measure.statistics.intervals import share
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings

declare_table("toy_evaluation", "id string, condition string, method string, bright bool")

@register("toy-evaluation", reference="Nobody 2026")
class ToyEvaluation(Evaluation):
    \"\"\"Share of images whose mean is above a half.\"\"\"

    title: ClassVar[str] = "How many images are bright?"
    measures: ClassVar[tuple[str, ...]] = ("bright",)
    needs: ClassVar[frozenset[str]] = frozenset({"images"})

    def judge(self, subject: Any) -> EvaluationFindings:
        batches = list(subject.batches())
        rows = subject.rows("toy_evaluation", "bright", lambda: {
            "id": [name for batch in batches for name in batch.ids],
            "bright": [bool(image.mean() > 0.5) for batch in batches for image in batch.images],
        })
        return EvaluationFindings({}, {"bright": share(sum(rows["bright"].to_pylist()), len(rows))})
""",
    "api/toy.py": """
from unshaken.core.keywords import keywords
from unshaken.core.package import public
from unshaken.data import load_data

@public("toy")
@keywords()
def toy(data: str, *, limit: int | None = None) -> int:
    \"\"\"Count samples.\"\"\"
    return min(len(load_data(data)), limit or 10**9)
""",
    "cli/toy.py": """
from typing import Annotated

from unshaken.cli.options import Data, Limit
from unshaken.cli.show import print_line
from unshaken.cli.verb import verb
from unshaken.core.options import Option

@verb(name="toy", first="data", python="toy")
def toy(data: Data, limit: Limit = None) -> int:
    \"\"\"Count the samples of a data set, and print their number.\"\"\"
    from unshaken import api

    print_line(f"samples: {api.toy(data, limit=limit)}")
    return 0
""",
    "toyroom/__init__.py": '''
"""A room of its own."""

from unshaken.core.package import open_room

open_room(__name__)
''',
    "toyroom/engine/__init__.py": '"""What the room\'s methods share."""\n',
    "toyroom/engine/base.py": """
from unshaken.core.registry import Parameters
from unshaken.core.tables import declare_table

declare_table("toys", "id string, condition string, toy double")

class Toy(Parameters):
    \"\"\"Keeps a number a sample.\"\"\"

    room: ClassVar[str] = "toyroom"

    def value(self, images: Any) -> Any:
        raise NotImplementedError
""",
    "run/adapters/toyroom.py": """
from unshaken.core.outcomes import outcomes
from unshaken.core.part import Condition, Part
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.toyroom.engine.base import Toy

@conditions_of.register
def _(method: Toy, line: Line) -> list[Condition]:
    return [Condition(line.label, method.info.name)]

@rows_of.register
def _(method: Toy, batch: Any, conditions: Any, context: Any) -> list[Part]:
    values = method.value(batch.images).tolist()
    columns = {"id": list(batch.ids), "condition": [conditions[0].id] * len(batch), "toy": values}
    return [Part("toys", conditions[0], columns), outcomes(conditions[0], batch, context.clean)]
""",
    "inspect/pictures/toy_check.py": """
from unshaken.inspect.engine.base import ScoreCheck

@register("toy-check", reference="Nobody 2026")
class ToyCheck(ScoreCheck):
    \"\"\"Find images whose first pixel is not white.\"\"\"

    title = "Images that do not begin with white"
    quantity = "first_pixel"

    def score(self, sample: Any) -> float:
        return float(sample.pixels.flat[0]) / 255
""",
    "toyroom/brightness_of_toys.py": """
from unshaken.toyroom.engine.base import Toy

@register("brightness-of-toys", reference="Nobody 2026")
class BrightnessOfToys(Toy):
    \"\"\"The mean of an image.\"\"\"

    def value(self, images: Any) -> Any:
        return images.mean((1, 2, 3))
""",
    "report/sections/toyroom.py": """
from unshaken.report import cells
from unshaken.report.blocks import Heading, Table
from unshaken.report.sections import Section, SectionFigures

class Toys(Section):
    name = "toyroom"
    table = "toys"
    empty: ClassVar[dict[str, Any]] = {"toys": None}

    def figures(self, source: Any) -> SectionFigures:
        return SectionFigures({"toys": len(source.run.rows("toys"))})

    def blocks(self, report: Any) -> list[Any]:
        rows = (cells.line("brightness", str(report.data["toys"])),)
        return [Heading("Toys"), Table("Numbers of toys.", cells.columns("toy", "n"), rows)]

section = Toys()
""",
}
USE = """
import json, sys
from pathlib import Path

import unshaken
from unshaken import api
from unshaken.cli import main
from unshaken.core.registry import list_methods

out = Path(sys.argv[1])
plan = [
    {"method": "toy-stress", "severities": [1]},
    {"method": "toy-attack", "eps": [0.1]},
    {"method": "brightness-of-toys"},
]
audited = unshaken.audit("demo:robust", "demo", plan, limit=8, out=out / "audit")
alone = {"limit": 4, "attacked": False, "out": out / "certified"}
certified = unshaken.certify("demo:robust", "demo", "toy-certificate", radii=0.001, **alone)
words = ("toy stress", "toy attack", "numbers of toys")
page, text = out / "audit" / "report.html", out / "audit" / "report.md"
codes = [
    main(["detect", "fit", "--model", "demo", "--data", "demo", "--method", "toy-score", "--limit", "60", "--quiet",
          "--out", str(out / "detectors")]),
    main(["harden", "--model", "small", "--data", "demo", "--method", "toy-recipe", "--limit", "120", "--epochs", "1",
          "--quiet", "--out", str(out / "hardened")]),
    main(["list", "toyroom", "--quiet"]),
]
rows = audited.run.rows("toys")
sliced = api.slices(audited.run, ["toy_redness"])
codes += [
    main(["explain", "toy-map", "--model", "demo", "--data", "demo", "--limit", "4", "--quiet",
          "--out", str(out / "maps")]),
    main(["labels", "find", "--model", "demo", "--data", "demo", "--method", "toy-finder", "--limit", "60",
          "--review-size", "0", "--quiet", "--out", str(out / "labels")]),
    main(["inspect", "--data", "demo", "--check", "toy-check", "--limit", "20", "--gate", "share_toy_check >= 0.5",
          "--quiet", "--out", str(out / "inspected")]),
    main(["evaluate", "toy-evaluation", "--data", "demo", "--limit", "20", "--gate", "bright >= 0", "--quiet",
          "--out", str(out / "evaluated")]),
    main(["toy", "--data", "demo", "--limit", "3"]),
    main(["toy", "--help"]),
]

from torch import nn

from unshaken.data import load_data
from unshaken.stress.geometry.toy_heat import Thermometer

class Net(nn.Module):
    task = "toy-task"

    def forward(self, images):
        return images.flatten(1)[:, :10]

data = load_data("demo")

class Warm(type(data)):
    def resources(self, view, device):
        return {Thermometer: Thermometer(0.25)}

data.__class__ = Warm
heated = unshaken.audit(Net(), data, [{"method": "toy-heat", "severities": [1]}], limit=8, out=out / "heated")
loud = heated.run.rows("toy_answers", condition="toy-heat-1")["loudest"].to_pylist()
plain = heated.run.rows("toy_answers", condition="clean")["loudest"].to_pylist()
print(json.dumps({
    "names": [m.name for m in list_methods()],
    "conditions": [c["method"] for c in audited.summary["conditions"]],
    "certified": len(certified.summary["certified"]),
    "radii": sorted(set(certified.run.rows("certificates")["radius"].to_pylist())),
    "codes": codes,
    "toys": len(rows),
    "verb": [unshaken.toy("demo", limit=3), "toy" in unshaken.__all__, unshaken.api.toy.__module__],
    "slices": sorted({r["slicing"] for r in sliced.summary["slices"]}),
    "defended": unshaken.load_model("demo?defence=toy-defence").name,
    "pages": [w in p.read_text().lower() for p in (page, text) for w in words],
    "figure": audited.summary["toys"],
    "warmer": [round(min(1.0, p + 0.25) - hot, 6) for p, hot in zip(plain, loud)],
}))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The package with a toy in each room and one room more; nothing that was there is edited."""
    root = tmp_path_factory.mktemp("extended")
    shutil.copytree(PACKAGE, root / "unshaken")  # with what is compiled of it
    for name, text in FILES.items():
        path = root / "unshaken" / name
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if name.endswith("__init__.py") else HEAD + text, encoding="utf-8")
    return root


def test_a_method_in_each_room_and_a_new_room_need_no_edit_elsewhere(package, tmp_path):
    begin = f"import os, sys; os.chdir({str(tmp_path)!r}); sys.path.insert(0, {str(package)!r})\n"
    printed = run_program(f"{begin}sys.argv = ['', {str(tmp_path)!r}]\n{USE}", tmp_path / "printed").splitlines()
    found = json.loads(printed[-1])
    names = {"toy-stress", "toy-attack", "toy-certificate", "toy-score", "toy-recipe", "toy-defence"}
    assert names | {"brightness-of-toys"} <= set(found["names"])
    assert {"toy-stress", "toy-attack"} <= set(found["conditions"])
    assert {"toy-heat", "toy-map", "toy-finder", "toy-check"} <= set(found["names"])
    assert found["codes"] == [0] * 9
    assert found["verb"] == [3, True, "unshaken.api.toy"]
    assert "samples: 3" in printed
    assert "Usage: unshaken toy [OPTIONS]" in " ".join(printed)
    assert found["warmer"] == [0.0] * 8
    assert found["certified"] == 1
    assert found["radii"] == [0.0, 0.0005]
    assert found["toys"] == found["figure"] == 8
    assert "toy-defence" in found["defended"]
    assert found["pages"] == [True] * 6
    assert found["slices"] == ["toy_redness"]
    assert "brightness-of-toys" in printed
