"""Attacks in a run: a condition a budget, and the model's answers for the attacked images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.attack.engine.ball import check_budgets
from unshaken.attack.engine.base import BudgetedAttack
from unshaken.attack.engine.step_length import check_step_size
from unshaken.attack.engine.targets import (
    RULES,
    choose_targets,
    label_with,
    names_class,
    targets_by_class,
    targets_in_column,
)
from unshaken.attack.engine.task_attack import TaskAttack
from unshaken.attack.engine.verdict import AttackResult, initial_result
from unshaken.attack.viewpoint.base import ChosenViews, Objects, ViewAttack, view_rows
from unshaken.core.batch import Batch
from unshaken.core.classifier import predict
from unshaken.core.context import Context, Renderer, SampleColumns
from unshaken.core.errors import ParameterError
from unshaken.core.flag import Flag
from unshaken.core.oracle import required
from unshaken.core.outcomes import outcomes
from unshaken.core.part import Condition, Part, name_condition
from unshaken.core.rng import SampleRng
from unshaken.core.tables import TURNS
from unshaken.run.adapters import Line, conditions_of, rows_of, task_rows


@conditions_of.register(BudgetedAttack)
@conditions_of.register(TaskAttack)
def _(method: BudgetedAttack | TaskAttack[Any], line: Line) -> list[Condition]:
    """One a budget; of a minimal-norm attack one more, without a budget; one for an attack without norms."""
    name, norm, eps, target = method.info.name, line.norm, line.eps, line.target
    label = line.label if target is None else label_with(line.label, target)
    if line.severities:
        raise ParameterError(f"{name}: an attack has eps, not severities")
    if isinstance(method, TaskAttack) and target in RULES and target not in method.target_rules:
        raise ParameterError(
            f"{name}: target {target} needs logits of all classes, which detections lack: give "
            f"{', '.join(method.target_rules)}, a class by name or number, or a column of the data"
        )
    if not method.norms:
        check_budgets(name, method.norms, None, eps)
        return [Condition(label, name, target=target)]
    check_step_size(method, eps)
    if method.minimal:
        eps = [*(e for e in eps if e < math.inf), math.inf]
    return [
        Condition(name_condition(label, norm, e), name, eps=e, norm=norm, target=target)
        if e < math.inf
        else Condition(f"{label}-{norm}", name, norm=norm, target=target)
        for e in check_budgets(name, method.norms, norm, eps, minimal=method.minimal)
    ]


@rows_of.register
def _(method: BudgetedAttack, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    """The exact prediction on the attacked image, and what each phase bought; or which chosen class was reached."""
    targets = _targets_of(batch, conditions[0].target, context)
    found, flags = _attack(method, batch, conditions, context, targets)
    parts = []
    for i, (condition, one) in enumerate(zip(conditions, found, strict=True)):
        parts.append(_phase_rows(condition, one) if targets is None else _target_rows(condition, batch, targets, one))
        parts += method.further_rows(batch, condition, one, context)
        parts.append(
            outcomes(
                condition,
                batch,
                one.logits,
                forwards=one.forwards,
                backwards=one.backwards,
                seconds=one.seconds,
                distance=one.distance if method.norms else None,
                survives_8bit=one.survives_8bit,
                broken_by=one.breakers() if targets is None else None,
                step=one.step,
                images=one.images.__getitem__,
                flags=flags if i == 0 else (),
            )
        )
    return parts


def _targets_of(batch: Batch, rule: str | None, context: Context) -> Tensor | None:
    if rule is None or batch.labels is None:  # the attack refuses a batch without labels
        return None
    model, rng = context.oracle.model, SampleRng.of(context.seed, "targets", batch.ids)
    columns = context.find(SampleColumns)
    if columns is not None and rule not in RULES and not names_class(rule, model.classes):
        values = columns(rule, batch.ids)
        if values is not None:
            k = context.clean.shape[1]
            named = targets_in_column(rule, values, batch.ids, model.classes, k, reject=model.reject)
            found = torch.tensor(named, dtype=torch.int64, device=batch.labels.device)
            return torch.where(found == batch.labels, -1, found)
    return choose_targets(rule, batch.labels, context.clean, model.classes, rng, reject=model.reject)


def _part_targets_of(method: TaskAttack[Any], batch: Batch, rule: str | None, context: Context) -> Tensor | None:
    """The class that parts of each class are to be given in each sample, `[N, K]`."""
    model = context.oracle.model
    if rule is None:
        return None
    scores = method.class_scores(context.clean, batch)
    k = len(model.classes) if scores is None else scores.shape[1]
    columns = context.find(SampleColumns)
    if columns is not None and rule not in RULES and not names_class(rule, model.classes):
        values = columns(rule, batch.ids)
        if values is not None:
            named = targets_in_column(rule, values, batch.ids, model.classes, k)
            found = torch.tensor(named, dtype=torch.int64, device=batch.images.device)[:, None].expand(-1, k)
            return torch.where(found == torch.arange(k, device=found.device), -1, found)
    rng = SampleRng.of(context.seed, "targets", batch.ids).to(batch.images.device)
    return targets_by_class(rule, k, model.classes, rng, scores)


def _attack(
    method: BudgetedAttack, batch: Batch, conditions: Sequence[Condition], context: Context, targets: Tensor | None
) -> tuple[list[AttackResult], list[Flag]]:
    """One result a condition; samples that are of the target class already stay as they are."""
    attack = partial(
        method.attack,
        context.oracle,
        norm=conditions[0].norm,
        eps=[math.inf if c.eps is None else c.eps for c in conditions] if method.norms else (),
        seed=context.seed,
        reference=context.reference() if context.reference else None,
        samples=context.samples,
        once=context.once,
    )
    if targets is None or bool((targets >= 0).all()):
        return attack(batch, clean=context.clean, targets=targets)
    chosen, left = (targets >= 0).nonzero().flatten(), (targets < 0).nonzero().flatten()
    rest = initial_result(batch.images.float(), context.clean, required(batch.labels), False)[left]
    rest = rest.replace(fooled=torch.zeros_like(rest.fooled))
    if not len(chosen):
        return [rest] * len(conditions), []
    found, flags = attack(batch[chosen], clean=context.clean[chosen], targets=targets[chosen])
    order = torch.cat([chosen, left]).argsort()
    none = torch.full_like(left, -1)
    return [
        AttackResult.concat([one, rest.replace(phases=one.phases, notes=dict.fromkeys(one.notes, none))])[order]
        for one in found
    ], flags


def _target_rows(condition: Condition, batch: Batch, targets: Tensor, one: AttackResult) -> Part:
    columns = {
        "id": list(batch.ids),
        "label": required(batch.labels).tolist(),
        "target": [None if t < 0 else t for t in targets.tolist()],
        "reached": [None if t < 0 else hit for t, hit in zip(targets.tolist(), one.fooled.tolist(), strict=True)],
    }
    return Part("targets", condition, columns)


def _phase_rows(condition: Condition, one: AttackResult) -> Part:
    names = [name for name in TURNS if name not in ("condition", "turn")]
    columns: dict[str, Any] = {name: [getattr(phase, name) for phase in one.phases] for name in names}
    columns |= {"condition": [condition.id] * len(one.phases), "turn": list(range(len(one.phases)))}
    return Part("turns", condition, columns)


@rows_of.register(TaskAttack)
def _(method: TaskAttack[Any], batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    """Rows that the model's task makes of its outputs for the attacked images, and which targets were reached."""
    targets = _part_targets_of(method, batch, conditions[0].target, context)
    found = method.attack(
        context.oracle,
        batch,
        norm=conditions[0].norm if method.norms else None,
        eps=[c.eps for c in conditions if c.eps is not None],
        seed=context.seed,
        clean=context.clean,
        targets=targets,
    )
    parts = []
    for condition, one in zip(conditions, found, strict=True):
        if targets is not None:
            parts.append(_part_target_rows(method, condition, batch, targets, one.outputs, context.clean))
        parts += task_rows(
            context,
            condition,
            batch,
            one.outputs,
            forwards=one.forwards,
            backwards=one.backwards,
            seconds=one.seconds,
            distance=one.distance if method.norms else None,
            images=one.images.__getitem__,
        )
    return parts


