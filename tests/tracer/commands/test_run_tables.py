"""What is printed of runs: whole at 80 columns, complete in a pipe, numbers for machines."""

import json

import pytest
from support.planted import OPTIONS, prompts, trace, write

from tracer.commands.run_tables import print_comparison, print_run
from tracer.commands.tables import Column, fit_columns
from tracer.comparing import compare_runs
from tracer.record.store import RunStore
from tracer.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(write(tmp_path_factory.mktemp("printed") / "run", 16, measured=True))


@pytest.fixture(scope="module")
def comparison(run, tmp_path_factory):
    return compare_runs([run, write(tmp_path_factory.mktemp("printed") / "other-run-with-a-name", 4)])


@pytest.fixture
def terminal(monkeypatch):
    """Standard output is a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)


def printed(capsys):
    return capsys.readouterr().out.splitlines()


def test_a_run_at_80_columns(run, terminal, capsys):
    print_run(run, as_json=False)
    lines = printed(capsys)
    assert max(len(line) for line in lines if str(run.path) not in line) <= 80
    headings = {heading.strip() for heading in lines[1].split("  ")}
    assert {"attribute", "closeness", "agreement", "flow time", "Eq. 4"} <= headings
    assert any("shuffled labels" in line for line in lines)
    table = run.settled(view="endpoint").set_index("attribute").loc["loudness"]
    assert any("loudness" in line and f"{table['index']} ({table['low']}-{table['high']})" in line for line in lines)


@pytest.mark.filterwarnings("ignore:.*one prompt")
def test_one_prompt_has_no_intervals(tmp_path, run, capsys):
    alone = Run(write(tmp_path / "one", 1))
    at = alone.summary()[0]["l1"]["index"]
    print_run(alone, as_json=False)
    said = capsys.readouterr().out
    assert f"{at} (-)" in said
    assert "nan" not in said
    print_run(alone, as_json=True)
    for row in json.loads(capsys.readouterr().out)["settled"]:
        assert row["l1"]["low"] is row["l1"]["high"] is None
    compared = compare_runs([run, alone])
    compared.plot(tmp_path / "both")
    print_comparison(compared, as_json=False)
    said = capsys.readouterr().out
    assert "(-) of 11" in said
    assert "nan" not in said


def test_a_comparison_at_80_columns_and_in_a_pipe(comparison, capsys, monkeypatch):
    print_comparison(comparison, as_json=False)
    piped = printed(capsys)
    assert "log-SNR" in piped[1]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_comparison(comparison, as_json=False)
    shown = printed(capsys)
    assert max(map(len, shown)) <= 80
    assert "flow time" in shown[1]
    for line in [line for line in shown if "planted (" in line][:6]:
        assert any(whole.startswith(line.split("  ")[0]) for whole in piped)


def test_a_pair_of_runs_says_over_how_many_prompts(run, comparison, tmp_path, capsys):
    print_comparison(comparison, as_json=False)
    lines = printed(capsys)
    start = next(place for place, line in enumerate(lines) if "the same prompts and seeds, paired" in line)
    assert lines[start + 1].split()[-1] == "n"
    assert {line.split()[-1] for line in lines[start + 2 : start + 8]} == {"4"}
    assert "fewer than 8 prompts: these intervals are rough" in lines[start:]
    print_comparison(compare_runs([run, write(tmp_path / "many", 8)]), as_json=False)
    assert "fewer than 8 prompts" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*one prompt")
def test_nothing_is_told_of_the_order_of_one_prompt(run, tmp_path, capsys):
    compared = compare_runs([run, write(tmp_path / "one", 1, model="alone"), write(tmp_path / "few", 7, model="some")])
    print_comparison(compared, as_json=False)
    lines = printed(capsys)
    assert [line for line in lines if line.endswith(", alone: one prompt: nothing is told")] == [
        "  endpoint, alone: one prompt: nothing is told", "  state, alone: one prompt: nothing is told",
    ]  # fmt: skip
    assert "  endpoint, planted: pitch < timbre < loudness" in lines
    assert not any("?" in line for line in lines)
    rough = "fewer than 8 prompts, intervals are rough: "
    assert [line.removeprefix(rough) for line in lines if line.startswith(rough)] == ["alone", "some"]
    assert "endpoint, alone: one prompt: nothing is told" in repr(compared)
    print_comparison(compared, as_json=True)
    orders = {row["run"]: row["order"] for row in json.loads(capsys.readouterr().out)["orders"]}
    assert orders["alone"] == "pitch ? timbre ? loudness"


def test_an_order_without_frames_says_that_it_was_not_tested(run, tmp_path, capsys):
    options = {**OPTIONS, "model": "pooled"}
    RunStore.open(tmp_path / "pooled", options, prompts(9), frames=False).append([trace(i) for i in range(9)])
    print_comparison(compare_runs([run, tmp_path / "pooled"]), as_json=False)
    lines = printed(capsys)
    assert "  endpoint, pooled: pitch ? timbre ? loudness" in lines
    (note,) = (line for line in lines if line.startswith("  '?' not tested"))
    assert len(note) <= 80
    assert not any("fewer than 8" in line for line in lines)


def test_columns_go_in_the_order_in_which_they_can_be_spared():
    columns = [Column("a" * 10), Column("b" * 10, spare=1), Column("c" * 10, spare=2)]
    for width, kept in ((100, "abc"), (34, "abc"), (33, "ab"), (21, "a"), (3, "a")):
        assert "".join(column.heading[0] for column in fit_columns(columns, width)) == kept


def test_json_of_a_run(run, capsys):
    print_run(run, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], len(found["settled"])) == (16, 6)
    first = found["settled"][0]
    assert first["attribute"] == "pitch"
    assert first["agreement"]["low"] <= first["agreement"]["index"] <= first["agreement"]["high"]
    assert first["agreement_shuffled"]["index"] > first["agreement"]["index"]
    assert {row["probe"] for row in found["ground_truth"]} == {"trained", "shuffled"}


def test_json_has_no_number_that_json_lacks(comparison, capsys):
    print_comparison(comparison, as_json=True)

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert {row["run"] for row in found["settled"]} == set(comparison.settled["run"])
    assert found["threshold"] == 0.1
    assert found["orders"][0]["order"]
