"""A page in a real browser, as tests look at it: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
WIDE = (1400, 900)
SEES_S = 60_000  # ms that a look may wait on a machine that is shared


@contextlib.contextmanager
def chromium_or_skip() -> Iterator[Any]:
    """Run a browser for the block; the test is skipped where there is none."""
    if not CHROMIUM:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        # The sandbox needs rights that containers and root lack.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Seen:
    """An open page, and what its console said."""

    def __init__(
        self,
        chromium: Any,
        url: str,
        size: tuple[int, int] = WIDE,
        *,
        has_patients: bool = True,
    ) -> None:
        self.errors: list[str] = []
        self.page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
        self.page.set_default_timeout(SEES_S)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: self._note(line))
        self.page.goto(url)
        if has_patients:
            self.page.wait_for_selector(".tile")

    def _note(self, line: Any) -> None:
        if line.type in ("error", "warning"):
            self.errors.append(line.text)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def values(self) -> int:
        return int(self.page.evaluate("ecgMonitor.behind().values"))

    def picture(self, selector: str = ".tile canvas") -> str:
        """Return what is drawn on the first of these canvases."""
        return str(self.page.eval_on_selector(selector, "one => one.toDataURL()"))

    def enter_token(self, token: str) -> None:
        self.page.click("#token-button")
        self.page.fill("#token", token)
        self.page.fill("#by", "Ada")
        self.page.click("#token-ok")
