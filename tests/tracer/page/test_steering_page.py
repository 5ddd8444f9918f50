"""The page of steering: versions on one switch, and the charts."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import steering_folders
from support.browser import PLAYING, Watched

from probes.errors import InputError
from tracer.page.viewing import write_view
from tracer.steering.tables import open_run, read_csv, write_csv


def test_doses_are_on_one_switch_at_the_same_second(watched: Callable[..., Watched], tmp_path: Path) -> None:
    page = write_view([steering_folders.write_dose(tmp_path / "steer")])
    one = watched()
    shown = one.open(page)
    shown.select_option("#prompt", "4")
    shown.wait_for_function("() => document.getElementById('caption').textContent.includes('hostile')")
    assert shown.locator("#caption").inner_text() == steering_folders.CAPTION
    assert shown.locator("#versions button").all_inner_texts() == [
        "plain", "dose 0.01", "random push 0.01", "dose 0.05", "random push 0.05",
    ]  # fmt: skip
    shown.keyboard.press("Space")
    shown.wait_for_function(f"() => {{ const p = ({PLAYING})(); return p && p.at > 0.8; }}")
    first = shown.evaluate(PLAYING)
    assert first["name"] == "plain"
    shown.locator("#versions button").nth(3).click()
    shown.wait_for_function(f"() => {{ const p = ({PLAYING})(); return p && p.name === 'dose 0.05'; }}")
    assert first["at"] - 0.1 <= shown.evaluate(PLAYING)["at"] < first["at"] + 1.5
    assert "loudness -2.00 dB" in shown.locator("#told").inner_text()
    shown.keyboard.press("ArrowDown")
    shown.wait_for_function(f"() => {{ const p = ({PLAYING})(); return p && p.name === 'random push 0.05'; }}")
    assert shown.locator("#doses .main-svg:visible").count() >= 6
    assert "Leakage" in shown.locator("#leakage").get_attribute("aria-label")
    assert not one.outside(page.parent)


MARKS = """() => [...document.querySelectorAll('#doses .chart')].map((chart) => ({
  points: chart.querySelectorAll('.scatterlayer .point').length,
  bars: [...chart.querySelectorAll('.scatterlayer .yerror')].map((bar) => bar.getBoundingClientRect().height),
}))"""
"""Marks of each chart of doses, and the heights of the bars through them."""


def test_one_dose_is_a_mark_with_its_bounds(watched: Callable[..., Watched], tmp_path: Path) -> None:
    folder = steering_folders.write_dose(tmp_path / "steer")
    rows = read_csv(folder / "dose.csv")
    (first, *_) = dict.fromkeys(row["alpha"] for row in rows)
    bounds = {
        f"{name}_{of}": size for of in ("pitch", "loudness", "timbre") for name, size in (("low", 0.5), ("high", 2))
    }
    shifts = {f"shift_{of}": 1.0 for of in ("pitch", "loudness", "timbre")}
    bands = {f"band_{of}": 0.2 for of in ("pitch", "loudness", "timbre")}
    write_csv(folder / "dose.csv", [row | bounds | shifts | bands for row in rows if row["alpha"] == first])
    shown = watched().open(write_view([folder]))
    charts = shown.evaluate(MARKS)
    assert len(charts) == 6
    for chart in charts:
        assert chart["points"] == 2  # the edit and the random push
        random, own = chart["bars"]
        assert own > 20
        assert own / random == pytest.approx(1.5 / 0.4, rel=0.15)


def test_several_doses_are_lines_without_marks(watched: Callable[..., Watched], tmp_path: Path) -> None:
    shown = watched().open(write_view([steering_folders.write_dose(tmp_path / "steer")]))
    assert all(chart == {"points": 0, "bars": []} for chart in shown.evaluate(MARKS))


def test_edits_that_never_come_to_equal_effect_have_a_sentence_for_leakage(
    watched: Callable[..., Watched], tmp_path: Path
) -> None:
    folder = steering_folders.write_dose(tmp_path / "steer")
    empty = dict.fromkeys(("pitch", "loudness", "timbre"), float("nan"))
    write_csv(folder / "leakage.csv", [row | empty for row in read_csv(folder / "leakage.csv")])
    shown = watched().open(write_view([folder]))
    assert shown.locator("#leakage .main-svg").count() == 0
    assert "Larger doses (--alpha) may" in shown.locator("#leakage").inner_text()
    shown.emulate_media(color_scheme="dark")
    shown.wait_for_function("() => document.querySelectorAll('#doses .main-svg').length >= 6")
    assert "Nothing to compare" in shown.locator("#leakage").inner_text()


def test_an_edit_along_a_curve_of_a_file_has_its_sound(tmp_path: Path) -> None:
    folder, curve = steering_folders.write_dose(tmp_path / "steer"), "loudness=@curves/rise.csv"
    for table in ("dose.csv", "clips.csv"):
        (folder / table).write_text((folder / table).read_text().replace("loudness=+", curve))
    for path in (folder / "audio").glob("*loudness=+*"):
        path.rename(path.with_name(path.name.replace("loudness=+", curve.replace("/", "_"))))
    data = write_view([folder]).parent / "data" / "prompt-00000.js"
    assert data.read_text().count('"sound"') == len(list((folder / "audio").glob("00000-*")))


def test_a_recording_has_its_original_and_each_dose(watched: Callable[..., Watched], tmp_path: Path) -> None:
    page = write_view([steering_folders.write_edit(tmp_path / "edit")])
    shown = watched(scheme="dark").open(page)
    assert shown.locator("#versions button").all_inner_texts() == ["original", "codec alone", "alpha 2"]
    shown.locator("#versions button").nth(2).click()
    shown.wait_for_selector("#tracks .lane[aria-label*='alpha 2']")
    assert shown.evaluate("document.querySelectorAll('#sounds audio').length") == 2


def test_lock_in_is_drawn(watched: Callable[..., Watched], tmp_path: Path) -> None:
    shown = watched(width=390).open(write_view([steering_folders.write_lockin(tmp_path / "when")]))
    assert shown.locator("#lockin .chart").count() == 2
    assert shown.locator("#listen").is_hidden()
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("content", ["", "[]", "null", '{"edits": 3}', '{"windows": "many"}', "[" * 10**5, "\0" * 40])
def test_a_damaged_description_of_a_run_is_one_line(content: str, tmp_path: Path) -> None:
    folder = steering_folders.write_lockin(tmp_path / "when")
    (folder / "lockin.json").write_text(content)
    with pytest.raises(InputError, match=r"lockin\.json") as refused:
        write_view([folder])
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match=r"lockin\.json|other options") as refused:
        open_run(folder, "lockin.json", {"edits": ["loudness=+"], "windows": 3})
    assert "\n" not in str(refused.value)
