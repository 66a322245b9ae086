"""What a newcomer does in the first hour: commands, and those that lines and pages suggest, pasted as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unshaken.cli.advice import epilog


@dataclass(frozen=True)
class Ended:
    """A command, how it ended, and what it printed."""

    words: tuple[str, ...]
    code: int
    seconds: float
    out: str
    err: str

    @property
    def first_lines(self) -> str:
        """The first two lines that it printed, of a refusal those on stderr."""
        lines = (self.out.strip() or self.err.strip()).splitlines()
        return " / ".join(" ".join(line.split()) for line in lines[:2])


Call = Callable[[Sequence[str]], Ended]
"""Runs `unshaken ...` or `python FILE ...` in the newcomer's folder."""


class StumbleError(Exception):
    """A command that did not end as it should, or that suggested nothing where it should."""

    def __init__(self, ended: Ended, why: str) -> None:
        super().__init__(f"{why}: {shlex.join(ended.words)}\n{ended.out[-2000:]}\n{ended.err[-2000:]}")


@dataclass(frozen=True)
class Effort:
    """How much of everything.

    Args:
        size: side in pixels that the net takes.
        epochs: of the newcomer's own training.
        plan: of the audits.
        budget: passes a sample of `attack auto`.
        votes: a sample of the certificate.
        limit: samples of the attack, the certificate and the audit of the ImageNet model.
        repair: further words for `harden --from`.
        attacked: attack certificates and detectors too.
        whole: include `doctor`, the same photos as objects of a program, and the ImageNet model, whose weights come
            with the extra `imagenet`.
    """

    size: int = 64
    epochs: int = 40
    plan: str = "quick"
    budget: int = 300
    votes: int = 1000
    limit: int = 12
    repair: tuple[str, ...] = ()
    attacked: bool = True
    whole: bool = True


def first_hour(call: Call, folder: Path, effort: Effort) -> Iterator[Ended]:
    """Everything in order, each command as it ends.

    Args:
        call: runs a command in `folder`.
        folder: as `write_folder` leaves it.
        effort: how much of everything.

    Raises:
        StumbleError: a command ended otherwise than it should, or what it suggests is not there or does not work.
    """

    def run(line: str, *words: str, right: Sequence[int] = (0, 3)) -> Ended:
        ended = call([*shlex.split(line), *words])
        if ended.code not in right:
            raise StumbleError(ended, f"exit code {ended.code} instead of {' or '.join(map(str, right))}")
        if "Traceback" in ended.err or "this is a bug" in ended.err:
            raise StumbleError(ended, "an error that nobody foresaw")
        return ended

    def suggested(ended: Ended, pattern: str) -> str:
        found = re.search(pattern, ended.out + ended.err)
        if not found:
            raise StumbleError(ended, f"nothing that looks like {pattern}")
        return shlex.split(found[1])[0]

    net, limit = "py:net.py:build", f"--limit {effort.limit}"
    attacked = "--attacked" if effort.attacked else "--not-attacked"
    yield run(f"python train.py {effort.epochs}", right=(0,))
    if effort.whole:
        yield run("unshaken doctor", right=(0,))
    yield run("unshaken list attack", right=(0,))

    # Photos of many sizes are refused with a SPEC to paste; with it, links are left out with a SPEC to paste.
    audit = f"unshaken audit --model {net} --plan {effort.plan}"
    refused = run(audit, "--data", "folder:photos/test", right=(2,))
    yield refused
    sized = suggested(refused, r"as in (.*)").replace("224", str(effort.size))
    left_out = run(audit, "--data", sized, "--out", "runs/first", right=(3,))
    yield left_out
    test = suggested(left_out, r"to follow links into .* write ('.*?'|\S+?)(?:;|$)")
    yield run(audit, "--data", test, "--out", "runs/audit", right=(3,))
    yield run(audit, "--data", test, "--out", "runs/audit", "--resume", right=(3,))

    about = f"--model {net} --data {shlex.quote(test)}"
    yield run(f"unshaken attack {about} {limit} --method auto --eps 2/255 --budget {effort.budget} --out runs/attack")
    method = f"smoothing-sequential:sigma=0.25,n={effort.votes}"
    yield run(f"unshaken certify {about} {limit} --method {method} {attacked} --out runs/certified")
    train = f"folder:photos/train?size={effort.size}"
    methods = "--method energy --method knn:k=5 --method msp"
    yield run(f"unshaken detect fit --model {net} --data '{train}' {methods} --out runs/detectors")
    scored = f"--detectors runs/detectors --shift fog-3 --samples {effort.limit} {attacked} --out runs/scores"
    yield run(f"unshaken detect score {about} {scored}")

    # The repair wants the model's code and other images, and says so; its page suggests how to measure the result.
    refused = run("unshaken harden --from runs/audit", right=(2,))
    yield refused
    model = suggested(refused, r"with --model (\S+);")
    repair = f"unshaken harden --from runs/audit --model {model} --data '{train}'"
    yield run(f"{repair} --dry-run", *effort.repair)
    repaired = run(f"{repair} --out runs/hardened", *effort.repair, right=(0, 1))
    yield repaired
    kept = suggested(repaired, r"(?m)^model: (.*?)(?: \(the weights.*)?$")
    yield run(audit.replace(net, shlex.quote(kept)), "--data", test, "--out", "runs/after")
    for number, line in enumerate(commands_of(folder / "runs/hardened/report.md")):
        pasted = line.replace("DATA", shlex.quote(test))
        yield run(pasted, *shlex.split(limit), "--out", f"runs/pasted-{number}")

    yield run("unshaken compare runs/audit runs/after --out runs/difference")
    for verb in ("report", "query"):  # the help's own examples, which are about a run named so
        yield run((epilog(verb) or "").rpartition("Example: ")[2])
    if effort.whole:
        yield run("python objects.py", right=(0,))
        named = "--model imagenet:efficientnet-lite0 --data folder:named"
        yield run(f"unshaken audit {named} --plan {effort.plan} {limit} --out runs/named")


def commands_of(page: Path) -> list[str]:
    """The commands of a page that stand in a block to be copied."""
    blocks = re.findall(r"```(?:sh)?\n(unshaken .*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.strip().splitlines()]
