"""The row of UnsafeBench: sources by hand, its rule both ways, figures from rows, a tiny run on pictures made here."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from tests.papers.tiny import Tiny, make_colours, untrained_cnn
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.attack.minimal_norm.deepfool import DeepFool
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, MissingExtra, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.moderation.policy_conditional import fit_conditional
from unshaken.detect.moderation.policy_heads import PolicyHeads
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.papers.rows import Rows
from unshaken.store.run_dir import RunDir
from unshaken_papers.unsafebench import UnsafeBenchPaper
from unshaken_papers.unsafebench.experiment import Moderation, Probabilities
from unshaken_papers.unsafebench.figures import Figures
from unshaken_papers.unsafebench.sets import collected_for, painted, poster, sources


class Bright(Detector):
    """Pictures are flagged by their brightness."""

    def score(self, forward: ForwardPass, bank: Bank) -> torch.Tensor:
        """The mean of the pixels."""
        return forward.pixels.mean((1, 2, 3)).double()


class Ghost(Detector):
    """A classifier whose package is absent."""

    def score(self, forward: ForwardPass, bank: Bank) -> torch.Tensor:
        """Nothing."""
        raise MissingExtra("ghost", "safety", "detector 'ghost'")


TINY = Tiny(
    make=make_colours,
    parameters={"photos": "parquet:{folder}/colours.parquet?split=test"},
    model=untrained_cnn(4),
    patches={
        "unshaken_papers.unsafebench.experiment.fit_conditional": partial(fit_conditional, steps=40),
        "unshaken_papers.unsafebench.harmless.ADAPTERS": {"bright": (Bright(), 0.35), "ghost": (Ghost(), 0.5)},
    },
)
"""How the battery runs the row, beside its tiny sizes."""


def test_a_poster_has_six_levels_and_dark_edges():
    flat = torch.full((1, 3, 5, 5), 0.47)
    assert torch.allclose(poster(flat), torch.full_like(flat, 0.4))
    step = torch.zeros(1, 3, 4, 6)
    step[..., 3:] = 1
    assert poster(step)[0, 0, 1].tolist() == [0, 0, 0, 0, 1, 1]  # the first white column is drawn over


def test_a_painting_is_of_medians_with_strong_colours():
    x = torch.full((1, 3, 7, 7), 0.5)
    x[:, :, 3, 3] = 1
    assert torch.allclose(painted(x), torch.full_like(x, 0.5))
    colour = torch.tensor([0.6, 0.5, 0.5]).view(1, 3, 1, 1).expand(1, 3, 7, 7)
    assert painted(colour)[0, :, 3, 3].tolist() == pytest.approx([0.6, 0.42, 0.42], abs=1e-6)


def test_both_sources_have_one_content_and_one_file_form():
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    pair = sources(Batch(images, torch.tensor([0, 1]), ("a", "b")), "poster", 32)
    assert pair.images["real"].shape == pair.images["ai"].shape == (2, 3, 32, 32)
    for x in pair.images.values():
        assert torch.equal((x * 255).round() / 255, x)
    assert not torch.equal(pair.images["real"], pair.images["ai"])
    assert pair[slice(1, 2)].ids == ("b",)


def test_each_category_has_safe_images_of_its_own():
    assert collected_for(torch.arange(6), (1, 4), 6).tolist() == [0, 0, 1, 0, 1, 1]
    with pytest.raises(DataError, match="leave 1 safe ones"):
        collected_for(torch.arange(4), (0, 1, 2), 4)


SHOWN, CONTRADICTED, NOT_VISIBLE = Outcome.SHOWN, Outcome.CONTRADICTED, Outcome.NOT_VISIBLE
SHORT = Outcome.SHORT


def figure(value, reach=0.01):
    return {"value": value, "low": value - reach, "high": value + reach}


def figures(
    lost=(0.2, 0.21, 0.22), left=(0.05, 0.05, 0.05), worst=0.1, categories=(0.6, 0.8), informed=0.9, other=0.8,
    masking=0.3,
):  # fmt: skip
    """Figures with which every part is shown, unless told otherwise."""
    cells = {end: figure(value) for end, value in zip(("worst", "best"), categories, strict=True)}
    return {
        "gap_by_seed": {
            arm: {f"s{i}": gap for i, gap in enumerate(gaps)} for arm, gaps in (("real", lost), ("half", left))
        },
        "uneven": {**cells, "worst_category": "cat", "best_category": "ship"},
        "robust": {"1": {"worst": figure(worst), "masking": {"deepfool": figure(masking)}}},
        "policies": {
            "negatives-0.5": {"own-removed.unsafe": figure(informed), "other-removed.unsafe": figure(other)},
            "negatives-0": {"own-removed.unsafe": figure(0.2)},
        },
        "false_alarms": {"nudenet": {"value": 0.03}},
        "left_out": "opennsfw needs a package",
    }


def outcomes(measured):
    judged = judge_parts(UnsafeBenchPaper.parts, UnsafeBenchPaper().judge(measured))
    return {part.name: part.outcome for part in judged if not part.untried}


def test_every_part_is_shown():
    assert set(outcomes(figures()).values()) == {SHOWN}


@pytest.mark.parametrize(
    ("options", "part", "expected"),
    [
        ({"lost": (0.03, 0.05, 0.04), "left": (0.01, 0.01, 0.01)}, "ai-gap", NOT_VISIBLE),
        ({"lost": (-0.1, -0.11, -0.12)}, "ai-gap", CONTRADICTED),
        ({"left": (0.15, 0.15, 0.15)}, "both-kinds", SHORT),  # smaller, but more than half
        ({"left": (0.0, 0.1, 0.2)}, "both-kinds", NOT_VISIBLE),
        ({"left": (0.3, 0.31, 0.32)}, "both-kinds", CONTRADICTED),
        ({"worst": 0.495}, "fragile", NOT_VISIBLE),
        ({"worst": 0.6}, "fragile", CONTRADICTED),
        ({"categories": (0.6, 0.615)}, "uneven", NOT_VISIBLE),
        ({"categories": (0.8, 0.6)}, "uneven", CONTRADICTED),
        ({"informed": 0.21}, "policy", NOT_VISIBLE),
        ({"informed": 0.1}, "policy", CONTRADICTED),
        ({"other": 0.505}, "policy", NOT_VISIBLE),
        ({"other": 0.4}, "policy", CONTRADICTED),
        ({"masking": 0.005}, "masking", NOT_VISIBLE),
        ({"masking": -0.3}, "masking", CONTRADICTED),
    ],
)
def test_what_the_figures_do_not_show(options, part, expected):
    assert outcomes(figures(**options))[part] == expected


def test_thresholds_are_set_on_photos_that_the_heads_did_not_learn(monkeypatch):
    kept = []
    monkeypatch.setattr(PolicyHeads, "fit", lambda self, data: kept.append(data))
    split = SimpleNamespace(classes=4)
    anatomy = SimpleNamespace(penultimate="penultimate", head=None)
    moderation = SimpleNamespace(
        parts=SimpleNamespace(training=split), anatomy=anatomy, model=SimpleNamespace(name="net"),
        paper=SimpleNamespace(flagged=(0, 1)),
    )  # fmt: skip
    seen = {source: torch.arange(40.0)[:, None] + 100 * (source == "ai") for source in ("real", "ai")}
    for arm in ("real", "ai", "half"):
        Moderation.fitted(moderation, seen, torch.arange(40) % 4, arm)
        learned, tuned = (rows.flatten() % 100 for rows in (kept[-1].rows["penultimate"],
                                                             kept[-1].tune.features["penultimate"]))  # fmt: skip
        assert sorted([*learned.tolist(), *tuned.tolist()]) == list(range(40))
        assert len(tuned) == 8


def test_the_best_and_the_worst_category_are_chosen_by_other_photos(finished):
    figures = Figures(Rows(RunDir(finished("unsafebench").out), "unsafebench", 0), [0, 1])
    for (seed, _, _), rows in figures.rows.items():
        for r in rows.values():
            right = r["category"] == seed or not r["unsafe"]
            r["margins"] = [1.0 if r["unsafe"] == right else -1.0] * 2
    found, first = figures.uneven(), figures.names[0]
    assert found["best_category"] == first != found["worst_category"]
    assert found["best"]["value"] < found["worst"]["value"]


def test_one_seed_shows_no_gap():
    found = outcomes(figures(lost=(0.2,), left=(0.05,)))
    assert (found["ai-gap"], found["both-kinds"]) == (NOT_VISIBLE, NOT_VISIBLE)


def test_the_remark_says_what_stands_beside():
    remark = UnsafeBenchPaper().remark(figures())
    for words in ("nudenet 3.0%", "Left out: opennsfw needs"):
        assert words in remark


def test_figures_are_those_of_the_rows(finished):
    run = finished("unsafebench")
    result, rows = run.result, RunDir(run.out).rows("unsafebench_moderation").to_pylist()
    f1 = {}
    for arm in ("real", "ai", "half"):
        for source in ("real", "ai"):
            mine = [r for r in rows if (r["arm"], r["source"]) == (arm, source)]
            truth, flagged = [r["unsafe"] for r in mine], [max(r["margins"]) > 0 for r in mine]
            f1[arm, source] = f1_score(truth, flagged)
            assert len(mine) == 40
            assert result.measured[f"f1.{arm}.{source}.pooled"]["value"] == pytest.approx(f1[arm, source])
            for k, name in enumerate(("0", "2")):
                here = [(r["unsafe"], max(r["margins"]) > 0) for r in mine if r["category"] == k]
                assert {u for u, _ in here} == {True, False}
                got = result.measured[f"f1.{arm}.{source}.categories.{name}"]
                assert got["value"] == pytest.approx(f1_score(*zip(*here, strict=True)))
        assert result.measured[f"gap.{arm}"]["value"] == pytest.approx(f1[arm, "real"] - f1[arm, "ai"])
    assert f1["real", "real"] > result.measured["baselines.always_unsafe"] == pytest.approx(2 / 3, abs=1e-4)
    assert result.measured["baselines.prevalence"] == 0.5


def test_robust_accuracy_starts_at_one_and_never_rises(finished):
    """Images were chosen right, noise of the published budget does nothing, and a larger ball holds the smaller."""
    result = finished("unsafebench").result
    assert result.measured["robust.clean"]["value"] == 1
    assert result.measured["robust.noise_l2_0.01"]["value"] == 1
    worst = [result.measured[f"robust.{e}.worst"]["value"] for e in ("0.5", "1", "2", "4")]
    assert worst == sorted(worst, reverse=True)
    for e in ("0.5", "1", "2", "4"):
        each = [result.measured[f"robust.{e}.{name}"]["value"] for name in ("fgsm", "pgd", "deepfool")]
        assert result.measured[f"robust.{e}.worst"]["value"] <= min(each)


def test_probabilities_mislead_deepfool_and_no_attack_that_takes_a_sign():
    """With a margin of m = 10 (x - 0.5) at 0.9 the boundary is 0.4 away, and by probabilities sinh(4) / 10 = 2.7."""
    net = nn.Linear(1, 2)
    net.weight.data, net.bias.data = torch.tensor([[-5.0], [5.0]]), torch.tensor([2.5, -2.5])
    model = Classifier(nn.Sequential(nn.Flatten(), net)).eval()
    batch = Batch(torch.full((1, 1, 1, 1), 0.9), torch.tensor([1]), ("a",))

    def broken(attack, target):
        (found,), _ = attack.attack(Oracle(target), batch, norm="linf", eps=[0.5])
        return bool(found.fooled)

    masked = Classifier(Probabilities(model)).eval()
    for attack in (FGSM(), PGD(steps=5, rel_stepsize=0.5), DeepFool()):
        assert broken(attack, model)
        assert broken(attack, masked) == (attack.info.name != "deepfool")


def test_policies_and_false_alarms(finished):
    run = finished("unsafebench")
    result, kept = run.result, RunDir(run.out)
    assert (
        result.measured["left_out"]
        == "detector 'ghost' needs the package 'ghost', which is absent: pip install 'unshaken[safety]'"
    )
    rows = kept.rows("unsafebench_false_alarms").to_pylist()
    assert result.measured["false_alarms.bright"]["value"] == sum(r["score"] >= 0.35 for r in rows) / 8
    answers = kept.rows("unsafebench_policy_answers").to_pylist()
    for r in answers:
        assert r["target"] == (r["kind"] == "unsafe" and r["case"] != "own-removed")
    own = {
        seed: [
            not r["answer"]
            for r in answers
            if (r["case"], r["kind"], r["condition"]) == ("own-removed", "unsafe", f"{seed}.conditional-0.5")
        ]
        for seed in ("s0", "s1")
    }
    mean = np.mean([np.mean(answers) for answers in own.values()])
    assert result.measured["policies.negatives-0.5.own-removed.unsafe"]["value"] == pytest.approx(mean)

    rows = [r for r in kept.rows("unsafebench_moderation").to_pylist() if r["arm"] == r["source"] == "real"]
    others = [r["margins"][1 - r["category"]] <= 0 for r in rows if r["unsafe"]]
    assert result.measured["policies.heads.own-removed.unsafe"]["value"] == pytest.approx(np.mean(others))


def test_a_category_without_anything_has_no_f1(finished):
    figures = Figures(Rows(RunDir(finished("unsafebench").out), "unsafebench", 0), [0, 1])
    for rows in figures.rows.values():
        for r in rows.values():
            if r["category"] == 1:
                r.update(unsafe=False, margins=[-1.0, -1.0])
    cells = figures.cells("real", "real")
    assert cells["categories"]["2"] is None
    assert figures.uneven()["best_category"] == figures.uneven()["worst_category"]
    assert cells["macro"] == pytest.approx(cells["categories"]["0"]["value"], abs=1e-4)


def test_what_cannot_be_run(finished, tmp_path):
    run = finished("unsafebench")
    with pytest.raises(DataError, match="3 seeds want 180 and 60"):
        run_paper(run.text.replace("seeds=2", "seeds=3"), out=tmp_path / "a", data=run.data, model=run.model)
    for flagged in ("0+0", "0+7"):
        other = run.text.replace("flagged=0+2", f"flagged={flagged}")
        with pytest.raises(ParameterError, match="name each class once, of 0 to 3"):
            run_paper(other, out=tmp_path / flagged, data=run.data, model=run.model)
