"""Results and progress in a notebook: pieces of HTML that need nothing but themselves."""

from __future__ import annotations

import html
from collections.abc import Mapping

_DARK = "--bad:#ff9a7a;--good:#6fd6a5;--own:#7db4ff"
_STYLE = (
    "<style>.unshaken{--bad:#b3361b;--good:#12694a;--own:#1557b0;border:1px solid #8885;border-radius:8px;"
    "padding:.6rem 1rem;max-width:60rem;max-height:36rem;overflow:auto;overflow-wrap:break-word;line-height:1.4}"
    f"@media (prefers-color-scheme:dark){{.unshaken{{{_DARK}}}}}"
    "[data-jp-theme-light=true] .unshaken,.vscode-light .unshaken,html[theme=light] .unshaken"
    "{--bad:#b3361b;--good:#12694a;--own:#1557b0}"
    f"[data-jp-theme-light=false] .unshaken,.vscode-dark .unshaken,html[theme=dark] .unshaken{{{_DARK}}}"
    ".unshaken h1{font-size:1.15rem;margin:.2rem 0}.unshaken p{margin:.3rem 0}.unshaken dl{margin:.4rem 0}"
    ".unshaken .bad{color:var(--bad);font-weight:600}.unshaken .good{color:var(--good);font-weight:600}"
    ".unshaken section.bad{color:inherit;font-weight:400}"
    ".unshaken section.bad{border-left:4px solid var(--bad);padding-left:.7rem;margin:.5rem 0}"
    ".unshaken .following{border-left:4px solid var(--own);padding-left:.7rem}"
    ".unshaken .facts{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem}"
    ".unshaken dd{margin:0}.unshaken .soft,.unshaken .under,.unshaken caption,.unshaken dt{opacity:.75}"
    ".unshaken .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.5rem 1.5rem}"
    ".unshaken .big{font-size:1.4rem;font-weight:700}"
    ".unshaken table{border-collapse:collapse;margin:.4rem 0;min-width:min(100%,32rem)}"
    ".unshaken caption{text-align:left}"
    ".unshaken td,.unshaken th{padding:.15rem .6rem .15rem 0;text-align:left;vertical-align:top;background:none}"
    ".unshaken .num{text-align:right}.unshaken .interval{white-space:nowrap}"
    ".unshaken small{display:block;opacity:.75}.unshaken .hidden{display:none}</style>"
)
LONGEST_VALUE = 300
"""Characters of a fact that are shown."""


def card(inner: str) -> str:
    """A box around a piece of HTML, with the style that it needs; dark where the notebook or the system is.

    Args:
        inner: escaped already.
    """
    return f'{_STYLE}<div class="unshaken">{inner}</div>'


def facts_card(title: str, facts: Mapping[str, object], note: str = "") -> str:
    """A title and named values.

    >>> "<dt>a</dt><dd>&lt;b&gt;</dd>" in facts_card("Done", {"a": "<b>"})
    True
    """
    rows = "".join(f"<dt>{shown(name)}</dt><dd>{shown(value)}</dd>" for name, value in facts.items())
    more = f'<p class="soft">{shown(note)}</p>' if note else ""
    return card(f'<h1>{shown(title)}</h1><dl class="facts">{rows}</dl>{more}')


def shown(value: object) -> str:
    """A value as escaped text on one line, of `LONGEST_VALUE` characters at most."""
    text = " ".join(str(value).split())
    return html.escape(text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "...")
