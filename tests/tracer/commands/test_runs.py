"""Commands on finished runs: where their figures and pages lie when no place is named."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import page_run, planted

import cli

Call = Callable[..., list[Path]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `trace` with arguments, to its end: the paths that it prints."""

    def run(*arguments: object) -> list[Path]:
        monkeypatch.setattr(sys, "argv", ["trace", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        assert not end.value.code, said.err
        return [Path(line) for line in said.out.splitlines() if line.endswith((".png", ".svg", ".html"))]

    return run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Three runs, of which the last two have the same name; the first has a figure of its own."""
    places = (tmp_path / name for name in ("one", "other/run", "third/run"))
    folders = [planted.write(place, 2, seed=seed) for seed, place in enumerate(places)]
    for ending in ("png", "svg"):
        (folders[0] / f"emergence.{ending}").write_text("of one")
    return folders


def test_a_figure_of_several_runs_leaves_that_of_the_first(runs: list[Path], call: Call) -> None:
    one, two, three = runs
    stems = []
    for arguments in ([one, two], [one, three], runs, [one, "--x", "logsnr"], [one, "--x", "time"]):
        made = call("plot", *arguments)
        assert [path.suffix for path in made] == [".png", ".svg"]
        assert all(path.parent == one and path.stat().st_size > 5_000 for path in made)
        stems.append(made[0].stem)
    assert stems == [
        "emergence-with-other-run", "emergence-with-third-run", "emergence-with-other-run-and-third-run",
        "emergence-logsnr", "emergence-time",
    ]  # fmt: skip
    assert (one / "emergence.png").read_text() == (one / "emergence.svg").read_text() == "of one"
    assert call("plot", one) == [one / "emergence.png", one / "emergence.svg"]


def test_a_comparison_leaves_an_earlier_one(runs: list[Path], call: Call) -> None:
    one, two, three = runs
    first = call("compare", one, two)
    drawn = [path.read_bytes() for path in first]
    assert [path.name for path in first] == ["comparison-with-other-run.png", "comparison-with-other-run.svg"]
    assert not set(first) & set(call("compare", one, three))
    assert [path.read_bytes() for path in first] == drawn


def test_names_of_long_paths_can_be_written(tmp_path: Path, call: Call) -> None:
    folders = [planted.write(tmp_path / (letter * 200), 2) for letter in "abc"]
    made = [call("plot", *some)[0] for some in (folders, folders[:2], folders[::2])]
    assert len(set(made)) == 3
    assert all(path.is_file() for path in made)


def test_a_page_of_several_runs_lies_beside_the_first(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("one", "two", "three")
    one, two, three = (page_run.write_run(tmp_path / name, 2, sounds=False).path for name in names)
    (own,) = call("view", one, "--no-open")
    written = own.read_bytes()
    assert own == one / "page" / "index.html"
    monkeypatch.chdir(one)
    made = [call("view", *some, "--no-open")[0] for some in ([one, two], [".", three])]
    assert made == [tmp_path / f"page-one-with-{name}" / "index.html" for name in ("two", "three")]
    assert own.read_bytes() == written
    assert sorted(path.name for path in one.glob("page*")) == ["page"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("plot", ["emergence in the run", "emergence-X", "emergence-with-OTHERS in the first"]),
        ("compare", ["comparison-with-OTHERS in the first run"]),
        ("view", ["page in the folder", "page-FIRST-with-OTHERS beside it"]),
    ],
)
def test_the_help_says_where_it_is_written(
    command: str, told: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 300)
    monkeypatch.setattr(sys, "argv", ["trace", command, "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    said = " ".join(capsys.readouterr().out.split())
    assert [text for text in told if text not in said] == []
