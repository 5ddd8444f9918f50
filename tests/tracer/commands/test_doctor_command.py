"""`trace doctor` on paper: every line has what it needs."""

import json

import pytest

from probes.errors import InputError
from tracer.commands.consent import gigabytes
from tracer.commands.doctor import doctor_command
from tracer.generators import GENERATORS


def test_one_model_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    doctor_command("diffrhythm")
    text = capsys.readouterr().out
    assert "ASLP-lab/DiffRhythm-1_2" in text
    assert "2.2 GB, Apache-2.0" in text
    assert "missing" in text.splitlines()[-1]
    doctor_command("mini")
    assert capsys.readouterr().out.splitlines()[0] == "mini"


def test_all_models_in_a_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    doctor_command()
    assert set(GENERATORS) <= {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    doctor_command(as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert set(rows) == set(GENERATORS)
    assert {"what", "state", "size", "licence", "command"} == set(rows["diffrhythm"][0])


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(InputError, match="trace models"):
        doctor_command("jukebox")


@pytest.mark.parametrize(
    ("size", "text"), [(2.22, "2.2 GB"), (11.0, "11 GB"), (0.09, "90 MB"), (2e-6, "2 kB"), (None, "size not known")]
)
def test_sizes_as_people_say_them(size: float | None, text: str) -> None:
    assert gigabytes(size) == text
