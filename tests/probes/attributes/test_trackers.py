"""SwiftF0 as pitch tracker and Basic Pitch as onset detector."""

import numpy as np
import pytest
from support.packages import needs

from probes.attributes import basic_pitch, get_attribute, swift_f0
from probes.errors import InputError

RATE, HOP = 22050, 1024


def melody(pitches: list[int], seconds: float, rate: int = RATE, level: float = 0.3) -> np.ndarray:
    """Notes of five partials one after the other, each of them fading."""
    time = np.arange(round(seconds * rate)) / rate
    fade = np.minimum(time / 0.005, 1) * np.exp(-2 * time / seconds)
    hertz = [440 * 2 ** ((pitch - 69) / 12) for pitch in pitches]
    notes = [fade * sum(np.sin(2 * np.pi * k * f * time) / k**2 for k in range(1, 6)) for f in hertz]
    return (level * np.concatenate(notes)).astype(np.float32)


@needs("swift_f0")
@pytest.mark.parametrize("level", [0.3, 0.003])
def test_swift_f0_reads_a_melody_whatever_its_level(level: float) -> None:
    pitches = [48, 60, 64, 55, 72]
    audio = melody(pitches, 0.5, level=level)
    frames = len(audio) // HOP
    values, valid = get_attribute("pitch", model="swift-f0").measure(audio, RATE, frames, HOP)
    place = (np.arange(frames) + 0.5) * HOP / RATE
    inside = np.abs(place % 0.5 - 0.25) < 0.15
    assert valid[inside].mean() > 0.95
    np.testing.assert_allclose(
        values[inside & valid], np.array(pitches)[(place // 0.5).astype(int)][inside & valid], atol=0.5
    )


@needs("swift_f0")
def test_swift_f0_finds_no_pitch_in_silence_and_after_the_end() -> None:
    pitch = get_attribute("pitch", model="swift-f0")
    for samples, frames in ((1, 1), (100, 5), (RATE, 21)):
        values, valid = pitch.measure(np.zeros(samples, np.float32), RATE, frames, HOP)
        assert values.shape == valid.shape == (frames,)
        assert np.isfinite(values).all()
        assert not valid.any()
    _, valid = pitch.measure(melody([60], 0.5), RATE, 40, HOP)
    assert valid[2:8].all()
    assert not valid[20:].any()


@needs("swift_f0")
def test_the_tracker_and_its_threshold_are_recorded() -> None:
    about = get_attribute("pitch", model="swift-f0").describe()
    assert about == {"unit": "MIDI", "threshold": swift_f0.THRESHOLD, "tracker": swift_f0.name()}


def test_what_was_recorded_of_the_other_ones_stays() -> None:
    assert get_attribute("pitch", model="tiny").describe() == {"unit": "MIDI", "threshold": 0.5, "crepe": "tiny"}
    assert get_attribute("pitch").describe() == {"unit": "MIDI", "threshold": 0.5, "crepe": "full"}
    assert get_attribute("onset").describe() == {"unit": "onset", "threshold": 0.5}


@pytest.mark.parametrize(
    ("module", "name", "options", "command"),
    [
        (swift_f0, "pitch", {"model": "swift-f0"}, r"pip install 'generation-tracer\[trackers\]'"),
        (basic_pitch, "onset", {"detector": "basic-pitch"}, "pip install --no-deps basic-pitch"),
    ],
)
def test_a_missing_package_is_one_line_with_the_command(
    module: object, name: str, options: dict[str, str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=command) as caught:
        get_attribute(name, **options)
    assert "\n" not in str(caught.value)


def test_an_unknown_detector() -> None:
    with pytest.raises(InputError, match="librosa or basic-pitch, not 'ear'"):
        get_attribute("onset", detector="ear")


@needs("basic_pitch")
@pytest.mark.parametrize("rate", [22050, 44100])
def test_basic_pitch_hears_notes_where_they_begin(rate: int) -> None:
    """Over eleven seconds, seven windows of the network: none of them is shifted."""
    pitches = [60, 64, 67, 72, 69, 65, 62, 67, 59, 55] * 3
    found = basic_pitch.onset_times(melody(pitches, 0.37, rate), rate)
    wanted = np.arange(len(pitches)) * 0.37
    assert len(found) == len(wanted)
    assert np.abs(found - wanted).max() < 0.03
    assert np.mean(found[-5:] - wanted[-5:]) == pytest.approx(np.mean(found[:5] - wanted[:5]), abs=0.01)


@needs("basic_pitch")
def test_basic_pitch_as_labels() -> None:
    onset = get_attribute("onset", detector="basic-pitch")
    assert onset.describe() == {"unit": "onset", "threshold": 0.5, "detector": basic_pitch.name()}
    audio = np.concatenate([np.zeros(RATE // 2, np.float32), melody([60, 67], 0.5)])
    marks, valid = onset.measure(audio, RATE, len(audio) // HOP, HOP)
    assert valid.all()
    np.testing.assert_allclose((np.flatnonzero(marks) + 0.5) * HOP / RATE, [0.5, 1.0], atol=0.05)
    for samples in (1, RATE):
        assert not onset.measure(np.zeros(samples, np.float32), RATE, 21, HOP)[0].any()
