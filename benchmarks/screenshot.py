"""Take a picture of a page in headless Chromium, as they stand in docs/.

python benchmarks/screenshot.py runs/demo/page/index.html#song docs/page-song.png --width 1280 --state 5 --map pitch
"""

import argparse
import shutil
from pathlib import Path


def main() -> None:
    """Open, choose, and write the picture."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", help="index.html of a page, with #part")
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--state", type=int, help="state to go to, on the part #song")
    parser.add_argument("--map", help="attribute of the map, on the part #song")
    parser.add_argument("--version", type=int, help="number of the version to choose, on a page of steering")
    given = parser.parse_args()
    path, _, part = given.page.partition("#")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = chromium.new_page(
            viewport={"width": given.width, "height": given.height}, color_scheme="dark" if given.dark else "light"
        )
        shown.goto(Path(path).resolve().as_uri() + (f"#{part}" if part else ""))
        shown.wait_for_selector(".js-plotly-plot .main-svg:visible")
        if given.map:
            shown.select_option("#map-of", given.map)
        if given.state is not None:
            shown.evaluate(
                "state => { const s = document.getElementById('state'); s.value = state; "
                "s.dispatchEvent(new Event('input')); }",
                given.state,
            )
        if given.version is not None:
            shown.locator("#versions button").nth(given.version).click()
        shown.wait_for_timeout(700)
        shown.screenshot(path=given.out)
        chromium.close()


if __name__ == "__main__":
    main()
