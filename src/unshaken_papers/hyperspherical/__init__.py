"""`hyperspherical`: classes that training never saw are added as mean directions of their examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide
from unshaken.papers.effects import negated

SMALL = "embedding-cnn"
NORMALISED, PLAIN, TRIPLET = "nsl", "softmax", "triplet"
ARMS: Mapping[str, str] = {NORMALISED: "normalised-softmax:scale={scale}", PLAIN: "", TRIPLET: "triplet"}
"""Arm to the recipe of its training; plain softmax has none."""
MEANS = "nsl-means"
"""The same networks as `nsl`, whose old classes are mean directions as well, not trained ones."""
ALL = 0
"""Stands for all examples of a new class, where a number of examples is meant."""
SHOTS = (1, 5, ALL)
ERRORS = 2
"""Standard errors by which the arms must be apart."""
NEAR_ZERO, DROP = 0.10, 0.08
"""Least accuracy on new classes among all; largest loss of accuracy on the classes of training."""


@register("hyperspherical", reference="arXiv:2102.03243")
class HypersphericalPaper(Paper):
    """Does the normalised softmax loss give features to which classes can be added without training?

    Networks are trained on some classes of Fashion-MNIST by the normalised softmax loss, by plain softmax and by
    triplets. The other classes are added as mean directions of 1, 5 or all of their training images, and compete among
    themselves (disjoint) or with the classes of training (joint).
    """

    title: ClassVar[str] = "Hyperspherical embedding for novel class classification"
    claim: ClassVar[str] = (
        "Training with the normalised softmax loss gives features to which unseen classes are added as one prototype "
        "each, without further training, more accurately and at less cost than by pairwise metric learning."
    )
    summary: ClassVar[str] = "Normalised softmax gives features to which classes are added without training."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "disjoint": ClaimPart(
            statement="New classes are told apart more accurately than after training by triplets.",
            rule=f"Shown if, among new classes alone and with all their examples, the accuracy exceeds that after "
            f"triplets by more than {ERRORS} standard errors over splits and seeds, paired; contradicted if it is "
            "lower by as much.",
        ),
        "joint": ClaimPart(
            statement="So are all classes, old and new together.",
            rule="Shown if the same holds among all classes; contradicted if the opposite does.",
        ),
        "new-in-joint": ClaimPart(
            statement="New classes are recognised beside those of training.",
            rule=f"Shown if the accuracy on images of new classes among all classes is above {NEAR_ZERO}, by "
            f"{ERRORS} standard errors; contradicted if it is below.",
        ),
        "cheaper": ClaimPart(
            statement="Training costs less time than by triplets.",
            rule=f"Shown if an epoch takes less time, by {ERRORS} standard errors, paired; contradicted if more.",
        ),
        "few": ClaimPart(
            statement="It holds with one and with five examples of each new class.",
            rule="Shown if the rules of disjoint and joint hold with 1 and with 5 examples, averaged over draws.",
            central=False,
        ),
        "plain": ClaimPart(
            statement="The constraint matters: plain softmax with the same prototypes is less accurate.",
            rule="Shown if the accuracy among all classes exceeds that after plain softmax, whose classes are all mean "
            f"directions, by more than {ERRORS} standard errors; contradicted if it is lower by as much.",
            central=False,
        ),
        "old-kept": ClaimPart(
            statement="Adding classes costs those of training little.",
            rule=f"Shown if the accuracy on images of old classes falls by less than {DROP} when new ones are added, "
            f"by {ERRORS} standard errors; contradicted if it falls by more.",
            central=False,
        ),
        "across-data": ClaimPart(
            statement="Features of one data set serve the classes of another.",
            untried="all classes are of one data set.",
            central=False,
        ),
        "many-classes": ClaimPart(
            statement="The advantage in cost grows with the number of classes.",
            untried="there are ten classes; needs hundreds.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "the author's notebook: MNIST, digits 0 to 7 and one linear layer, 94.6 % on them; 85.5 % among "
        "ten when 8 and 9 are added, of which .55 and .83 are found",
        "pilot": "8 x 8 digits, 7 + 3 classes: joint .862, .826 after softmax, .810 after triplets; disjoint .835, "
        ".778, .779",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "joint_gain.0": ("All classes, normalised softmax minus triplets", "accuracy"),
        "disjoint_gain.0": ("New classes alone, normalised softmax minus triplets", "accuracy"),
        "nsl.joint.0": ("All classes, normalised softmax", "accuracy"),
        "softmax.joint.0": ("All classes, plain softmax", "accuracy"),
        "triplet.joint.0": ("All classes, triplets", "accuracy"),
        "nsl.new.0": ("New classes among all, normalised softmax", "accuracy"),
        "triplet.new.0": ("New classes among all, triplets", "accuracy"),
        "nsl-means.joint.0": ("All classes, normalised softmax, old classes as means too", "accuracy"),
        "nsl.joint.1": ("All classes, one example of each new class", "accuracy"),
        "saved_seconds": ("Seconds of an epoch that triplets take more", "seconds"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A network of 57,000 parameters with batch norm, features of 64 numbers, on 4,200 images of seven classes.",
        "The publication's own settings and tables are known from its abstract and its authors' package alone.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = SMALL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "tests": {"shots": "int32", "old": "bool", "disjoint": "double", "joint": "double", "before": "double"},
        "training": {"seconds": "double"},
    }
    full: ClassVar[Mapping[str, Any]] = {"images": 12_000, "test": 6000, "epochs": 14, "splits": 5}

    images: PositiveInt = Field(6000, description="training images of all classes; those of new ones serve as examples")
    test: PositiveInt = Field(2000, description="test images of all classes")
    novel: PositiveInt = Field(3, description="classes that training does not see, in each split")
    splits: PositiveInt = Field(3, description="ways to choose the new classes")
    seeds: PositiveInt = Field(1, description="trainings of each split and loss")
    epochs: PositiveInt = Field(12, description="of each training")
    scale: float = Field(10.0, description="s of the normalised softmax loss", gt=0)
    draws: PositiveInt = Field(20, description="draws of one and of five examples")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        joint, disjoint = measured["joint_gain"], measured["disjoint_gain"]
        own = measured[NORMALISED]
        words = "accuracy, normalised softmax minus triplets"
        few = [
            decide("few", f"{words}, {shots} examples, {name}", gain[str(shots)])
            for shots in SHOTS[:-1]
            for name, gain in (("new classes", disjoint), ("all classes", joint))
        ]
        new, kept = own["new"][str(ALL)], negated(measured["drop"])
        return [
            decide("disjoint", f"{words}, new classes", disjoint[str(ALL)]),
            decide("joint", f"{words}, all classes", joint[str(ALL)]),
            decide("new-in-joint", "accuracy on new classes among all", new, above=NEAR_ZERO, opposed_below=NEAR_ZERO),
            decide("cheaper", "seconds of an epoch, triplets minus normalised softmax", measured["saved_seconds"]),
            *few,
            decide("plain", "accuracy, normalised softmax minus plain softmax, all classes", measured["over_plain"]),
            decide("old-kept", "change of accuracy on old classes", kept, above=-DROP, opposed_below=-DROP),
        ]
