"""The attack suite: unshaken beside AutoAttack's own code, torchattacks, foolbox, adv-lib and ART, attack by attack.

    python benchmarks/attack_suite.py --attacks pgd,apgd,square --model demo:robust --images 200
    python benchmarks/attack_suite.py --attacks autoattack --norm linf,l2 --eps 0.1,1 --model demo:standard,demo:robust
    python benchmarks/attack_suite.py --parity --model weights:net.safetensors?arch=small --data cifar10 --eps 8/255

Every tool attacks the same first `--images` images (misclassified ones too) of the same network, with the same steps
(`_suite.py` has them in its titles and adapters), batches of at most `--batch-size`, frozen weights, and seed r in
round r. Peers keep their own ways in all else.

How it is measured. Each tool has a process of its own, for what one of them tells the allocator would help all. One
counted run of each comes first and is its warm-up. Then the tools take turns for
`--repeats` rounds, in an order that rotates; three by default, because the whole suite is long. Seconds hold everything
from tensors to adversarial tensors, the building of the tool's objects included; median, least and largest are shown.
With `--repeats 0` the counted run itself is timed, for work so long that counting is lost in it (minutes an attack).
`--clock cpu` takes the process's own seconds of all its threads instead, for a machine that others use too; with
`--threads 1` the two are the same on a quiet one. `speed` is the ratio to the fastest peer (least median) within a
round. Passes are counted below all tools, by the convolutions that torch executes for how many images, over those of
one pass.

Robust accuracy is over all images: a sample is broken when it is misclassified clean, or when what the tool returned
lies in the ball (to a relative 1e-6) and in [0, 1] and a plain float32 forward pass gives another class than the label.
Returned images outside are counted as `outside` and break nothing. Attacks that search for the smallest norm are run
without a radius; what they return is judged at `eps` like the others, and the median norm (over the samples right when
clean, infinite where nothing was found) and the share of these that were broken at any norm stand beside it.

`--parity` runs each tool once with `--seed` and compares the flags of unshaken with each peer's: points of robust
accuracy (below zero: unshaken breaks more), samples that only one of the two breaks, for smallest norms the two medians
and the share of samples where unshaken's is at most 1 % longer.

What is not the same. The peers judge their last iterate, their best, or any, as they are written; unshaken ends a
sample at the first success, confirmed in float32. torchattacks' C&W has no search over the constant and gets all steps
with one; ART's has a line search beside its steps. AutoAttack's FAB-T, asked for the smallest norm, is run towards each
class and the nearest is kept. A tool that is not installed, or an attack that is not there, stands in the table as
absent.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection

import torch
from _peer_attacks import Run, Work, targets
from _peers import DISTRIBUTIONS, Verdict, absent, count, first_images, installed, judge, label, machine, span, spread
from _suite import ATTACKS, Attack
from torch import Tensor

import unshaken
from unshaken.core import Batch, Oracle
from unshaken.core.registry import list_methods, parse_method, parse_number
from unshaken.core.search_copy import search_copy

OURS = "unshaken"
EPS = {"linf": "0.1", "l2": "1", "l1": "10"}
"""For the demo; other data needs its own."""
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def run_unshaken(attack: Attack) -> Run:
    """An attack of unshaken through a fresh oracle, as `unshaken attack` runs it; the search copy is made anew."""

    def run(work: Work) -> Tensor:
        fields = {name: getattr(work, name) for name in ("queries", "cw_steps", "mode")}
        method = parse_method(attack.ours.format(**fields, targets=targets(work)), "attack")
        batch = Batch(work.images, work.labels, tuple(str(i) for i in range(len(work.images))))
        copy = search_copy(work.model, work.images[:2])
        oracle = Oracle(work.model, limit=work.batch_size, search_copy=copy)
        eps = [work.eps, math.inf] if attack.minimal else [work.eps]
        found, _ = method.attack(oracle, batch, norm=work.norm, eps=eps, seed=work.seed)
        return found[-1].images

    return run


@dataclass(slots=True)
class Row:
    """What was measured of one tool."""

    seconds: list[float] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    forwards: float = 0.0
    backwards: float = 0.0

    def add(self, seconds: float, verdict: Verdict) -> None:
        """One more round."""
        self.seconds.append(seconds)
        self.verdicts.append(verdict)


def contenders(attack: Attack, norm: str, wanted: list[str]) -> tuple[dict[str, Run], dict[str, str]]:
    """Who takes part, unshaken first, and why the others do not."""
    runs: dict[str, Run] = {}
    reasons: dict[str, str] = {}
    known = {method.name for method in list_methods("attack")}
    for tool in wanted:
        norms, run = (attack.norms, run_unshaken(attack)) if tool == OURS else attack.peers.get(tool, ((), None))
        if run is None:
            continue
        if norm not in norms:
            reasons[tool] = f"not in {norm}"
        elif tool == OURS and (name := attack.ours.partition(":")[0]) not in known:
            reasons[tool] = f"absent: no attack {name!r}"
        elif not installed(tool):
            reasons[tool] = absent(tool)
        else:
            runs[tool] = run
    return runs, reasons


def measure(attack: str, tools: list[str], chosen: argparse.Namespace, index: int) -> dict[str, Row]:
    """Count each tool once, then time all in turn, each in a process of its own."""
    rows: dict[str, Row] = {}
    start = multiprocessing.get_context("spawn")
    lines = {}
    for tool in tools:
        lines[tool], far = start.Pipe()
        start.Process(target=serve, args=(far, attack, tool, chosen, index), daemon=True).start()
        forwards, backwards, *first = lines[tool].recv()  # in turn, so that nobody counts while another works
        rows[tool] = Row(forwards=forwards, backwards=backwards)
        if chosen.repeats == 0:
            rows[tool].add(*first)
    for turn in range(chosen.repeats):
        shift = turn % len(tools)
        for tool in tools[shift:] + tools[:shift]:
            lines[tool].send(turn)
            rows[tool].add(*lines[tool].recv())
    for line in lines.values():
        line.send(None)
    return rows


def serve(line: Connection, attack: str, tool: str, chosen: argparse.Namespace, index: int) -> None:
    """One tool's process: count once, then run whenever a turn is called."""
    warnings.simplefilter("ignore", DeprecationWarning)
    torch.set_num_threads(chosen.threads)
    work = list(works(chosen))[index][1]
    run = contenders(ATTACKS[attack], work.norm, [tool])[0][tool]
    clock = CLOCKS[chosen.clock]
    began = clock()
    forwards, backwards, found = count(work.model, work.images, lambda: run(work))
    line.send((forwards, backwards, clock() - began, judge(work.model, work.images, work.labels, found, work.norm)))
    while (turn := line.recv()) is not None:
        began = clock()
        found = run(replace(work, seed=work.seed + turn))
        line.send((clock() - began, judge(work.model, work.images, work.labels, found, work.norm)))


