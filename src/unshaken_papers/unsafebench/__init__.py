"""`unsafebench`: do image safety classifiers lose on AI-made images, and under tiny changes?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, PlusSeparated, decide
from unshaken.papers.effects import across_seeds, complement, unpaired, values_of

GAP, SHRUNK, MOST = 0.03, 0.5, 0.5
REAL, AI = "real", "ai"
SOURCES = (REAL, AI)
ARMS = (REAL, AI, "half")
"""What heads learn from: photos, copies, or half of each."""
CASES = ("whole", "own-removed", "other-removed")
"""What a policy asks for: every category, all but the image's own, all but another one."""
LEVELS = ("0.5", "1", "2", "4")
"""Radii of attacks, in steps of 8-bit pixels."""
MASKED = "masked-"
"""Before the names of attacks that are given probabilities in the place of logits."""
Style = Literal["poster", "painted"]


@register("unsafebench", reference="Qu et al. 2025, arXiv:2405.03486")
class UnsafeBenchPaper(Paper):
    """Does a moderator that learned from photos lose on AI-made images, and does learning from both mend it?

    A neutral policy stands in: five classes of CIFAR-10 are "unsafe", stylised copies are "AI-made". Heads on frozen
    features learn from photos, from copies, or from half of each; they are attacked, and a head that is told the policy
    is asked about categories left out. Ready-made classifiers of nudity see harmless photos only.
    """

    title: ClassVar[str] = "UnsafeBench: Benchmarking Image Safety Classifiers on Real-World and AI-Generated Images"
    claim: ClassVar[str] = (
        "Existing image safety classifiers cover categories unevenly, lose F1 on AI-generated images, and break under "
        "tiny perturbations; a moderator that is tuned on both kinds, with the policy as its input, reaches an overall "
        "F1 of 0.810 on six sets."
    )
    summary: ClassVar[str] = "Safety classifiers lose F1 on AI-made images; learning from both kinds narrows the gap."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "ai-gap": ClaimPart(
            statement="Classifiers that learned from photos lose F1 on AI-generated images.",
            rule="With stand-ins for policy and images: shown if over the seeds heads that learned from photos lose "
            "more than 0.03 of pooled F1 on the stylised copies; contradicted if they gain.",
        ),
        "both-kinds": ClaimPart(
            statement="A moderator that learned from both kinds is good on both.",
            rule="Shown if over the seeds heads that learned from as many images, half of each, have a smaller gap, "
            "and less than half of it; contradicted if theirs is larger.",
        ),
        "fragile": ClaimPart(
            statement="Classifiers break under tiny perturbations.",
            rule="Shown if attacks at 1/255, of disjoint photos over all seeds, take away more than half of the right "
            "answers; contradicted if fewer.",
        ),
        "existing-classifiers": ClaimPart(
            statement="It is existing safety classifiers that lose on AI-generated images, and that break.",
            untried="No unsafe image is used here: heads that learn a neutral policy and stylised copies stand in; "
            "needs the published images, and the classifiers.",
        ),
        "uneven": ClaimPart(
            statement="Classifiers cover categories unevenly.",
            rule="Shown if, of heads from photos, the F1 of the category that is best on the first seed's photos lies "
            "above that of the one that is worst there, on the photos of the other seeds, beyond both intervals; "
            "contradicted if it lies below.",
            central=False,
        ),
        "policy": ClaimPart(
            statement="A moderator takes the policy as its input: an image is unsafe only if the policy has its "
            "category.",
            rule="Shown if, over all seeds, a head that is told the policy, and learned from policies with the own "
            "category left out, lets through more unsafe images of a category left out than one that did not, beyond "
            "both intervals, and still flags most of them when another category is left out.",
            central=False,
        ),
        "moderator-f1": ClaimPart(
            statement="A vision-language model that is tuned on both kinds reaches an overall F1 of 0.810 on six sets.",
            untried="No vision-language model is tuned here, and none of the six sets is used.",
            central=False,
        ),
        "masking": ClaimPart(
            statement="Attacks are given probabilities in the place of logits, by which classifiers look more robust.",
            rule="Shown if at 1/255 more right answers survive DeepFool that is given probabilities than DeepFool on "
            "logits, by the interval paired over the photos of all seeds; contradicted if fewer. FGSM and PGD decide "
            "nothing: with two classes the one gradient is a positive multiple of the other, and they take its sign.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "10,146 images, 4,048 unsafe (prevalence 0.399); overall F1 of PerspectiveVision 0.810 on six "
        "sets (abstract); F1 by cell was not found",
        "gap": {REAL: "0.1 to 0.3 (expected before the run)", "half": "at most half of it"},
        "robust": {"clean": 1.0, "noise_l2_0.01": "about 1: 2.6e-5 a value is far below one 8-bit step"},
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "gap.real": ("Lost on stylised copies, heads that learned from photos", "F1"),
        "gap.half": ("Lost on stylised copies, heads that learned from half of each", "F1"),
        "f1.real.real.pooled": ("Learned from photos, on photos", "F1"),
        "f1.real.ai.pooled": ("Learned from photos, on copies", "F1"),
        "f1.half.real.pooled": ("Learned from half of each, on photos", "F1"),
        "f1.half.ai.pooled": ("Learned from half of each, on copies", "F1"),
        "baselines.always_unsafe": ("Always answering unsafe", "F1"),
        "robust.noise_l2_0.01": ("Right answers that survive l2 noise of 0.01", "share of images"),
        "robust.1.worst": ("Right answers that survive attacks at 1/255", "share of images"),
        "policies.negatives-0.5.own-removed.unsafe": (
            "Let through once the policy leaves the category out",
            "share of images",
        ),
    }
    differs: ClassVar[Sequence[str]] = (
        "No unsafe image was used: five classes of CIFAR-10 are the unsafe ones, stylised copies the AI-made images.",
        "Heads on frozen features of an ImageNet network are what learns.",
        "False alarms on harmless photos are no part of the claim.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "imagenet:efficientnet-lite0"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "moderation": {
            "seed": "int64", "arm": "string", "source": "string", "category": "int64", "name": "string",
            "unsafe": "bool", "margins": "double[]",
        },
        "policy_answers": {"kind": "string", "case": "string", "target": "bool", "answer": "bool"},
        "false_alarms": {"threshold": "double", "score": "double"},
        "left_out": {"reason": "string"},
    }  # fmt: skip
    """`moderation`: one row an image: the category it counts for, whether it is unsafe, and each head's logit over its
    threshold. `policy_answers`: one row an image and policy, with the answer of the head that is told the policy.
    `false_alarms`: P(unsafe) of a harmless photo, and the threshold above which the package flags."""

    full: ClassVar[Mapping[str, Any]] = {"train": 2000, "seeds": 10, "attacked": 60, "steps": 20}

    train: PositiveInt = Field(1500, description="photos to learn from in each seed, a fifth for thresholds", ge=50)
    test: PositiveInt = Field(1000, description="photos judged in each seed, with their copies", ge=20)
    seeds: PositiveInt = Field(5, description="disjoint groups of photos, two at least", ge=2)
    side: PositiveInt = Field(96, description="height and width in pixels to which images are enlarged")
    style: Style = Field("poster", description="of the copies: six levels with edges, or medians with strong colours")
    flagged: Annotated[tuple[NonNegativeInt, ...], PlusSeparated] = Field(
        (3, 5, 6, 8, 9),
        description="classes that the policy does not allow, as 3+5; of CIFAR-10 cat, dog, frog, ship and truck",
    )
    attacked: PositiveInt = Field(40, description="photos attacked in each seed", ge=2)
    steps: PositiveInt = Field(10, description="of PGD")
    photos: str = Field("imagenet-sample", description="SPEC of harmless photos; empty for no such part")
    harmless: PositiveInt = Field(300, description="how many of them")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        gaps = measured["gap_by_seed"]
        real, half = (values_of(list(gaps[arm].values())) for arm in (REAL, "half"))
        words = "gap of heads from photos minus that of heads from half of each"
        shrunk, halved = (across_seeds(share * real - half, low=-2.0, high=2.0) for share in (1, SHRUNK))
        lost = complement(measured["robust"]["1"]["worst"])
        told, untold = (measured["policies"][f"negatives-{share:g}"] for share in (0.5, 0))
        own, other = "own-removed.unsafe", "other-removed.unsafe"
        flagged = "unsafe images flagged when another category is left out"
        gap = across_seeds(real, low=-2.0, high=2.0)
        return [
            decide("ai-gap", "heads from photos, F1 on photos minus F1 on copies", gap, above=GAP),
            decide("both-kinds", words, shrunk),
            decide("both-kinds", f"half the {words}", halved, opposed_below=-2),
            decide(
                "fragile", "share of right answers lost under attacks at 1/255", lost, above=MOST, opposed_below=MOST
            ),
            self._uneven(measured["uneven"]),
            decide(
                "policy",
                "unsafe images let through once the category is left out, learned so minus not, intervals apart",
                unpaired(told[own], untold[own]),
            ),
            decide("policy", flagged, told[other], above=MOST, opposed_below=MOST),
            decide(
                "masking",
                "share of right answers that survive DeepFool at 1/255, given probabilities less given logits",
                measured["robust"]["1"]["masking"]["deepfool"],
            ),
        ]

    def _uneven(self, found: Mapping[str, Any]) -> Check:
        if not {"best", "worst"} <= {*found}:
            return Check("no two categories have an F1", False, "uneven")
        words = f"F1 of {found['best_category']} minus that of {found['worst_category']}, intervals apart"
        return decide("uneven", words, unpaired(found["best"], found["worst"]))

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        alarms = ", ".join(f"{name} {v['value']:.1%}" for name, v in measured["false_alarms"].items())
        parts = [f"Harmless photos flagged by ready-made classifiers: {alarms}."] if alarms else []
        if measured["left_out"] != "nothing":
            parts.append(f"Left out: {measured['left_out']}.")
        return " ".join(parts)
