"""A sample's randomness: of its own, repeatable, uniform, and the same in every release."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from tests.processes import run_program
from unshaken.core import SampleRng
from unshaken.core.rng import seeded

IDS = [f"s{i}" for i in range(200)]


def rng(ids=IDS, seed=0, method="pgd"):
    return SampleRng.of(seed, method, ids)


def test_the_stream_is_pinned():
    """Numbers that a change of hash, mixing or generator would change: old runs could not be resumed or compared."""
    one = SampleRng.of(0, "pgd", ["a"])
    assert one.keys.tolist() == [8297803874481069713]
    assert one.uniform(3)[0].tolist() == [0.2387251853942871, 0.6082958579063416, 0.8535680770874023]
    assert one.fold("start").fold(2).normal(2)[0].tolist() == pytest.approx([0.4120591, -2.4376149], abs=1e-6)


def test_keys_are_blake2b_of_seed_method_and_id():
    import hashlib

    digest = hashlib.blake2b(b"7\x1fpgd\x1fimg/1.png", digest_size=8).digest()
    assert SampleRng.of(7, "pgd", ["img/1.png"]).keys.tolist() == [int.from_bytes(digest, "little", signed=True)]


def test_fold_mixes_as_splitmix64_does():
    """The published finaliser (Steele et al. 2014), in Python's whole numbers."""

    def mix(x):
        mask = 2**64 - 1
        x = (x + 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    streams = rng()
    for step in (0, 1, 77, -5):
        expected = [mix((mix(k % 2**64) + step) % 2**64) for k in streams.keys.tolist()]
        assert [k % 2**64 for k in streams.fold(step).keys.tolist()] == expected


def test_draws_are_numpys_philox():
    one = SampleRng.of(3, "x", ["a"])
    key = np.array([one.keys.numpy().view(np.uint64)[0], 0x756E7368616B656E], np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    assert one.uniform(5)[0].tolist() == generator.random(5, dtype=np.float32).tolist()
    assert (
        one.generators()[0].integers(0, 9, 4).tolist()
        == np.random.Generator(np.random.Philox(key=key)).integers(0, 9, 4).tolist()
    )


@pytest.mark.parametrize("draw", ["uniform", "normal", "integers"])
def test_alone_or_in_a_batch_the_numbers_are_the_same(draw):
    def numbers(streams):
        streams = streams.fold("use")
        return streams.integers(0, 7, 3, 5) if draw == "integers" else getattr(streams, draw)(3, 5)

    whole = numbers(rng())
    assert torch.equal(numbers(rng(IDS[::-1])).flip(0), whole)
    assert torch.equal(numbers(rng()[torch.tensor([5, 17])]), whole[[5, 17]])
    for i in (0, 99, 199):
        assert torch.equal(numbers(rng([IDS[i]]))[0], whole[i])


def test_drawing_changes_nothing_and_longer_draws_begin_the_same():
    streams = rng()
    first = streams.uniform(4)
    assert torch.equal(streams.uniform(4), first)
    assert torch.equal(streams.uniform(9)[:, :4], first)


def test_another_process_draws_the_same(tmp_path):
    code = "from unshaken.core import SampleRng; print(SampleRng.of(1, 'm', ['é', 'b']).fold('u').uniform(3).tolist())"
    assert run_program(code, tmp_path / "printed").strip() == str(
        SampleRng.of(1, "m", ["é", "b"]).fold("u").uniform(3).tolist()
    )


def test_every_part_of_the_key_matters():
    variants = [
        rng(["a"]),
        rng(["b"]),
        rng(["a"], seed=1),
        rng(["a"], method="fgsm"),
        rng(["a"]).fold("x"),
        rng(["a"]).fold("y"),
        rng(["a"]).fold(0),
        rng(["a"]).fold(1),
        rng(["a"]).fold(0).fold(1),
        rng(["a"]).fold(1).fold(0),
        SampleRng.of(1, "2", ["3"]),
        SampleRng.of(12, "", ["3"]),
        SampleRng.of(1, "23", [""]),
    ]
    assert len({tuple(v.uniform(4)[0].tolist()) for v in variants}) == len(variants)


def test_fold_takes_one_step_a_sample():
    streams = rng(IDS[:3])
    mixed = streams.fold(torch.tensor([4, 5, 6]))
    assert [mixed.keys[i].item() for i in range(3)] == [streams.fold(4 + i).keys[i].item() for i in range(3)]


def test_numbers_have_their_laws():
    streams = rng([str(i) for i in range(2000)])
    assert kstest(streams.uniform(10).flatten().numpy(), "uniform").pvalue > 1e-3
    assert kstest(streams.normal(10).flatten().numpy(), "norm").pvalue > 1e-3
    assert kstest(streams.uniform(10, low=-2, high=3).flatten().numpy(), "uniform", args=(-2, 5)).pvalue > 1e-3
    counts = torch.bincount(streams.integers(3, 8, 10).flatten(), minlength=8)
    assert counts[:3].tolist() == [0, 0, 0]
    assert len(counts) == 8
    assert float(((counts[3:] - 4000.0) ** 2 / 4000).sum()) < 20  # chi square, 4 degrees: p = 5e-4


def test_samples_and_steps_are_independent():
    streams = rng([str(i) for i in range(2000)])
    steps = torch.stack([streams.fold(s).normal(1)[:, 0] for s in range(6)])
    assert float((torch.corrcoef(steps) - torch.eye(6)).abs().max()) < 0.1
    first = streams.normal(2)
    assert abs(float(torch.corrcoef(torch.stack([first[:-1, 0], first[1:, 0]]))[0, 1])) < 0.1
    assert abs(float(torch.corrcoef(first.T)[0, 1])) < 0.1


def test_no_stream_is_met_twice():
    streams = rng([str(i) for i in range(3000)])
    keys = torch.cat([streams.keys, *(streams.fold(s).keys for s in range(20))])
    assert len(set(keys.tolist())) == len(keys)


def test_global_randomness_is_left_alone():
    state = torch.get_rng_state()
    rng().normal(5)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_samples_no_numbers():
    assert rng([]).uniform(3).shape == (0, 3)
    assert rng(["a"]).uniform().shape == (1,)


# Numbers made by hashing alone.


def test_fresh_numbers_are_hashes_of_key_and_place():
    """SplitMix64 in Python's whole numbers, cut to 24 bits."""

    def mix(x):
        mask = 2**64 - 1
        x = (x + 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    streams = rng(IDS[:5])
    expected = [[(mix((k % 2**64) ^ mix(j)) >> 40) / 2**24 for j in (1, 2, 3)] for k in streams.keys.tolist()]
    assert streams.fresh(3).tolist() == expected
    assert streams.fresh(3, low=-1, high=3)[2].tolist() == pytest.approx([4 * u - 1 for u in expected[2]], abs=1e-6)


def test_fresh_numbers_are_a_samples_own():
    whole = rng().fold(4).fresh(6)
    assert torch.equal(rng(IDS[::-1]).fold(4).fresh(6).flip(0), whole)
    for i in (0, 99, 199):
        assert torch.equal(rng([IDS[i]]).fold(4).fresh(6)[0], whole[i])
    assert torch.equal(rng().fold(4).fresh(2), whole[:, :2])
    steps = torch.arange(200) % 7
    mixed = rng().fold(steps).fresh(2)
    assert torch.equal(mixed[13], rng([IDS[13]]).fold(6).fresh(2)[0])


def test_fresh_numbers_are_uniform_and_independent():
    streams = rng([str(i) for i in range(2000)])
    drawn = streams.fresh(10)
    assert (drawn.dtype, tuple(drawn.shape)) == (torch.float32, (2000, 10))
    assert kstest(drawn.flatten().numpy(), "uniform").pvalue > 1e-3
    assert bool(((drawn >= 0) & (drawn < 1)).all())
    assert float((torch.corrcoef(drawn.T) - torch.eye(10)).abs().max()) < 0.1
    steps = torch.stack([streams.fold(s).fresh(1)[:, 0] for s in range(10)])
    assert float((torch.corrcoef(steps) - torch.eye(10)).abs().max()) < 0.1
    assert streams[slice(0, 0)].fresh(3).shape == (0, 3)


def test_noise_is_box_and_mullers_of_philoxs_words():
    one = SampleRng.of(3, "x", ["a"])
    words = np.random.Philox(key=np.array([one.keys.numpy().view(np.uint64)[0], 0x756E7368616B656E], np.uint64))
    raw = words.random_raw(3)
    parts = np.array([w >> s & 0xFFFFFFFF for w in raw.tolist() for s in (0, 32)], float)  # low word first
    radius = np.sqrt(-2 * np.log((parts[:3] + 0.5) / 2**32))
    angle = 2 * np.pi * parts[3:] / 2**32
    expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    assert one.noise(2, 3)[0].flatten().tolist() == pytest.approx(expected.tolist(), abs=2e-6)
    assert one.noise(5)[0].tolist() == one.noise(2, 3)[0].flatten()[:5].tolist()


def test_noise_is_standard_normal_and_its_two_halves_are_independent():
    noise = rng([f"s{i}" for i in range(400)]).fold("noise").noise(1, 28, 28).double()
    assert kstest(noise.flatten().numpy(), "norm").pvalue > 0.01
    halves = noise.flatten(1).view(400, 2, -1)
    for a, b in ((halves[:, 0], halves[:, 1]), (halves[:, 0].abs(), halves[:, 1].abs()), (noise[:-1], noise[1:])):
        pair = torch.stack([a.flatten(), b.flatten()])
        assert abs(float(pair.corrcoef()[0, 1])) < 4 / a.numel() ** 0.5
    assert float(noise.abs().max()) < 6.8


def test_noise_does_not_depend_on_company():
    streams = rng()
    whole = streams.noise(3, 7)
    assert torch.equal(streams[torch.tensor([5, 2])].noise(3, 7), whole[torch.tensor([5, 2])])
    assert streams[slice(0, 0)].noise(3, 7).shape == (0, 3, 7)


def test_each_step_of_each_sample_is_a_fold():
    streams, steps = rng(IDS[:2]), torch.tensor([[4, 7, 1], [7, 4, 2]])
    keys = streams.each(steps).keys.view(2, 3)
    expected = [[streams[torch.tensor([n])].fold(int(k)).keys.item() for k in steps[n]] for n in range(2)]
    assert keys.tolist() == expected


def test_ranges_are_those_asked_for():
    unit = rng().uniform(4)
    assert torch.allclose(rng().uniform(4, low=-2, high=3), 5 * unit - 2, atol=1e-6)
    assert torch.allclose(rng().uniform(4, high=3), 3 * unit, atol=1e-6)
    assert torch.equal(rng().integers(3, 8, 4), (unit * 5).long() + 3)


def test_seeded_draws_are_those_of_a_generator_and_the_state_is_put_back():
    before = torch.get_rng_state()
    with seeded(5):
        drawn = torch.rand(4)
    assert torch.equal(drawn, torch.rand(4, generator=torch.Generator().manual_seed(5)))
    with pytest.raises(RuntimeError), seeded(5):
        torch.rand(-1)
    assert torch.equal(torch.get_rng_state(), before)
