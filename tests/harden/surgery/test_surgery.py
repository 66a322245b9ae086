"""Weight surgery against numbers by hand: projection, adding and removing, quantisers, batch norms, descent, files."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.surgery.surgery import (
    Signature,
    Trial,
    add,
    best_trial,
    body_of,
    checksum,
    choose,
    coefficients,
    extract,
    interpolate,
    load_signature,
    matched_noise,
    norm_keys,
    orthogonal,
    patch,
    quantised,
    re_estimate,
    relative_change,
    save_signature,
    size_report,
    subtract,
)
from unshaken.models.loaders.from_run import save_model
from unshaken.models.networks.small import SmallNet

LAYERS, CLASSIFIER = (("a.weight",), ("b.weight", "b.bias")), ("head.weight",)


def weights(seed, classes=3):
    draw = torch.Generator().manual_seed(seed)
    shapes = {"a.weight": (4, 2), "b.weight": (3, 4), "b.bias": (3,), "head.weight": (classes, 3)}
    return {k: torch.randn(s, generator=draw) for k, s in shapes.items()}


def moved(start, seed, size=0.1):
    return {k: v + size * weights(seed, start["head.weight"].shape[0])[k] for k, v in start.items()}


@pytest.fixture
def family():
    start = weights(0)
    return start, moved(start, 1), moved(start, 2)


def taken(family, **options):
    return Signature.extract(*family, layers=LAYERS, classifier=CLASSIFIER, **options)


# The projection.


def test_projection_by_hand():
    found = orthogonal(torch.tensor([5.0, 1.0]), torch.tensor([3.0, 4.0]))
    assert found.tolist() == pytest.approx([2.72, -2.04], abs=1e-6)
    assert orthogonal(torch.tensor([6.0, 8.0]), torch.tensor([3.0, 4.0])).abs().max() < 1e-6
    assert torch.equal(orthogonal(torch.tensor([6.0, 8.0]), torch.zeros(2)), torch.tensor([6.0, 8.0]))


def test_each_tensor_is_orthogonal_to_the_clean_change(family):
    start, standard, _ = family
    for key, value in taken(family).tensors.items():
        a = (standard[key] - start[key]).double()
        assert abs(float((value * a).sum())) <= 1e-6 * float(value.norm() * a.norm())


def test_over_the_whole_vector_only_the_sum_is_orthogonal(family):
    start, standard, _ = family
    parts = {
        k: float((v * (standard[k] - start[k])).sum()) for k, v in taken(family, projection="whole").tensors.items()
    }
    assert abs(sum(parts.values())) < 1e-6
    assert max(abs(v) for v in parts.values()) > 1e-3


def test_robust_weights_equal_to_the_standard_ones_leave_nothing(family):
    start, standard, _ = family
    assert all(v.abs().max() < 1e-7 for v in taken((start, standard, standard)).tensors.values())


# Adding and removing.


def test_the_plain_difference_gives_the_robust_weights(family):
    _, standard, robust = family
    patched = taken(family, projection="none").apply(standard)
    for key in ("a.weight", "b.weight", "b.bias"):
        assert torch.allclose(patched[key], robust[key], atol=1e-6)
    assert patched["head.weight"] is standard["head.weight"]


def test_with_projection_the_clean_change_stays_in_full(family):
    start, standard, robust = family
    patched = taken(family).apply(standard)
    for key in ("a.weight", "b.weight", "b.bias"):
        a, d = standard[key] - start[key], robust[key] - start[key]
        assert torch.allclose(patched[key], robust[key] + (1 - (d * a).sum() / (a * a).sum()) * a, atol=1e-6)


def test_removal_is_exact_within_a_rounding_of_the_larger(family):
    base = family[1]
    signature = taken(family).scaled(1000)
    patched = signature.apply(base, 0.7)
    back = signature.remove(patched, 0.7)
    for key, value in base.items():
        largest = torch.maximum(value.abs(), patched[key].abs())
        ulp = torch.nextafter(largest, torch.tensor(math.inf)) - largest
        assert bool(((back[key] - value).abs() <= ulp).all())


def test_factors_add_up_and_patches_commute(family):
    base, start = family[1], family[0]
    one = taken(family)
    two = taken((start, base, moved(start, 3)))
    twice = one.apply(one.apply(base, 0.25), 0.5, unchecked=True)
    assert torch.allclose(twice["a.weight"], one.apply(base, 0.75)["a.weight"], atol=1e-6)
    forth, back = patch(base, [one, two], [0.5, 0.3]), patch(base, [two, one], [0.3, 0.5])
    assert torch.allclose(forth["b.weight"], back["b.weight"], atol=1e-6)
    assert torch.allclose(forth["b.bias"], base["b.bias"] + 0.5 * one.tensors["b.bias"] + 0.3 * two.tensors["b.bias"])


def test_official_scaling_squares():
    assert coefficients(1.0, 2, official_scaling=True) == [0.25, 0.25]
    assert coefficients(1.0, 1, official_scaling=True) == [1.0]
    assert coefficients(0.5, 1) == [0.5]
    with pytest.raises(ParameterError, match="signatures=0"):
        coefficients(1.0, 0)


def test_the_first_layers_alone(family):
    signature = taken(family, first=1)
    assert list(signature.tensors) == ["a.weight"]
    assert list(taken(family).first(1).tensors) == ["a.weight"]
    with pytest.raises(ParameterError, match="layers=3: there are 2"):
        taken(family, first=3)


def test_wise_ft_ends_are_the_ends_and_a_linear_model_is_affine(family):
    start, end, _ = family
    for alpha, there in ((0.0, start), (1.0, end)):
        assert all(torch.equal(v, there[k]) for k, v in interpolate(start, end, alpha).items())
    images = torch.randn(5, 3)
    logits = [images @ interpolate(start, end, a)["head.weight"].T for a in (0.0, 0.25, 1.0)]
    assert torch.allclose(logits[1], 0.75 * logits[0] + 0.25 * logits[2], atol=1e-6)
    with pytest.raises(ParameterError, match=r"alpha=1\.5"):
        interpolate(start, end, 1.5)


# Descent.


def test_weights_of_other_descent_are_refused(family):
    signature, stranger = taken(family), weights(9)
    with pytest.raises(ModelError, match="neither those that the signature was taken beside"):
        signature.apply(stranger)
    assert torch.allclose(
        signature.apply(stranger, unchecked=True)["b.bias"], stranger["b.bias"] + signature.tensors["b.bias"]
    )


def test_other_classes_and_other_data_of_the_same_descent_are_taken(family):
    start, signature = family[0], taken(family)
    base = moved(start, 7) | {"head.weight": torch.zeros(8, 3)}
    with pytest.raises(ModelError, match="known to descend"):
        signature.apply(base)
    patched = signature.apply(base, descent=[checksum(start, CLASSIFIER)])
    assert patched["head.weight"] is base["head.weight"]


def test_another_architecture_is_refused(family):
    start, standard, robust = family
    other = robust | {"a.weight": torch.zeros(5, 2)}
    with pytest.raises(ModelError, match=r"'a\.weight' has the shapes"):
        taken((start, standard, other))
    with pytest.raises(ModelError, match="only one has 'c'"):
        taken((start, standard, robust | {"c": torch.zeros(1)}))
    with pytest.raises(ModelError, match="not of the signature's architecture"):
        taken(family).apply(other)
    with pytest.raises(ModelError, match="no key 'z'"):
        Signature.extract(*family, layers=[["z"]], classifier=CLASSIFIER)
    with pytest.raises(ParameterError, match="2 alphas"):
        patch(standard, [taken(family)], [1.0, 2.0])


def test_the_checksum_sees_values_names_and_shapes_but_no_counts():
    one = {"w": torch.arange(4.0), "n.num_batches_tracked": torch.tensor(3)}
    assert checksum(one) == checksum({"w": torch.arange(4.0), "n.num_batches_tracked": torch.tensor(4)})
    others = [{"w": torch.arange(4.0).view(2, 2)}, {"v": torch.arange(4.0)}, {"w": torch.arange(4.0) + 1e-7}]
    assert len({checksum(one), *map(checksum, others)}) == 4


# Quantisers and size.

VALUES = torch.tensor([-1.0, -0.42, 0.1, 0.35, 1.0])


@pytest.mark.parametrize(
    ("levels", "wanted"), [(4, (-1, -1 / 3, 1 / 3, 1 / 3, 1)), (16, (-1, -0.466667, 0.066667, 0.333333, 1))]
)
def test_linear_levels_by_hand(levels, wanted):
    assert quantised(VALUES, levels).tolist() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(("levels", "largest"), [(2, 1.0), (4, 0.3333), (8, 0.1429), (16, 0.0667), (256, 0.00392)])
def test_the_largest_error_is_half_a_level(levels, largest):
    values = torch.linspace(-1, 1, 100_001)
    assert float((quantised(values, levels) - values).abs().max()) == pytest.approx(largest, abs=1e-4)


def test_ties_go_to_the_even_level_and_constants_stay():
    assert quantised(torch.tensor([0.0, 0.5, 1.5, 2.5, 3.0]), 4).tolist() == [0, 0, 2, 2, 3]
    for kind in ("linear", "log", "tanh"):
        assert quantised(torch.full((3,), 0.25), 4, kind).tolist() == pytest.approx([0.25] * 3)


def test_logarithmic_levels_by_hand():
    found = quantised(torch.tensor([-8.0, 0.0, 0.5, 1.1, 4.5]), 6, "log")  # log2: 3, -1, 0.14, 2.17 on -1, 1, 3
    assert found.tolist() == pytest.approx([-8, 0, 0.5, 2, 8], abs=1e-5)


def test_tanh_levels_stay_finite():
    found = quantised(torch.tensor([-50.0, 0.0, 0.2, 50.0]), 3, "tanh")
    assert bool(torch.isfinite(found).all())
    assert found[1:3].tolist() == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize(("levels", "kind"), [(1, "linear"), (2, "log"), (5, "log"), (70_000, "linear"), (4, "cubic")])
def test_impossible_levels(levels, kind):
    with pytest.raises(ParameterError, match="quantiser"):
        quantised(VALUES, levels, kind)


def test_the_size_report_counts_what_is_stored(family):
    signature = taken(family, first=1)
    report = size_report(signature, family[1])
    assert (report.full, report.patched, report.bytes) == (8 + 12 + 3 + 9, 8, 32)
    assert report.ratio == 4
    assert size_report(signature.quantised(16), family[1]).bytes == 4  # 8 entries of 4 bits
    assert size_report(signature.sparse(0.25), family[1]).bytes == 1 + 8  # a bit for each place, two entries


def test_the_largest_entries_stay():
    start, standard = weights(0), weights(0)
    robust = start | {"a.weight": start["a.weight"] + torch.arange(8.0).view(4, 2)}
    found = taken((start, standard, robust), first=1).sparse(0.25).tensors["a.weight"].flatten()
    assert found.tolist() == pytest.approx([0, 0, 0, 0, 0, 0, 6, 7], abs=1e-6)
    with pytest.raises(ParameterError, match="share=0"):
        taken((start, standard, robust)).sparse(0)


# Layers, search and controls.


def test_the_search_takes_the_best_that_loses_little(family):
    base, signature = family[1], taken(family)

    def score(tried):
        step = float((tried["a.weight"] - base["a.weight"]).norm() / signature.tensors["a.weight"].norm())
        both = not torch.equal(tried["b.bias"], base["b.bias"])
        return 0.9 - 0.06 * step, 0.2 + 0.5 * step + 0.1 * both

    found = choose(base, signature, score, layers=(1, 2), alphas=(0.5, 1.0), most_lost=0.05)
    assert (found.best.layers, found.best.alpha) == (2, 0.5)
    assert found.best.robust == pytest.approx(0.55)
    assert found.base.robust == pytest.approx(0.2)
    assert len(found.trials) == 4
    assert choose(base, signature, score, layers=(2,), alphas=(1.0,), most_lost=0.05).best is None


def test_a_loss_of_just_as_much_as_allowed_is_too_much():
    base = Trial(0, 0.0, 0.434, 0.2)
    assert 0.434 - 0.384 < 0.05  # in binary
    trials = [Trial(6, 0.75, 0.384, 0.38), Trial(4, 0.5, 0.3845, 0.33)]
    assert best_trial(base, trials, 0.05) == trials[1]


def test_random_controls_have_the_norms_of_the_signature(family):
    signature = taken(family)
    noise = matched_noise(signature, 3)
    for key, value in signature.tensors.items():
        assert float(noise.tensors[key].norm()) == pytest.approx(float(value.norm()), rel=1e-5)
    assert abs(noise.cosine(signature)) < 0.9
    assert signature.cosine(signature.scaled(-2)) == pytest.approx(-1)


def test_relative_change_by_hand():
    start, end = {"w": torch.tensor([3.0, 4.0])}, {"w": torch.tensor([3.0, 5.0])}
    assert relative_change(start, end, [["w"]]) == pytest.approx([0.2])


# Batch norms.


def normed(seed):
    net = SmallNet(classes=3, channels=1, side=8)
    draw = torch.Generator().manual_seed(seed)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=draw) + 0.5)
    return net


def test_norms_are_kept_copied_or_averaged():
    start, base, one, two = (normed(i).state_dict() for i in range(4))
    body = body_of(normed(0))
    parts = [Signature.extract(start, base, r, layers=body.layers, classifier=body.classifier) for r in (one, two)]
    key = "body.3.1.running_var"
    assert key in norm_keys(base)
    assert not any(k.endswith("1.weight") for k in parts[0].tensors)
    assert torch.equal(patch(base, parts, [1, 1])[key], base[key])
    assert torch.equal(patch(base, parts, [1, 1], norms="copy")[key], two[key])
    assert torch.allclose(patch(base, parts, [1, 1], norms="mean")[key], (one[key] + two[key]) / 2)
    fresh = normed(5)
    fresh.load_state_dict(patch(base, parts, [0.5, 0.5], norms="mean"))


def test_statistics_in_one_pass_are_the_sample_weighted_means_of_the_batches():
    net = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2 * 16, 3))
    model = Classifier(net)
    draw = torch.Generator().manual_seed(0)
    batches = [torch.rand(n, 2, 4, 4, generator=draw) * (i + 1) / 3 for i, n in enumerate((8, 3, 5))]
    assert re_estimate(model, batches) == 16
    mean = sum(len(x) * x.mean((0, 2, 3)) for x in batches) / 16
    variance = sum(len(x) * x.transpose(0, 1).flatten(1).var(1, unbiased=True) for x in batches) / 16
    assert torch.allclose(net[0].running_mean, mean, atol=1e-6)
    assert torch.allclose(net[0].running_var, variance, atol=1e-6)
    assert net[0].momentum == 0.1
    before = net[0].running_mean.clone()
    re_estimate(model, [torch.zeros(4, 2, 4, 4)], alpha=0.25)
    assert torch.allclose(net[0].running_mean, 0.75 * before)
    with pytest.raises(ParameterError, match="no image"):
        re_estimate(model, [])
    assert torch.allclose(net[0].running_mean, 0.75 * before)
    with pytest.raises(ParameterError, match="alpha=2"):
        re_estimate(model, batches, alpha=2)
    with pytest.raises(ModelError, match="no batch norm"):
        re_estimate(Classifier(nn.Flatten()), batches)


# Files.


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s,
        lambda s: s.quantised(16),
        lambda s: s.quantised(5),
        lambda s: s.quantised(8, "log"),
        lambda s: s.quantised(16, "tanh"),
        lambda s: s.sparse(0.4),
        lambda s: s.sparse(0.4).quantised(4),
        lambda s: s.first(1),
    ],
)
def test_a_file_gives_back_what_was_written(family, tmp_path, change):
    signature = change(taken(family, corruption="noise"))
    save_signature(signature, tmp_path / "noise.safetensors")
    found = load_signature(tmp_path / "noise.safetensors")
    assert found.meta == signature.meta
    assert list(found.tensors) == list(signature.tensors)
    for key, value in signature.tensors.items():
        assert torch.allclose(found.tensors[key], value, atol=1e-6)


def test_damaged_and_strange_files(tmp_path):
    with pytest.raises(ModelError, match="no signature"):
        load_signature(tmp_path / "absent.safetensors")
    save_file(weights(0), tmp_path / "weights.safetensors")
    with pytest.raises(ModelError, match="is not a robustness signature"):
        load_signature(tmp_path / "weights.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense of some length")
    with pytest.raises(ModelError, match="damaged"):
        load_signature(tmp_path / "broken.safetensors")


@pytest.fixture
def runs(tmp_path):
    """Three runs of one small architecture."""
    start = normed(0)
    paths = []
    for i, name in enumerate(("start", "standard", "robust")):
        net = SmallNet(classes=3, channels=1, side=8)
        net.load_state_dict(
            {
                k: v + 0.01 * i * torch.ones_like(v) * (1 + (torch.arange(v.numel()).view(v.shape) % (i + 2)))
                if v.is_floating_point()
                else v
                for k, v in start.state_dict().items()
            }
        )
        save_model(Classifier(net), tmp_path / name, arch="small")
        paths.append(tmp_path / name)
    return paths


def test_extract_add_and_subtract_with_files(runs, tmp_path):
    start, standard, robust = runs
    report = extract(start, standard, robust, tmp_path / "s.safetensors", layers=2, corruption="noise")
    assert report.patched == 16 * 9 + 32 * 16 * 9
    add(standard, tmp_path / "s.safetensors", 0.5, tmp_path / "p.safetensors")
    signature, base = load_signature(tmp_path / "s.safetensors"), load_file(standard / "model.safetensors")
    patched = load_file(tmp_path / "p.safetensors")
    key = "body.1.0.weight"
    assert torch.allclose(patched[key], base[key] + 0.5 * signature.tensors[key])
    assert torch.equal(patched["body.2.0.weight"], base["body.2.0.weight"])
    add(
        tmp_path / "p.safetensors", tmp_path / "s.safetensors", 0.25, tmp_path / "q.safetensors"
    )  # its file bears descent
    subtract(tmp_path / "q.safetensors", tmp_path / "s.safetensors", 0.75, tmp_path / "back.safetensors")
    back = load_file(tmp_path / "back.safetensors")
    assert all(torch.allclose(back[k], v, atol=1e-6) for k, v in base.items())


def test_files_refuse_strangers_until_their_start_is_named(runs, tmp_path):
    start, standard, robust = runs
    extract(start, standard, robust, tmp_path / "s.safetensors", levels=16, keep=0.5)
    with pytest.raises(ModelError, match="known to descend"):
        add(robust, tmp_path / "s.safetensors", 1.0, tmp_path / "p.safetensors")
    add(robust, tmp_path / "s.safetensors", 1.0, tmp_path / "p.safetensors", pretrained=start, norms="copy")
    with pytest.raises(ParameterError, match="holds the base"):
        add(tmp_path / "p.safetensors", tmp_path / "s.safetensors", 1.0, tmp_path / "p.safetensors")
    save_file(load_file(start / "model.safetensors"), tmp_path / "alone.safetensors")
    alone = tmp_path / "alone.safetensors"
    with pytest.raises(ParameterError, match="give the architecture"):
        extract(alone, alone, alone, tmp_path / "t.safetensors")
    extract(alone, alone, alone, tmp_path / "t.safetensors", arch="small")
    with pytest.raises(ParameterError, match="layers=9"):
        extract(alone, alone, alone, tmp_path / "t.safetensors", arch="small", layers=9)
    with pytest.raises(ModelError, match="no weights file"):
        extract(tmp_path / "absent", alone, alone, tmp_path / "t.safetensors", arch="small")
