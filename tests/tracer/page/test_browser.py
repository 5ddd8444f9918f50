"""Pages in a real browser, opened from the disk with the network cut."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support import page_run, planted
from support.browser import PLAYING, Watched

from tracer.page.viewing import write_view


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one run."""
    return write_view([page_run.write_run(tmp_path_factory.mktemp("runs") / "run").path])


def test_nothing_leaves_the_folder(watched: Callable[..., Watched], page: Path) -> None:
    one = watched()
    shown = one.open(page)
    shown.click("#tab-song")
    shown.wait_for_selector("#map .main-svg")
    assert one.requests
    assert not one.outside(page.parent)


def test_attributes_without_closeness_are_named(
    watched: Callable[..., Watched], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = planted.add_nulls

    def unordered(made: planted.PromptTrace) -> planted.PromptTrace:
        made = whole(made)
        made.values = {curve: values for curve, values in made.values.items() if curve.attribute != "pitch"}
        return made

    monkeypatch.setattr(planted, "add_nulls", unordered)
    runs = [page_run.write_run(tmp_path / name, sounds=False).path for name in ("run", "other")]
    for page, note in ((write_view(runs[:1]), "#legend"), (write_view(runs, tmp_path / "both"), "#not-shown")):
        shown = watched().open(page)
        assert shown.locator("#curves .chart:visible").count() == 2
        assert "Not shown, classes without an order: pitch." in shown.locator(note).inner_text()
        shown.select_option("#measure", "agreement")
        assert shown.locator("#curves .chart:visible").count() == 3
        assert "without an order" not in shown.locator(note).inner_text()
    assert "Left out, since their classes have no order: pitch." in shown.locator("#left-out").inner_text()


def test_curves_follow_the_choices(watched: Callable[..., Watched], page: Path) -> None:
    shown = watched().open(page)
    assert shown.locator("#curves .chart").count() == 3
    label = shown.locator("#curves .chart").first.get_attribute("aria-label")
    shown.select_option("#measure", "agreement")
    shown.select_option("#view", "state")
    shown.select_option("#axis", "logsnr")
    changed = shown.locator("#curves .chart").first.get_attribute("aria-label")
    assert label != changed
    assert "agreement" in changed
    assert "log-SNR" in changed
    assert shown.locator("#verdicts tbody tr").count() == 12
    assert "earlier" in shown.locator("#verdicts").inner_text()


@pytest.mark.filterwarnings("ignore:.*one prompt")
def test_one_prompt_has_no_interval(watched: Callable[..., Watched], tmp_path: Path) -> None:
    run = page_run.write_run(tmp_path / "run", 1, sounds=False)
    shown = watched().open(write_view([run.path]))
    said = shown.locator("#settled").inner_text()
    assert "(-)" in said
    assert "null" not in said


def test_a_change_of_state_plays_another_sound_at_the_same_second(watched: Callable[..., Watched], page: Path) -> None:
    shown = watched().open(page, "#song")
    shown.wait_for_selector("#map .main-svg")
    shown.keyboard.press("ArrowRight")
    shown.keyboard.press("Space")
    shown.wait_for_function(f"() => {{ const p = ({PLAYING})(); return p && p.at > 1.2; }}")
    first = shown.evaluate(PLAYING)
    assert first["name"] == "endpoint-11"
    for _ in range(3):
        shown.keyboard.press("ArrowDown")
    shown.wait_for_function(f"() => {{ const p = ({PLAYING})(); return p && p.name === 'endpoint-8' && p.at > 0.1; }}")
    second = shown.evaluate(PLAYING)
    assert first["at"] <= second["at"] < first["at"] + 1.5
    assert "state 8 of 11" in shown.locator("#where").inner_text()
    shown.keyboard.press("ArrowDown")
    assert "the nearest sound is that of state" in shown.locator("#where").inner_text()
    shown.keyboard.press("Space")
    assert shown.evaluate(PLAYING) is None
    at = shown.evaluate("Number(document.getElementById('time').value)")
    shown.keyboard.press("ArrowLeft")
    # The place follows the key with the next picture.
    shown.wait_for_function(f"() => Math.abs(Number(document.getElementById('time').value) - {at - 1}) < 0.1")


def test_the_scrubber_does_the_same_and_the_view_changes_the_sound(watched: Callable[..., Watched], page: Path) -> None:
    shown = watched().open(page, "#song")
    shown.wait_for_selector("#map .main-svg")
    shown.click("#play")
    shown.wait_for_function(f"() => ({PLAYING})()")
    shown.focus("#state")
    shown.keyboard.press("Home")
    shown.wait_for_function(f"() => {{ const p = ({PLAYING})(); return p && p.name === 'endpoint-0'; }}")
    shown.select_option("#song-view", "state")
    shown.wait_for_function(f"() => {{ const p = ({PLAYING})(); return p && p.name === 'state-0'; }}")


def test_a_click_on_the_map_jumps(watched: Callable[..., Watched], page: Path) -> None:
    shown = watched().open(page, "#song")
    shown.wait_for_selector("#map .main-svg")
    box = shown.locator("#map .nsewdrag").bounding_box()
    shown.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])
    shown.wait_for_function("() => Number(document.getElementById('state').value) !== 11")
    assert shown.evaluate("Number(document.getElementById('time').value)") == pytest.approx(3, abs=0.15)
    assert 5 <= shown.evaluate("Number(document.getElementById('state').value)") <= 6
    cursor = shown.locator("#cursor").bounding_box()
    assert cursor["x"] == pytest.approx(box["x"] + 0.75 * box["width"], abs=12)


