"""The k-th nearest of a large bank: seconds and memory for 1,000 queries against 1,000,000 rows of 512 features.

    OMP_NUM_THREADS=2 python benchmarks/knn_bank.py
    OMP_NUM_THREADS=2 python benchmarks/knn_bank.py --rows 10000 --features 80 --queries 256
    OMP_NUM_THREADS=2 python benchmarks/knn_bank.py --kind clusters --k 1000

`uniform` directions are the hard case for any pruning: no row is much nearer than another. `clusters` are non-negative
and lie around `--clusters` centres, as penultimate features behind a ReLU do.

Contenders: `unshaken.detect.scores.knn.kth_distance` as a saved detector calls it (a bank in bytes, read from its
file), the same made in memory (with the float32 bank that it is made of), the same without bytes, plain torch (one
product and `topk`), and scikit-learn and faiss where they are installed. Each has a process of its own, which makes the
bank (not timed), prepares (timed apart: bytes, or an index), warms up on 16 queries and then answers `--repeats` times.
The processes follow one another, for their banks together would not fit in memory: run it on a quiet machine. Memory is
the largest resident size of the process from its start to its last answer, libraries and bank included. `off` is the
largest difference from distances in float64 over 50 of the queries.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch
import torch.nn.functional as F
from _peers import machine, spread
from safetensors.torch import save_file
from torch import Tensor

from unshaken.detect.engine.detector_folder import read_banks
from unshaken.detect.scores._nearest import QuantisedBank, fast_bytes, restored, saved
from unshaken.detect.scores.knn import LARGE, kth_distance

Answer = Callable[[Tensor], Tensor]
PART = 8192


def directions(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Queries and bank, of length 1."""
    rng = torch.Generator().manual_seed(0)
    d = options.features
    centres = torch.randn(options.clusters, d, generator=rng)

    def fill(rows: Tensor) -> Tensor:
        for part in rows.split(PART):
            part.normal_(generator=rng)
            if options.kind == "clusters":
                part.add_(centres[torch.randint(len(centres), (len(part),), generator=rng)]).relu_()
            F.normalize(part, out=part)
        return rows

    return fill(torch.empty(options.queries, d)), fill(torch.empty(options.rows, d))


def in_bytes(bank: Tensor, k: int) -> Answer:
    """As the detector does it."""
    kept = QuantisedBank.of(bank) if len(bank) >= LARGE else bank
    return lambda queries: kth_distance(queries, kept, k)


def from_file(options: argparse.Namespace) -> Answer:
    """The same with a bank that was saved, as in a folder of detectors."""
    bank = restored(read_banks(options.file))
    return lambda queries: kth_distance(queries, bank, options.k)


def write(options: argparse.Namespace) -> None:
    """The bank as a file, by a process of its own."""
    _, bank = directions(options)
    save_file(saved(QuantisedBank.of(bank)), options.file)


def in_floats(bank: Tensor, k: int) -> Answer:
    """The same without bytes."""
    return lambda queries: kth_distance(queries, bank, k)


def plain(bank: Tensor, k: int) -> Answer:
    """One product, one `topk`."""
    return lambda queries: (2 - 2 * (queries @ bank.T).topk(k, 1).values[:, -1]).clamp(min=0).sqrt()


def sklearn(bank: Tensor, k: int) -> Answer:
    """scikit-learn by brute force."""
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(bank.numpy())
    return lambda queries: torch.from_numpy(index.kneighbors(queries.numpy())[0][:, -1])


def faiss(bank: Tensor, k: int) -> Answer:
    """The flat index of faiss."""
    import faiss as library

    library.omp_set_num_threads(torch.get_num_threads())
    index = library.IndexFlatL2(bank.shape[1])
    index.add(bank.numpy())
    return lambda queries: torch.from_numpy(index.search(queries.numpy(), k)[0][:, -1]).sqrt()


CONTENDERS: dict[str, Callable[[Tensor, int], Answer]] = {
    "unshaken": in_bytes,
    "unshaken, floats only": in_floats,
    "torch, product and topk": plain,
    "scikit-learn": sklearn,
    "faiss": faiss,
}


SAVED = "unshaken, from a file"


def serve(options: argparse.Namespace, name: str, pipe: Connection) -> None:
    """One contender in a process of its own."""
    stored = name == SAVED
    queries, bank = directions(argparse.Namespace(**{**vars(options), "rows": 0}) if stored else options)
    began = time.perf_counter()
    answer = from_file(options) if stored else CONTENDERS[name](bank, options.k)
    prepared = time.perf_counter() - began
    answer(queries[:16])
    pipe.send(prepared)
    found = torch.empty(0)
    while pipe.recv():
        began = time.perf_counter()
        found = answer(queries)
        pipe.send(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if stored:
        _, bank = directions(options)
    pipe.send((peak, truth_gap(queries[:50], bank, options.k, found[:50])))


def truth_gap(queries: Tensor, bank: Tensor, k: int, found: Tensor) -> float:
    """Largest difference from distances in float64."""
    wide, best = queries.double(), torch.full((len(queries), k), torch.inf, dtype=torch.float64)
    for part in bank.split(PART):
        rows = part.double()
        squared = wide.square().sum(1)[:, None] + rows.square().sum(1) - 2 * wide @ rows.T
        best = torch.cat([best, squared], 1).topk(k, 1, largest=False).values
    return float((best[:, -1].clamp(min=0).sqrt() - found.double()).abs().max())


def main() -> None:
    """Start the contenders, let them take turns, print the table."""
    names = [SAVED, *CONTENDERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--kind", choices=("uniform", "clusters"), default="uniform")
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--file", default="", help="where the saved bank goes; default a temporary file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options.file = options.file or f"{folder}/bank.safetensors"
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """The table."""
    absent = [n for n, m in (("scikit-learn", "sklearn"), ("faiss", "faiss")) if importlib.util.find_spec(m) is None]
    context = multiprocessing.get_context("spawn")
    print(f"{machine()}; product of bytes: {'yes' if fast_bytes() else 'no'}", flush=True)
    print(json.dumps({k: v for k, v in vars(options).items() if k != "only"}) + "\n")
    print("| contender | seconds (least to most) | prepared in, s | memory, GiB | off |\n|---|---|---|---|---|")
    for name in options.only:
        if name in absent:
            print(f"| {name} | absent | | | |", flush=True)
            continue
        if name == SAVED:
            if options.rows < LARGE:
                print(f"| {name} | not in bytes below {LARGE} rows | | | |", flush=True)
                continue
            writer = context.Process(target=write, args=(options,))
            writer.start()
            writer.join()
        pipe, theirs = context.Pipe()
        process = context.Process(target=serve, args=(options, name, theirs), daemon=True)
        process.start()
        prepared = pipe.recv()
        seconds = []
        for _ in range(options.repeats):
            pipe.send(True)
            seconds.append(pipe.recv())
        pipe.send(False)
        peak, off = pipe.recv()
        process.join()
        print(f"| {name} | {spread(seconds, 3)} | {prepared:.2f} | {peak:.2f} | {off:.1e} |", flush=True)


if __name__ == "__main__":
    main()
