"""Networks for the experiment with distillation: undefended, teacher and distilled student, or two of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.data import load_data, stream, subset
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.losses.distillation import Distillation
from unshaken.harden.recipes.losses.temperature import Temperature
from unshaken.models import load_model
from unshaken.papers._tract_nets import Pictures, read_pictures
from unshaken.papers._training import cached
from unshaken.papers.base import Bench

SMALL = "small"
PLAIN, TEACHER, STUDENT = "plain", "teacher", "student"


@dataclass(frozen=True, slots=True)
class Classroom:
    """The networks, and test images.

    Args:
        nets: `plain` and `student`, and `teacher` where it is known.
        test: labelled images that none has seen.
        cached: whether all came from the cache, or were given.
    """

    nets: Mapping[str, Classifier]
    test: Batch
    cached: bool


@dataclass(frozen=True, slots=True)
class Lessons:
    """How the networks are trained.

    Args:
        train: training images.
        test: test images.
        epochs: of the undefended network.
        longer: of teacher and student.
        temperature: T of both.
        lr: the largest learning rate.
    """

    train: int
    test: int
    epochs: int
    longer: int
    temperature: float
    lr: float


def taught(bench: Bench, lessons: Lessons) -> tuple[Classroom, dict[str, Any]]:
    """Train the three networks, or take them from the cache; and what decides them.

    Raises:
        DataError: the data is absent, or has no splits train and test with labels.
    """
    pictures = read_pictures(bench, lessons.train, lessons.test)
    t = lessons.temperature
    plain, old = _trained(bench, pictures, lessons, PLAIN, [], lessons.epochs, 0)
    teacher, too = _trained(bench, pictures, lessons, TEACHER, [Temperature(temperature=t)], lessons.longer, 1)
    pupil: list[Recipe] = [Distillation(teacher=teacher, temperature=t)]
    student, three = _trained(bench, pictures, lessons, STUDENT, pupil, lessons.longer, 2)
    nets = {PLAIN: plain, TEACHER: teacher, STUDENT: student}
    return Classroom(nets, pictures.test, old and too and three), dict(pictures.key)


def _trained(
    bench: Bench, pictures: Pictures, lessons: Lessons, name: str, recipes: list[Recipe], epochs: int, weights: int
) -> tuple[Classifier, bool]:
    seed = 3 * bench.seed + weights
    training = Training(
        epochs=epochs,
        batch_size=128,
        lr=lessons.lr,
        held_out=10,
        check_images=2,
        check_every=epochs,
        select="last",
        seed=seed,
    )
    key = {"distillation": 1, "net": name, **pictures.key, "seed": bench.seed, "training": training.model_dump()}
    if recipes:  # the student's teacher follows from the same
        key |= {"temperature": lessons.temperature, "recipes": [r.info.name for r in recipes]}

    def make() -> Classifier:
        net = fresh(SMALL, pictures.images, classes=pictures.classes, seed=seed)
        return fit(net, pictures.images, pictures.labels, recipes, training, classes=pictures.classes).last

    return cached(key, SMALL, make)


def given(bench: Bench, test: int) -> tuple[Classroom, dict[str, Any]]:
    """Two networks of the user's own, named `UNDEFENDED|DISTILLED`.

    Raises:
        ParameterError: not two are named.
        DataError: no labelled image can be read.
    """
    specs = [spec.strip() for spec in bench.model.split("|")]
    if len(specs) != 2:
        raise ParameterError(
            f"fgsm-cw-distillation: model {bench.model!r}: name an undefended and a distilled network, as in "
            "'run:plain|run:distilled'"
        )
    plain, student = (load_model(spec, download=bench.download) for spec in specs)
    data = load_data(bench.data, download=bench.download)
    rows = subset(data, test, bench.seed).tolist()
    parts = [b for b in stream(data, rows, view=plain.view, batch_size=500) if isinstance(b, Batch)]
    if not parts or parts[0].labels is None:
        raise DataError(f"data {bench.data!r}: no labelled image can be read")
    key = {"plain": plain.name, "student": student.name, "data": data.fingerprint}
    return Classroom({PLAIN: plain, STUDENT: student}, Batch.concat(parts), True), key