def test_a_run_without_the_endpoint_plays_its_finished_clips(watched: Callable[..., Watched], tmp_path: Path) -> None:
    run = page_run.write_run(tmp_path / "run")
    index = write_view([run.path])
    script = index.with_name("data") / "run.js"
    assert '"views":["endpoint","state"]' in script.read_text()
    script.write_text(script.read_text().replace('"views":["endpoint","state"]', '"views":["state"]'))
    for data in script.parent.glob("clip-*.js"):  # a finished clip is the endpoint's
        data.write_text(re.sub(r'"state":\{"0":', '"other":{"0":', data.read_text()))
    shown = watched().open(index, "#song")
    shown.wait_for_selector("#map .main-svg")
    assert "no sound was kept" not in shown.locator("body").inner_text()


def test_a_caption_is_text(watched: Callable[..., Watched], page: Path) -> None:
    shown = watched().open(page, "#song=00001")
    shown.wait_for_selector("#map .main-svg")
    assert shown.locator("#caption").inner_text() == page_run.HOSTILE
    assert shown.locator("img").count() == 0
    assert "broken" not in shown.title()
    shown.click("#tab-run")
    shown.click("summary")
    assert "<i>2</i>" in shown.locator("#made").inner_text()


def test_prompts_are_searched_and_sorted(watched: Callable[..., Watched], page: Path) -> None:
    shown = watched().open(page, "#song")
    shown.wait_for_selector("#map .main-svg")
    shown.fill("#search", "number 2 quiet")
    assert shown.locator("#clips button").count() == 1
    assert shown.locator("#count").inner_text() == "1 of 3"
    shown.fill("#search", "")
    shown.select_option("#sort", "caption")
    first = shown.locator("#clips button").first.inner_text()
    assert first.startswith("<img")
    shown.select_option("#sort", "pitch")
    states = [int(text.split("pitch ")[1].split(",")[0]) for text in shown.locator("#clips small").all_inner_texts()]
    assert states == sorted(states)
    shown.locator("#clips button").nth(2).click()
    shown.wait_for_function("() => document.querySelector('#clips [aria-current=true]')")
    assert "#song=" in shown.url


@pytest.mark.parametrize(
    ("part", "width", "scheme"),
    [("#run", 1280, "light"), ("#run", 390, "dark"), ("#song", 1280, "dark"), ("#song", 390, "light")],
)
def test_accessible_and_never_wider_than_the_screen(
    watched: Callable[..., Watched], page: Path, scheme: str, width: int, part: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed (the dev extra)")
    shown = watched(width=width, scheme=scheme).open(page, part)
    shown.wait_for_timeout(300)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(shown, options={"preload": False}).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in serious]


def test_the_page_of_two_runs_leads_to_each(watched: Callable[..., Watched], page: Path, tmp_path: Path) -> None:
    other = page_run.write_run(tmp_path / "o<b>ther", 3, guidance=0.0)
    both = write_view([page.parent.parent, other.path], tmp_path / "page")
    one = watched()
    shown = one.open(both)
    assert shown.locator("#curves .main-svg:visible").count() >= 3
    boxes = [shown.locator("#curves .chart").nth(k).bounding_box() for k in range(3)]
    charts = [shown.locator("#curves .plot-container").nth(k).bounding_box() for k in range(3)]
    assert all(abs(box["width"] - chart["width"]) < 2 for box, chart in zip(boxes, charts))
    assert shown.locator("#pairs tbody tr").count() == 6
    assert "o<b>ther" in shown.locator("#runs").inner_text()
    shown.locator("#runs a").nth(1).click()
    shown.wait_for_selector("#curves .main-svg")
    assert shown.locator("#back").is_visible()
    assert not one.outside(both.parent)
