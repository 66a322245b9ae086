"""Randomness of a sample: a pure function of (run seed, method, sample id, step), whatever batch the sample is in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import send
from unshaken.core.state import State

_STREAM = 0x756E7368616B656E  # the second half of every Philox key


class SampleRng(State):
    """One key a sample, from which any number of independent streams follow.

    Drawing changes nothing: the same call gives the same numbers. Name each use with `fold`, as in
    `rng.fold("angle").uniform()` or `rng.fold(step)`.

    Args:
        keys: int64 `[N]`.
        place: device of the draws; None for that of the keys.
    """

    keys: Tensor
    place: torch.device | None = None

    @classmethod
    def of(cls, seed: int, method: str, ids: Sequence[str]) -> SampleRng:
        """The streams of one method for samples, from the run seed and the samples' ids.

        >>> one, two = SampleRng.of(0, "pgd", ["a"]), SampleRng.of(0, "pgd", ["b", "a"])
        >>> bool((one.uniform(3) == two.uniform(3)[1:]).all())
        True
        """
        keys = (_hash(f"{seed}\x1f{method}\x1f{i}") for i in ids)
        return cls(torch.from_numpy(np.fromiter(keys, np.int64, len(ids))))

    def drawn_on(self, device: torch.device) -> SampleRng:
        """The same streams, whose draws go to a device while the keys stay: no draw waits for that device."""
        return self.replace(place=device)

    @override
    def to(self, device: torch.device) -> SampleRng:
        return SampleRng(self.keys.to(device))

    def fold(self, step: str | int | Tensor) -> SampleRng:
        """The streams of a named use, a step number, or one step number a sample (int64 `[N]`)."""
        word = _hash(step) if isinstance(step, str) else step
        if isinstance(word, Tensor):
            word = word.to(self.keys.device)
        return self.replace(keys=_mix(_mix(self.keys) + word))

    def each(self, number: Tensor) -> SampleRng:
        """The streams of Q steps of each sample, row after row: for step numbers int64 `[N, Q]`, `N Q` streams.

        >>> rng = SampleRng.of(0, "rise", ["a", "b"])
        >>> steps = rng.each(torch.tensor([[4, 7], [4, 7]])).fresh(1).view(2, 2)
        >>> bool((steps[:, 1] == rng.fold(7).fresh(1)[:, 0]).all())
        True
        """
        return self.replace(keys=self.keys.repeat_interleave(number.shape[1])).fold(number.flatten())

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Float32 `[N, *shape]`, uniform in [low, high)."""
        unit = self._fill(shape, lambda generator, out: generator.random(out=out, dtype=np.float32))
        return unit if (low, high) == (0.0, 1.0) else unit.mul_(high - low).add_(low)

    def fresh(self, n: int, *, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Float32 `[N, n]`, uniform in [low, high): for few numbers at every step, where `uniform` costs more a sample.

        Number j of a sample is the hash of its key and j, cut to 24 bits.
        """
        words = _mix(self.keys[:, None] ^ _mix(torch.arange(1, n + 1, device=self.keys.device)))
        return ((words >> 40) & 0xFFFFFF).float().mul_((high - low) / 2**24).add_(low).to(self._place)

    def normal(self, *shape: int) -> Tensor:
        """Float32 `[N, *shape]`, standard normal."""
        return self._fill(shape, lambda generator, out: generator.standard_normal(out=out, dtype=np.float32))

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Int64 `[N, *shape]`, uniform on low..high-1."""
        return self.uniform(*shape).mul_(high - low).long().clamp_(max=high - low - 1).add_(low)

    def generators(self) -> list[np.random.Generator]:
        """A numpy generator a sample, for distributions that are not offered here."""
        return [
            np.random.Generator(np.random.Philox(key=np.array([key, _STREAM], np.uint64)))
            for key in self.keys.cpu().numpy().view(np.uint64)
        ]

    def noise(self, *shape: int) -> Tensor:
        """Float32 `[N, *shape]`, standard normal: other numbers than `normal`, in half the time where they are many.

        Box and Muller 1958, doi:10.1214/aoms/1177706645, on 32-bit uniforms: no number is larger than 6.8, which
        misses a mass of 1e-11.
        """
        size = math.prod(shape)
        half = -(-size // 2)
        words = np.empty((len(self.keys), half), np.uint64)
        for row, bits in zip(words, self._bits(), strict=True):
            row[:] = bits.random_raw(half)
        uniform = send(torch.from_numpy(words.view(np.uint32).astype(np.float32)), self._place)
        radius = uniform[:, :half].add_(0.5).mul_(2**-32).log_().mul_(-2).sqrt_()
        angle = uniform[:, half:].mul_(2 * math.pi * 2**-32)
        both = torch.cat([angle.cos().mul_(radius), angle.sin().mul_(radius)], 1)
        return both[:, :size].reshape(-1, *shape)

    def _fill(self, shape: tuple[int, ...], draw: Callable[[np.random.Generator, Any], object]) -> Tensor:
        out = np.empty((len(self.keys), *shape), np.float32)
        generator: np.random.Generator | None = None
        for row, bits in zip(out.reshape(len(out), math.prod(shape)), self._bits(), strict=True):
            generator = generator or np.random.Generator(bits)
            draw(generator, row)
        return send(torch.from_numpy(out), self._place)

    @property
    def _place(self) -> torch.device:
        return self.place or self.keys.device

    def _bits(self) -> Iterator[np.random.Philox]:
        """One bit generator, set to the start of each sample's stream in turn."""
        bits = np.random.Philox(key=np.array([0, _STREAM], np.uint64))
        state = bits.state
        for key in self.keys.cpu().numpy().view(np.uint64):
            state["state"]["key"][0] = key
            bits.state = state
            yield bits


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's random state of the CPU, and put it back afterwards; states of other devices are left alone.

    Args:
        seed: any that `torch.Generator.manual_seed` takes.

    >>> with seeded(3):
    ...     first = torch.rand(2)
    >>> with seeded(3):
    ...     again = torch.rand(2)
    >>> bool((first == again).all())
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())  # manual_seed would seed every device
        yield


@contextmanager
def kept_random_state(device: torch.device) -> Iterator[None]:
    """Put torch's random states back, that of the CPU and that of a device; `fork_rng` does not know every device."""
    with torch.random.fork_rng(devices=[]):
        if device.type == "cpu":
            yield
            return
        module: Any = torch.get_device_module(device)
        place = () if device.type == "mps" else (device,)
        before = module.get_rng_state(*place)
        try:
            yield
        finally:
            module.set_rng_state(before, *place)


def _hash(text: str) -> int:
    """A signed 64-bit number from text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's step and finaliser (Steele et al. 2014) on int64, with logical shifts."""
    x = x + -7046029254386353131
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return x ^ ((x >> 31) & 0x1FFFFFFFF)
