"""Pages as Chromium shows them: pictures at two widths, and what is plainly wrong."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

WIDTHS = (1280, 390)


def look_at(pages: Sequence[Path], pictures: Path) -> list[str]:
    """Open each page at each width without a network, and save a picture of all of it.

    Args:
        pages: HTML files.
        pictures: the folder for `PAGE-WIDTH.png`.

    Returns:
        A line for each page that is wider than its window, or whose console is not silent.
    """
    from playwright.sync_api import sync_playwright

    pictures.mkdir(parents=True, exist_ok=True)
    troubles = list[str]()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu"])
        for page in pages:
            for width in WIDTHS:
                context = browser.new_context(viewport={"width": width, "height": 844}, offline=True)
                tab, said = context.new_page(), list[str]()
                tab.on("console", lambda message, said=said: said.append(message.text))
                tab.goto(page.resolve().as_uri())
                if tab.evaluate("document.documentElement.scrollWidth") > width:
                    said.append("wider than the window")
                troubles += [f"{page} at {width} pixels: {text}" for text in said]
                name = "-".join([*page.parent.parts[-2:], page.stem, str(width)])
                tab.screenshot(path=str(pictures / f"{name}.png"), full_page=True)
                context.close()
        browser.close()
    return troubles


def _chromium() -> str | None:
    """The system's Chromium where there is one; else Playwright's own."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
