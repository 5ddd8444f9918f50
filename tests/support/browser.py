"""A headless browser without a network, for tests of pages; skips with a reason where there is none."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required", "--mute-audio"]


def launched() -> Iterator[Any]:
    """Chromium of the system, or Playwright's own."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (the dev extra)")
    system = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with api.sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=system, args=ARGUMENTS)
        except api.Error as error:
            pytest.skip(f"no Chromium: install Debian's package or `playwright install chromium` ({str(error)[:60]})")
        yield chromium
        chromium.close()


PLAYING = """() => {
  const sound = [...document.querySelectorAll('#sounds audio')].find((one) => !one.paused);
  return sound ? {name: sound.dataset.name, at: sound.currentTime} : null;
}"""
"""Which sound plays on a page, and where; null while none does."""


class Watched:
    """A page opened from the disk with the network cut, and what went wrong on it."""

    def __init__(self, browser: Any, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        size = {"width": width, "height": height}
        self.context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self._not_loaded)
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    def _not_loaded(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # a sound that was left for another one
            self.complaints.append(f"not loaded: {request.url}")

    def open(self, index: Path, part: str = "") -> Any:
        """Go to a page and wait until its first chart is drawn."""
        self.page.goto(index.resolve().as_uri() + part)
        self.page.wait_for_selector(".js-plotly-plot .main-svg:visible", timeout=15000)
        return self.page

    def outside(self, folder: Path) -> list[str]:
        """Requests that left a folder."""
        root = folder.resolve().as_uri()
        return [url for url in self.requests if not url.startswith((root, "data:", "blob:"))]

    def close(self) -> None:
        """Close it and fail if it complained."""
        self.context.close()
        assert not self.complaints, self.complaints