def _part_target_rows(
    method: TaskAttack[Any], condition: Condition, batch: Batch, targets: Tensor, outputs: Tensor, clean: Tensor
) -> Part:
    """A row an image and class of which it has parts with a target."""
    counted, reached = method.count_reached(outputs, batch, targets)
    unchanged = method.count_reached(clean, batch, targets)[1]
    at = counted.nonzero(as_tuple=True)
    columns = {
        "id": [batch.ids[i] for i in at[0].tolist()],
        "label": at[1].tolist(),
        "target": targets[at].tolist(),
        "parts": counted[at].tolist(),
        "reached": reached[at].tolist(),
        "unchanged": unchanged[at].tolist(),
    }
    return Part("part_targets", condition, columns)


@conditions_of.register
def _(method: ViewAttack, line: Line) -> list[Condition]:
    name = method.info.name
    if line.severities or line.eps:
        raise ParameterError(f"{name}: it has neither severities nor eps; its budget is its box of views")
    return [Condition(line.label, name)]


@rows_of.register
def _(method: ViewAttack, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    """`views`, and `outcomes` on the hardest of them."""
    condition, name = conditions[0], method.info.name
    given = context.get(Renderer, f"{name}: it needs objects that can be rendered: use meshes:DIR or solids:N")
    if batch.labels is None:
        raise ParameterError(f"{name}: the data has no labels; an attack needs the true class of each object")
    render = partial(_render_named, given, batch.ids)
    chosen = _choose_views(method, batch, given, condition, context)
    logits = torch.stack([_judge(context, render, i, views) for i, views in enumerate(chosen.views)])  # [N, Q, K]
    loss = F.cross_entropy(logits.transpose(1, 2), batch.labels[:, None].expand(logits.shape[:2]), reduction="none")
    wrong = predict(logits) != batch.labels[:, None]
    hardest = torch.where(wrong, loss + loss.max(), loss).argmax(1)  # a wrong one where there is any
    rows = torch.arange(len(batch), device=logits.device)
    part = outcomes(
        condition,
        batch,
        logits[rows, hardest],
        forwards=chosen.forwards + logits.shape[1],
        seconds=chosen.seconds,
        broken_by=[name if w else None for w in wrong.any(1).tolist()],
        images=lambda some: torch.cat([render(i, chosen.views[i, hardest[i], None]) for i in some.tolist()]),
    )
    return [
        view_rows(condition, batch, chosen, logits, loss),
        *method.extra_rows(condition, batch, chosen, wrong.any(1)),
        part,
    ]


def _choose_views(
    method: ViewAttack, batch: Batch, render: Renderer, condition: Condition, context: Context
) -> ChosenViews:
    """The views of all objects; those of an interrupted run are taken from its journal."""
    journal = context.journal_of(condition.id)
    records = {} if journal is None else journal.found()
    left = [i for i, name in enumerate(batch.ids) if name not in records]
    rng, device = SampleRng.of(context.seed, method.info.name, batch.ids), batch.images.device
    found = {name: ChosenViews.from_record(record).to(device) for name, record in records.items()}
    for rows in torch.split(torch.tensor(left, dtype=torch.int64), max(1, method.width(context.oracle.limit))):
        ids = [batch.ids[i] for i in rows.tolist()]
        objects = Objects(torch.arange(len(ids), device=device), required(batch.labels)[rows.to(device)])
        draw = partial(_render_named, render, ids)
        chosen = method.choose(objects, ids, draw, context.oracle, rng[rows].to(device))
        for i, name in enumerate(ids):
            found[name] = chosen[slice(i, i + 1)]
            if journal is not None:
                journal.keep(name, found[name].to_record())
    return ChosenViews.concat([found[name] for name in batch.ids])


def _render_named(render: Renderer, ids: Sequence[str], number: int, views: Tensor) -> Tensor:
    return render(ids[number], views)


def _judge(context: Context, render: Callable[[int, Tensor], Tensor], number: int, views: Tensor) -> Tensor:
    """Logits of one object's views, by fresh float32 passes."""
    found = []
    for some in torch.split(views, context.oracle.limit):
        with context.oracle.meter.method():
            images = render(number, some)
        found.append(context.oracle.exact(images))
    return torch.cat(found)