def timing(name: str, work: Work, chosen: argparse.Namespace, index: int) -> Iterator[str]:
    """The Markdown table of one attack under one norm."""
    attack, wanted = ATTACKS[name], chosen.tools
    runs, reasons = contenders(attack, work.norm, wanted)
    rows = measure(name, list(runs), chosen, index)
    peers = {tool: sorted(row.seconds)[len(row.seconds) // 2] for tool, row in rows.items() if tool != OURS}
    fastest = min(peers, key=lambda tool: peers[tool], default=None)
    extra = "median norm | broken at any norm" if attack.minimal else "outside"
    head = f"| tool | seconds (least to most) | speed, {fastest or 'no peer'} = 1 | robust accuracy"
    yield f"{head} | {extra} | forwards | backwards |"
    yield "|---|---|---|---|---|---|---|" + ("---|" if attack.minimal else "")
    for tool in wanted:
        if tool in reasons:
            yield f"| {tool} | {reasons[tool]} | | | | | |" + (" |" if attack.minimal else "")
        if tool not in rows:
            continue
        row = rows[tool]
        ratio = "not measured"
        if fastest is not None:
            pairs = zip(rows[fastest].seconds, row.seconds, strict=True)
            ratio = spread([a / b for a, b in pairs], 2)
        accuracy = span([v.accuracy(work.eps) for v in row.verdicts])
        if attack.minimal:
            norms = spread([_median(v) for v in row.verdicts], 4)
            more = f"{norms} | {span([v.minimal.isfinite().double().mean().item() for v in row.verdicts])}"
        else:
            more = f"{max(v.outside(work.eps) for v in row.verdicts)}"
        yield (
            f"| {label(tool)} | {spread(row.seconds, 3)} | {ratio} | {accuracy} | {more} "
            f"| {row.forwards:.2f} | {row.backwards:.2f} |"
        )


def parity(name: str, attack: Attack, work: Work, wanted: list[str]) -> Iterator[str]:
    """Rows of the parity table of one attack under one norm."""
    runs, reasons = contenders(attack, work.norm, [OURS, *(tool for tool in wanted if tool != OURS)])
    if OURS in reasons:
        yield f"| {name} | {work.norm} | {reasons[OURS]} | | | | | | |"
        return
    found = {tool: judge(work.model, work.images, work.labels, run(work), work.norm) for tool, run in runs.items()}
    ours = found.pop(OURS)
    for tool, theirs in found.items():
        a, b = ours.robust(work.eps), theirs.robust(work.eps)
        norms = share = ""
        if attack.minimal:
            norms = f"{_median(ours):.4f} / {_median(theirs):.4f}"
            share = f"{(ours.minimal <= theirs.minimal * 1.01).double().mean().item():.1%}"
        points = 100 * (a.double().mean() - b.double().mean()).item()
        yield (
            f"| {name} | {work.norm} | {label(tool)} | {_share(a)} / {_share(b)} | {points:+.2f} "
            f"| {int((b & ~a).sum())} | {int((a & ~b).sum())} | {norms} | {share} |"
        )
    for tool, reason in reasons.items():
        yield f"| {name} | {work.norm} | {tool}: {reason} | | | | | | |"


def _share(flags: Tensor) -> str:
    return f"{flags.double().mean().item():.2%}"


def _median(verdict: Verdict) -> float:
    return verdict.minimal.median().item() if len(verdict.minimal) else float("nan")


def options() -> argparse.Namespace:
    """The command line."""
    tools = [OURS, *(tool for tool in DISTRIBUTIONS if tool != OURS)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", default=",".join(ATTACKS), help=f"of {', '.join(ATTACKS)}; default all")
    parser.add_argument("--tools", default=",".join(tools), help=f"of {', '.join(tools)}; default all")
    parser.add_argument("--model", default="demo:standard,demo:robust", help="model SPECs, by commas")
    parser.add_argument("--data", default="demo", help="a data SPEC (default demo)")
    parser.add_argument("--norm", default="linf", help="of linf, l2, l1; by commas (default linf)")
    parser.add_argument("--eps", help=f"one radius a norm, by commas; default {EPS}, fit for the demo only")
    parser.add_argument("--images", type=int, default=200, help="the first N images (default 200)")
    parser.add_argument("--batch-size", type=int, default=256, help="images a pass at most (default 256)")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds (default 3); 0 times the counted one")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default 2)")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="seconds of which clock (default wall)")
    parser.add_argument("--seed", type=int, default=0, help="of the first round (default 0)")
    parser.add_argument("--queries", type=int, default=5000, help="of the square attack (default 5000)")
    parser.add_argument("--cw-steps", type=int, default=200, help="of C&W for each of nine constants (default 200)")
    parser.add_argument("--mode", choices=["strict", "fast"], default="strict", help="of unshaken's autoattack")
    parser.add_argument("--parity", action="store_true", help="compare flags instead of times")
    chosen = parser.parse_args()
    for name, known in (("attacks", ATTACKS), ("tools", tools), ("norm", EPS)):
        values = [value.strip() for value in getattr(chosen, name).split(",")]
        unknown = sorted(set(values) - set(known))
        if unknown:
            parser.error(f"unknown {name} {', '.join(unknown)}: use {', '.join(known)}")
        setattr(chosen, name, values)
    chosen.eps = (
        [parse_number(e) for e in chosen.eps.split(",")] if chosen.eps else [float(EPS[n]) for n in chosen.norm]
    )
    least = min(chosen.images, chosen.repeats + 1, chosen.threads, chosen.batch_size, chosen.queries, chosen.cw_steps)
    if len(chosen.eps) != len(chosen.norm) or min(chosen.eps) <= 0 or least < 1:
        parser.error("give one eps above 0 for each norm; counts must be 1 or more")
    return chosen


def works(chosen: argparse.Namespace) -> Iterator[tuple[str, Work]]:
    """Every network under every norm."""
    for spec in chosen.model.split(","):
        model = unshaken.load_model(spec).eval().requires_grad_(False)
        images, labels = first_images(chosen.images, chosen.data, model)
        for norm, eps in zip(chosen.norm, chosen.eps, strict=True):
            yield (
                spec,
                Work(
                    model=model,
                    images=images,
                    labels=labels,
                    norm=norm,
                    eps=eps,
                    batch_size=chosen.batch_size,
                    seed=chosen.seed,
                    queries=chosen.queries,
                    cw_steps=chosen.cw_steps,
                    mode=chosen.mode,
                ),
            )


def main() -> None:
    """Measure and print."""
    chosen = options()
    warnings.simplefilter("ignore", DeprecationWarning)  # foolbox imports a renamed scipy namespace
    torch.set_num_threads(chosen.threads)
    print(f"{machine()}, {time.strftime('%Y-%m-%d')}", flush=True)
    for index, (spec, work) in enumerate(works(chosen)):
        print(f"\n## {spec}, {len(work.images)} images of {chosen.data}, {work.norm} eps {work.eps:.6g}\n", flush=True)
        if chosen.parity:
            print(
                "| attack | norm | peer | robust accuracy, ours / peer | points | only ours breaks | only peer breaks "
                "| median norm, ours / peer | ours at most 1 % longer |\n|---|---|---|---|---|---|---|---|---|"
            )
        for name in chosen.attacks:
            attack = ATTACKS[name]
            if work.norm not in attack.norms:
                continue
            if chosen.parity:
                lines = parity(name, attack, work, chosen.tools)
            else:
                rounds = f"{chosen.repeats} rounds" if chosen.repeats else "the counted run timed"
                print(f"\n{name}: {attack.title}, {rounds}\n")
                lines = timing(name, work, chosen, index)
            for line in lines:
                print(line, flush=True)


if __name__ == "__main__":
    main()
