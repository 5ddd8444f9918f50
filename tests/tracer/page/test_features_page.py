"""The page of features: quick with thousands, with sound, and every feature has an address."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.browser import Watched
from support.corpus import tiny_corpus
from support.readout import tiny_readout

from probes.fit import atlas
from probes.spaces import load_space
from tracer.page.features_page import write_features


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    corpus = tiny_corpus(folder / "corpus", frames=90, channels=64, splits=("train", "test"))
    return write_features(tiny_readout(64, 4096), corpus, load_space("mini"), folder / "page", lambda *_: None)


def test_features_are_found_opened_and_heard(watched: Callable[..., Watched], page: Path) -> None:
    one = watched()
    shown = one.open(page, "#feature=12")
    assert shown.locator("#which").inner_text() == "Feature 12"
    assert shown.locator("#list button").count() == 100
    shown.click("#more")
    assert shown.locator("#list button").count() == 200
    shown.fill("#search", "4000")
    assert shown.locator("#list button").count() == 1
    shown.locator("#list button").first.click()
    shown.wait_for_function("() => document.getElementById('which').textContent === 'Feature 4000'")
    assert shown.url.endswith("#feature=4000")
    shown.fill("#search", "c4")
    assert 0 < shown.locator("#list button").count() < 200
    seconds = shown.evaluate(
        "() => new Promise((done) => { const a = document.querySelector('#moments audio'); "
        "a.addEventListener('loadedmetadata', () => done(a.duration)); a.preload = 'metadata'; a.load(); })"
    )
    assert 0 < seconds <= 2.1
    neighbour = shown.locator("#neighbours a").first
    number = neighbour.inner_text()
    neighbour.click()
    shown.wait_for_function(f"() => document.getElementById('which').textContent === 'Feature {number}'")
    assert not one.outside(page.parent)


def test_a_page_that_was_broken_off_makes_no_clip_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path / "corpus", frames=90, channels=64, splits=("train", "test"))
    readout, space = tiny_readout(64, 32), load_space("mini")
    whole = write_features(readout, corpus, space, tmp_path / "whole", lambda *_: None).parent
    decode, made = atlas.decoded, []

    def killed(*given: Any) -> np.ndarray:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(given[1:])
        return decode(*given)

    monkeypatch.setattr(atlas, "decoded", killed)
    with pytest.raises(KeyboardInterrupt):
        write_features(readout, corpus, space, tmp_path / "page", lambda *_: None)
    monkeypatch.setattr(atlas, "decoded", lambda *given: made.append(given[1:]) or decode(*given))
    page = write_features(readout, corpus, space, tmp_path / "page", lambda *_: None).parent
    clips = sorted(path.name for path in (page / "clips").iterdir())
    assert 2 < len(clips) == len(made)
    assert clips == sorted(path.name for path in (whole / "clips").iterdir())
    assert all((page / "clips" / name).read_bytes() == (whole / "clips" / name).read_bytes() for name in clips)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_sorting_thousands_is_quick(watched: Callable[..., Watched], page: Path) -> None:
    shown = watched().open(page)
    took = shown.evaluate(
        "() => { const s = document.getElementById('sort'); const t = performance.now(); "
        "for (const value of ['density', 'number', 'maximum', 'density']) { s.value = value; "
        "s.dispatchEvent(new Event('change')); } return (performance.now() - t) / 4; }"
    )
    assert took < 500  # milliseconds on a busy core; a tenth of that when quiet


def test_classes_lead_to_their_features(watched: Callable[..., Watched], page: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed (the dev extra)")
    shown = watched(width=390).open(page)
    shown.click("#tab-class")
    shown.select_option("#attribute", "loudness")
    assert shown.locator("#classes tbody tr").count() == 20
    found = axe.Axe().run(shown, options={"preload": False}).response["violations"]
    assert not [one["id"] for one in found if one["impact"] in ("serious", "critical")]
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    link = shown.locator("#classes a").first
    number = link.inner_text()
    link.click()
    shown.wait_for_function(f"() => document.getElementById('which').textContent === 'Feature {number}'")
    assert shown.locator("#part-feature").is_visible()
