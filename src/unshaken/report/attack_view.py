"""What the report's section on attacks shows, arranged: plots, lines of tables, a sentence for each attack."""

from __future__ import annotations

from typing import Any

from unshaken.report import plots, wording

Row = dict[str, Any]


def tradeoffs(data: Row) -> list[plots.Plot]:
    """Robust accuracy against passes, one plot a budget that shows two marks or more; those with most marks first."""
    groups: dict[tuple[str, float], list[Row]] = {}
    for attack in data["attacks"]:
        if attack["eps"] is not None:
            groups.setdefault((attack["norm"], round(attack["eps"], 12)), []).append(attack)
    shown = [g for g in groups.values() if sum(len(a["turns"]) for a in g) > 1]
    shown.sort(key=lambda g: -sum(len(a["turns"]) for a in g))
    return [_tradeoff(sorted(g, key=lambda a: -len(a["turns"]))) for g in shown]


def _tradeoff(attacks: list[Row]) -> plots.Plot:
    spent = [a["passes_before"] + t["passes_per_sample"] for a in attacks for t in a["turns"]]
    place, ticks = plots.passes_axis(min(spent), max(spent))
    traces, told = [], []
    for style, attack in enumerate(attacks):
        marks = []
        for turn in attack["turns"]:
            passes = attack["passes_before"] + turn["passes_per_sample"]
            value = wording.percent(turn["accuracy"]["value"])
            text = f"{turn['attack']}: {value} left, {wording.number(passes)} passes"
            marks.append(plots.point(place(passes), turn["accuracy"], text, turn["attack"]))
        start = (round(place(attack["passes_before"]), 2), plots.down(attack["before"]["value"]))
        name = wording.series_name(attack)
        traces.append(plots.stairs(name, style, start, marks))
        begin = wording.percent(attack["before"]["value"])
        told.append(f"{name} from {begin}: " + ", ".join(m.text for m in marks))
    norm = wording.NORMS.get(attacks[0]["norm"], attacks[0]["norm"])
    name = f"{norm}, ε {wording.budget(attacks[0]['eps'])}"
    axis = "forward and backward passes a sample so far"
    level = plots.down(attacks[0]["clean"]["value"])
    return plots.Plot(name, axis, ticks, plots.labelled(traces), level, f"{name}. {'; '.join(told)}")


def by_eps(data: Row) -> list[plots.Plot]:
    """Robust accuracy against eps, one plot a norm that has two strengths or more: all attacks together, and each."""
    found = []
    for norm in data["norms"]:
        nearest = [m for m in data["minimal_norms"] if m["norm"] == norm["norm"]]
        known = {m["condition"] for m in nearest}
        series = [b for b in data["budgets"] if b["norm"] == norm["norm"] and b["series"] not in known]
        if not nearest and all(len(b["eps"]) < 2 for b in series):
            continue
        start = {"eps": 0.0, "accuracy": norm["clean"]}
        lines = [(_name(m), m["curve"], False) for m in nearest]
        for one in series:
            values = [{"eps": e, "accuracy": f} for e, f in zip(one["eps"], one["robust_accuracy"], strict=True)]
            lines.append((wording.method_name(one["attack"]), [start, *values] if len(values) > 1 else values, True))
        if len(lines) > 1:
            lines.insert(0, ("all attacks together", norm["curve"], False))
        found.append(_eps_plot(norm, lines))
    return found


def _name(minimal: Row) -> str:
    return f"{wording.method_name(wording.label_of(minimal))}, nearest examples"


def _eps_plot(norm: Row, lines: list[tuple[str, list[Row], bool]]) -> plots.Plot:
    place, ticks = plots.linear_axis(max(p["eps"] for _, values, _ in lines for p in values) or 1.0)
    traces, told = [], list[str]()
    for style, (name, values, marked) in enumerate(lines):
        marks = [
            plots.point(
                place(p["eps"]),
                p["accuracy"],
                f"{name}, ε {wording.budget(p['eps'])}: {wording.percent(p['accuracy']['value'])}",
            )
            for p in values
        ]
        traces.append(plots.curve(name, style, marks, band=style == 0, marked=marked))
        few = values[:: max(1, len(values) // 6)]
        shares = (f"ε {wording.budget(p['eps'])} {wording.percent(p['accuracy']['value'])}" for p in few)
        told.append(f"{name}: " + ", ".join(shares))
    about = wording.NORMS.get(norm["norm"], str(norm["norm"]))
    level = plots.down(norm["clean"]["value"])
    return plots.Plot(about, f"ε ({about})", ticks, tuple(traces), level, f"{about}. {'; '.join(told)}")


def bought(attack: Row) -> str:
    """What each stage of an attack broke, as a sentence: `apgd-ce broke 7 of 54, apgd-t 2 more; square broke none`."""
    turns = attack["turns"]
    told = list[str]()
    for turn in turns:
        if turn["broken"]:
            told.append(f"{turn['attack']} {turn['broken']} more" if told else _first(turn))
    idle = [t["attack"] for t in turns if not t["broken"]]
    parts = [", ".join(told)] if told else []
    if idle:
        names = idle[0] if len(idle) == 1 else f"{', '.join(idle[:-1])} and {idle[-1]}"
        parts.append(f"{names} broke none")
    return "; ".join(parts)


def _first(turn: Row) -> str:
    return f"{turn['attack']} broke {turn['broken']} of {turn['standing']}"


def headline(data: Row) -> Row | None:
    """The attack of which a reader wants to know what its stages bought: the one with most, then the strongest."""
    several = [a for a in data["attacks"] if len(a["turns"]) > 1]
    return max(several, key=lambda a: (len(a["turns"]), -a["turns"][-1]["accuracy"]["value"]), default=None)


def distance(figure: Row | None) -> str:
    """A distance with its interval as text: `0.148 (0.132 to 0.166)`; a dash for none."""
    if figure is None:
        return "–"
    ends = [wording.number(figure[k]) if figure[k] is not None else "∞" for k in ("low", "high")]
    return f"{wording.number(figure['value'])} ({ends[0]} to {ends[1]})"
