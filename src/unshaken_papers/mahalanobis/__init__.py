"""`mahalanobis`: class-conditional Gaussians of a network's features tell normal images from all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, PlusSeparated, pilot
from unshaken_papers.mahalanobis.rules import DETECTED, GAIN, LOSS, NAMES, OTHER, SATURATED, TIE, judge_distances


@register("mahalanobis", reference="Lee et al. 2018, arXiv:1807.03888")
class MahalanobisPaper(Paper):
    """Do Gaussians of a network's features detect what is out of distribution, adversarial, and under label noise?

    Small networks that never see two classes of their data: those two, data of another kind, noise, and adversarial
    examples, by the softmax, by single layers, and by ensembles whose weights are equal, or learned from FGSM together
    with a step of the input. Then the same networks get to know the two classes from a few images, without training.
    """

    title: ClassVar[str] = (
        "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks"
    )
    claim: ClassVar[str] = (
        "The Mahalanobis distance to the nearest class mean of a trained classifier's features, over several layers, "
        "detects out-of-distribution samples and adversarial attacks alike, and far better than the softmax does; it "
        "stands noisy labels."
    )
    summary: ClassVar[str] = "Mahalanobis distances in feature space detect far images much better than the softmax."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "far-images": ClaimPart(
            statement="The distance, over several layers, detects images of another kind far better than the softmax.",
            rule=f"Shown if on every far set the AUROC of the ensemble with equal weights is more than {GAIN} above "
            "that of the maximum softmax probability; contradicted if it is below on one. Differences are taken within "
            "each seed; it is their interval over the seeds that decides, here and in all parts.",
        ),
        "attacks": ClaimPart(
            statement="It detects adversarial attacks alike, again far better than the softmax.",
            rule="Weights and input step are chosen on validation samples: test images, clean and noisy, and FGSM "
            f"examples of them. Shown if this has an AUROC above {DETECTED} on the other FGSM examples, on BIM and on "
            f"PGD-10 at 8/255, more than {GAIN} above that of the softmax; contradicted if on one it is below 0.5, or "
            "below the softmax.",
        ),
        "wrong-labels": ClaimPart(
            statement="It withstands noisy labels.",
            rule=f"Shown if 40 % wrong labels in the fit of the Gaussians cost neither the last layer nor the ensemble "
            f"more than {LOSS} of AUROC on any far set; contradicted if more.",
        ),
        "published-method": ClaimPart(
            statement="One small step of the input and the ensemble of layers together sharpen the distance.",
            rule="Both chosen on FGSM examples as for the attacks. Shown if the AUROC is above that of the last layer "
            f"without a step on every far set, and on FGSM, BIM and PGD-10 at 8/255 (no more than {TIE} below where "
            f"that is above {SATURATED} already); contradicted if below.",
        ),
        "layers": ClaimPart(
            statement="Several layers detect more than the last alone.",
            rule="As for the published method, without a step: the ensemble with equal weights on far sets, with "
            "weights from FGSM on attacks.",
            central=False,
        ),
        "input-step": ClaimPart(
            statement="The step of the input alone sharpens the last layer.",
            rule="As for the published method, on the last layer alone.",
            central=False,
        ),
        "near-images": ClaimPart(
            statement="It detects classes of the same data that were never shown.",
            rule=f"Shown if there the AUROC of the ensemble with equal weights is above {DETECTED}; contradicted if "
            "below 0.5.",
            central=False,
        ),
        "small-attacks": ClaimPart(
            statement="It detects attacks of a small radius as well, better than the softmax.",
            rule=f"With weights and step from FGSM at 8/255. Shown if the AUROC on PGD-10 at 2/255 is above {DETECTED} "
            "and above that of the softmax; contradicted if below 0.5, or below the softmax.",
            central=False,
        ),
        "other-attacks": ClaimPart(
            statement="With weights from FGSM it detects DeepFool and Carlini and Wagner's attack.",
            rule=f"With weights and step from FGSM at 8/255. Shown if the AUROC on both is above {DETECTED}; "
            "contradicted if one is below 0.5. That of the softmax, not compared in the publication, is in a remark.",
            central=False,
        ),
        "noisy-training": ClaimPart(
            statement="It withstands noisy labels and few images in the training of the network itself.",
            rule="Networks trained on 40 % wrong labels, and on a fifth of the images; the Gaussians are fitted to the "
            "same. Shown if for both, on every far set, the AUROC of the ensemble with equal weights is above "
            f"{DETECTED} and more than {GAIN} above that of the softmax; contradicted if below 0.5, or below the "
            "softmax.",
            central=False,
        ),
        "new-classes": ClaimPart(
            statement="Classes are added later without training.",
            rule="Two classes are added to the Gaussians of the last layer by a few images each. Shown if, over the "
            "accuracies on old and new classes as the new ones are favoured more and more, the area under the curve is "
            "larger than with Euclidean distances to the same means, and new classes are recognised more often than by "
            "chance; contradicted if one is the other way.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "ResNet-34, CIFAR-10 against SVHN: TNR at 95 % accepted 54.5 for the last layer alone, 96.4 with "
        "input step and ensemble (MSP 32.5), AUROC 99.1 (89.9); a re-run against CIFAR-100, which is near: AUROC 88.2 "
        "(MSP 86.4)",
        **pilot(
            "abnormal.fashion-mnist.msp.auroc 0.699, abnormal.fashion-mnist.equal.auroc 0.963, "
            "abnormal.noise.msp.auroc 0.064, abnormal.noise.equal.auroc 0.999, adversarial.fgsm-8.ensemble.auroc "
            "0.699, adversarial.pgd-8.msp.auroc 0.208, adversarial.pgd-8.ensemble.auroc 0.867, "
            "adversarial.pgd-2.ensemble.auroc 0.520",
        ),
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "abnormal.fashion-mnist.equal.auroc": ("Fashion-MNIST, Mahalanobis over layers", "AUROC"),
        "abnormal.fashion-mnist.msp.auroc": ("Fashion-MNIST, maximum softmax probability", "AUROC"),
        "abnormal.noise.equal.auroc": ("Noise, Mahalanobis over layers", "AUROC"),
        "abnormal.noise.msp.auroc": ("Noise, maximum softmax probability", "AUROC"),
        "abnormal.near.equal.auroc": ("Two classes never shown (near), Mahalanobis over layers", "AUROC"),
        "adversarial.pgd-8.published.auroc": ("PGD at 8/255, step and weights from FGSM", "AUROC"),
        "adversarial.pgd-8.msp.auroc": ("PGD at 8/255, maximum softmax probability", "AUROC"),
        "adversarial.deepfool.published.auroc": ("DeepFool, step and weights from FGSM", "AUROC"),
        "trained.wrong.fashion-mnist.equal.auroc": ("Fashion-MNIST, network trained on 40 % wrong labels", "AUROC"),
        "new_classes.shared.area": ("Two classes added by a few images, area under the curve", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A small network on eight classes of CIFAR-10 in the place of ResNet-34.",
        "Adversarial examples are those that fool the network, saved as 8 bits, against the same images clean and "
        "with noise as long as what the attack changed. The attacks do not know of the detector: one that does gets "
        "past it, so this is no defence.",
        "Weights and step are chosen on FGSM examples alone, for all sets. The published figures chose them on samples "
        "of the very set; such figures stand in the JSON under `own`, and are no fair comparison.",
        "Added classes are compared with Euclidean distances, not with a softmax that learns them.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "small-cnn"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "classes": {
            "label": "int64", "fresh": "bool", "way": "string", "old": "int64", "new": "int64", "gap": "double",
        }
    }  # fmt: skip
    """One row an image and way of measuring distances, once classes were added: whether its class is a new one, the
    nearest of the old classes and of the new ones, and how much farther (squared) the old one is."""

    seeds: int = Field(3, ge=2, description="networks of each kind")
    train: PositiveInt = Field(8000, description="training images, of which those of two classes are left out")
    epochs: PositiveInt = Field(8, description="of training")
    images: PositiveInt = Field(400, description="images of each test set", ge=8)
    attacked: PositiveInt = Field(300, description="of the normal ones also attacked", ge=8)
    tune: PositiveInt = Field(120, description="of each set, the first, on which weights and step are chosen")
    steps: Annotated[tuple[PositiveFloat, ...], PlusSeparated] = Field(
        (0.001, 0.005), description="input steps to choose from beside none, in [0, 1] pixel units; as text 0.001+0.01"
    )
    shots: PositiveInt = Field(50, description="images by which each class is added")

    full: ClassVar[Mapping[str, Any]] = {
        "seeds": 5,
        "train": 12_000,
        "epochs": 10,
        "images": 800,
        "attacked": 600,
        "tune": 200,
        "steps": (0.0005, 0.001, 0.0014, 0.002, 0.005, 0.01),
    }

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return judge_distances(measured)

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        found = measured["adversarial"]
        softmax = ", ".join(f"{NAMES[name]} {found[name]['msp']['auroc']['value']:.3f}" for name in OTHER)
        counted = ", ".join(f"{NAMES[name]} {measured['examples'][name]}" for name in found)
        return f"AUROC of the softmax on attacks that end at the boundary: {softmax}. Examples that count: {counted}."
