"""`shape-simplicity-bias`: do adversarially trained networks go by shape, and are their units simpler?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, in_every_seed, pilot

EPS = 8 / 255
PLAIN, ROBUST, JUDGE = "plain", "robust", "judge"
"""The network that is trained plainly, the one trained on adversarial examples, and one that only gives features."""
FAINT, STRONG = (4, 8), 16
"""Amplitudes of gratings in 1/255: those that adversarial training must drop, and one above its budget."""
GARMENTS = (0, 1, 3, 7, 8, 9)
"""Classes of Fashion-MNIST with different outlines: T-shirt, trouser, dress, sneaker, bag, boot."""
GAP, CUES = 0.3, 0.7
"""Difference of shape biases, and share of decisions for a cue, that the first rule asks for."""
NOISE = 0.1
STIMULI = ("scramble-2", "scramble-4", "blur-1", "blur-1.5", "grey", "noise-0.05", f"noise-{NOISE:g}")
TOP = 49


@register("shape-simplicity-bias", reference="Chen et al. 2020, arXiv:2006.09373")
class ShapeSimplicityPaper(Paper):
    """Does adversarial training turn a network from texture to shape, and make its units simpler?

    Small networks on CIFAR-10 and on outlines of garments with class-bound gratings, each trained plainly and on
    adversarial examples.
    """

    title: ClassVar[str] = "The shape and simplicity biases of adversarially robust ImageNet-trained CNNs"
    claim: ClassVar[str] = (
        "Adversarially trained networks rely on shape where standard ones rely on texture, and adversarial training "
        "makes hidden units simpler: smoother, of lower level, and of fewer kinds of input."
    )
    summary: ClassVar[str] = "Adversarial training turns networks from texture to shape, and makes units simpler."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "shape": ClaimPart(
            statement="Where shape and texture conflict, robust networks decide by shape more than standard ones.",
            rule=f"Shown if, in every seed, the robust network's shape bias exceeds the plain one's by more than {GAP} "
            f"at an amplitude of the gratings of {' or '.join(map(str, FAINT))}/255, chosen on other images, "
            f"with at least {CUES:.0%} of the decisions of both for a cue, and is larger at {STRONG}/255, too, by "
            "paired intervals; contradicted if it is smaller at one of the two.",
        ),
        "low-frequency": ClaimPart(
            statement="Robust networks go by low frequencies more than standard ones.",
            rule="Shown if on hybrids of two images of CIFAR-10 the robust network decides for the blurred one more "
            "often, by the interval over the seeds; contradicted if less often.",
        ),
        "smoothness": ClaimPart(
            statement="Robust networks are smoother: pixel noise disturbs them less.",
            rule=f"Shown if under Gaussian noise of deviation {NOISE:g}, on images that both classify correctly, the "
            "robust network is the more accurate one, noise raises the total variation of its first layer's maps by a "
            "smaller factor, and its first filters vary less, by intervals over the seeds; contradicted if one of the "
            "three is the other way round.",
        ),
        "concept-level": ClaimPart(
            statement="Robust networks have more detectors of colours and textures, and fewer of objects.",
            rule="Shown if the share of colours and textures among the detectors of the last two layers, on composites "
            "with known places and at one threshold, is higher in the robust network, by the interval over the seeds; "
            "contradicted if it is lower.",
        ),
        "input-kinds": ClaimPart(
            statement="Units of robust networks respond to fewer kinds of input.",
            rule=f"Shown if the {TOP} images that activate a unit of the last layer most are nearer to each other in "
            "the features of a third network, on the mean over units, in the robust network, by the interval over the "
            "seeds; contradicted if they are farther apart.",
        ),
        "scrambling": ClaimPart(
            statement="Scrambling the tiles of an image costs robust networks more than standard ones.",
            rule="Shown if on images that both classify correctly the robust network is less accurate on 4 x 4 "
            "scrambled tiles, by the interval over the seeds; contradicted if it is more accurate.",
            central=False,
        ),
        "stylised": ClaimPart(
            statement="On ImageNet, robust networks decide for the shape of stylised images.",
            untried="needs networks that were trained adversarially on ImageNet, and style transfer; on your own "
            "models and images, `unshaken explain cue-conflict` does it.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "directions; shape bias of standard networks on ImageNet: AlexNet 25.3 %, VGG-16 9.2 %",
        **pilot("hybrid.plain 0.549, hybrid.robust 0.944, kernel_tv.plain 5.63, kernel_tv.robust 3.76"),
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.chosen.difference": ("Shape bias under faint gratings, robust minus plain", "share"),
        "seed*.strong.difference": (f"The same at {STRONG}/255", "share"),
        "gain.low_frequency": ("Decisions for low frequencies, robust minus plain", "share"),
        "gain.noise": ("Accuracy under Gaussian noise, robust minus plain", "share"),
        "gain.tv_ratio": ("Variation added by noise, first layer, plain minus robust", "ratio"),
        "gain.kernel_tv": ("Variation of first filters, plain minus robust", "ratio"),
        "gain.low_level": ("Colours and textures among detectors, robust minus plain", "share"),
        "gain.distance": ("Distance between a unit's top images, plain minus robust", "distance"),
        "gain.scrambled": ("Accuracy on scrambled tiles, plain minus robust", "share"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Networks of about 20,000 parameters on CIFAR-10 and Fashion-MNIST; the robust ones are weak.",
        "Shape and texture conflict in outlines of garments filled with faint gratings, not in stylised photos: a "
        "texture fainter than the attack's budget must be dropped, so that only the strong one says more.",
        "Concepts are plain colours, gratings, noise and objects put together here; Broden cannot be had.",
        "Kinds of input are judged by distances in the features of another small network, a proxy.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "strided-cnn"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "answers": {"model": "string", "stimulus": "string", "correct": "bool"},
        "cues": {"first": "int32", "second": "int32", "decision": "int32"},
        "layers": {"model": "string", "quantity": "string", "value": "double"},
    }
    chooses: ClassVar[Mapping[str, str]] = {"cues": "*.choosing"}
    full: ClassVar[Mapping[str, Any]] = {
        "images": 40_000,
        "epochs": 20,
        "tested": 4000,
        "outlines": 6000,
        "outline_tests": 3000,
        "composites": 1000,
    }

    seeds: int = Field(3, ge=2, description="networks of each kind")
    images: PositiveInt = Field(10_000, description="training images")
    epochs: PositiveInt = Field(10, description="epochs of training")
    tested: PositiveInt = Field(1500, description="test images")
    attacked: PositiveInt = Field(200, description="test images under attack")
    steps: PositiveInt = Field(2, description="steps of the inner attack of adversarial training")
    garments: str = Field("fashion-mnist", description="SPEC of the images whose outlines are taken")
    outlines: PositiveInt = Field(3000, description="outlines to learn from")
    outline_tests: PositiveInt = Field(900, description="outlines to choose and judge by, one third and two thirds")
    outline_epochs: PositiveInt = Field(8, description="epochs of training on outlines")
    composites: PositiveInt = Field(400, description="images with known concepts")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        gain = measured["gain"]
        words = {
            "low_frequency": ("low-frequency", "decisions for low frequencies, robust minus plain"),
            "noise": ("smoothness", f"accuracy under noise {NOISE:g}, robust minus plain"),
            "tv_ratio": ("smoothness", "variation added by noise in the first layer, plain minus robust"),
            "kernel_tv": ("smoothness", "variation of first filters, plain minus robust"),
            "low_level": ("concept-level", "colours and textures among detectors, robust minus plain"),
            "distance": ("input-kinds", "distance between a unit's top images, plain minus robust"),
            "scrambled": ("scrambling", "accuracy on 4 x 4 scrambled tiles, plain minus robust"),
        }
        checks = [decide(part, text, gain[name]) for name, (part, text) in words.items() if name in gain]
        return [*in_every_seed(measured, self._shape), *checks]

    def _shape(self, part: Mapping[str, Any]) -> list[Check]:
        checks = []
        for name, above in (("chosen", GAP), ("strong", 0.0)):
            one = part[name]
            words = f"shape bias at {one['amplitude']}/255, robust minus plain"
            for net in (PLAIN, ROBUST):
                share = one[net]["cue_share"]["value"]
                checks.append(Check(f"{words}: {share:.1%} of {net}'s decisions for a cue", share >= CUES, "shape"))
            if one.get("difference"):
                checks.append(decide("shape", words, one["difference"], above=above))
            else:
                checks.append(Check(f"{words}: one decides for no cue", False, "shape"))
        return checks
