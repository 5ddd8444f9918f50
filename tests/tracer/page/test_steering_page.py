"""The page of steering: versions on one switch, and the charts."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import steering_folders
from support.browser import PLAYING, Watched

from probes.errors import InputError
from tracer.page.viewing import write_view
from tracer.steering.tables import open_run


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
