"""Attributes on audio whose pitch, loudness and timbre are known."""

import numpy as np
import pytest
from support.packages import needs

from probes.attributes import ATTRIBUTES, get_attribute
from probes.attributes.base import Attribute, on_grid, window_length
from probes.errors import InputError

# Sample rate and hop of the spaces.
OF_TONES = ("pitch", "loudness", "timbre", "chroma")
MEASURABLE = [name for name in ATTRIBUTES if get_attribute(name).measurable]
GRIDS = [(44100, 2048), (24000, 320), (24000, 600), (22050, 1024)]


TRACKERS = ("tiny", pytest.param("swift-f0", marks=needs("swift_f0")))


def attribute(name: str, tracker: str = "tiny") -> Attribute:
    return get_attribute(name, **({"model": tracker} if name == "pitch" else {}))


def tone(frequency: np.ndarray | float, level: np.ndarray | float, samples: int, rate: int) -> np.ndarray:
    """A sine of amplitude `level`, its phase continuous where the frequency steps."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(frequency, samples)) / rate
    return (level * np.sin(phase)).astype(np.float32)


def test_known_tones() -> None:
    rate, hop, frames = 22050, 1024, 20
    audio = tone(440.0, 0.5, frames * hop, rate)
    values = {name: attribute(name).measure(audio, rate, frames, hop) for name in OF_TONES}
    assert all(valid.all() for _, valid in values.values())
    np.testing.assert_allclose(values["pitch"][0][1:-1], 69, atol=0.2)
    np.testing.assert_allclose(values["loudness"][0], 0.5 / np.sqrt(2), rtol=0.02)
    np.testing.assert_allclose(values["timbre"][0][1:-1], 440, atol=10)
    np.testing.assert_array_equal(values["chroma"][0], 9)  # A


def crossing(values: np.ndarray) -> float:
    """When labels pass half-way between their two levels, in frames; value i belongs to time i + 1/2."""
    middle = (np.median(values[3:9]) + np.median(values[-9:-3])) / 2
    above = values > middle
    # The frames at the ends see the silence outside.
    last = 3 + int(np.argmax(above[3:] != above[3])) - 1
    return last + 0.5 + (middle - values[last]) / (values[last + 1] - values[last])


@pytest.mark.parametrize(("rate", "hop"), GRIDS)
@pytest.mark.parametrize(
    ("name", "tracker"),
    [("pitch", "tiny"), pytest.param("pitch", "swift-f0", marks=needs("swift_f0")), ("loudness", ""), ("timbre", "")],
)
def test_a_step_is_seen_where_it_is(name: str, tracker: str, rate: int, hop: int) -> None:
    """The labels pass half-way within half a frame of a step.

    A window that holds both sounds leans to one of them, to the louder or the higher; so several steps are taken both
    ways, which moves their crossings apart and leaves the mean.
    """
    edge, frames = 12, 24
    found = []
    steps = [(330.0, 550.0), (262.0, 392.0), (220.0, 415.0), (500.0, 700.0)]
    if tracker == "swift-f0":
        steps.pop()  # beside 700 Hz it gives a pure tone of 500 Hz another pitch, with a confidence below 0.25
    for levels in steps + [pair[::-1] for pair in steps]:
        step = np.where(np.arange(frames * hop) < edge * hop, *levels)
        audio = tone(440.0, step / 1000, len(step), rate) if name == "loudness" else tone(step, 0.4, len(step), rate)
        found.append(crossing(attribute(name, tracker).measure(audio, rate, frames, hop)[0]))
    assert np.mean(found) == pytest.approx(edge, abs=0.5)
    assert found == pytest.approx([edge] * len(found), abs=2)


def test_chroma_follows_a_step() -> None:
    rate, hop, frames = 22050, 1024, 30
    after = np.arange(frames * hop) >= 15 * hop
    audio = tone(np.where(after, 587.33, 261.63), 0.5, frames * hop, rate)
    values, _ = attribute("chroma").measure(audio, rate, frames, hop)
    assert set(values[:13]) == {0}
    assert set(values[17:]) == {2}


@pytest.mark.filterwarnings("ignore:n_fft")
@pytest.mark.parametrize("name", MEASURABLE)
def test_silence_and_single_samples(name: str) -> None:
    for samples, frames in ((1, 1), (3, 1), (22050, 22), (100, 5)):
        values, valid = attribute(name).measure(np.zeros(samples, np.float32), 22050, frames, 1024)
        assert values.shape == valid.shape == (frames,)
        assert np.isfinite(values).all()
        assert not valid.any() or name in ("loudness", "onset", "chord")


@pytest.mark.parametrize("tracker", TRACKERS)
def test_noise_has_no_pitch(tracker: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 22050).astype(np.float32)
    _, valid = attribute("pitch", tracker).measure(noise, 22050, 21, 1024)
    assert valid.mean() < 0.1


def test_pitch_does_not_depend_on_the_batch_or_the_level() -> None:
    audio = tone(np.linspace(200, 400, 22050), 0.4, 22050, 22050)
    whole, _ = get_attribute("pitch", model="tiny").measure(audio, 22050, 21, 1024)
    parts, _ = get_attribute("pitch", model="tiny", batch_size=4).measure(audio, 22050, 21, 1024)
    quiet, _ = get_attribute("pitch", model="tiny").measure(audio * 0.05, 22050, 21, 1024)
    np.testing.assert_allclose(parts, whole, atol=1e-3)
    np.testing.assert_allclose(quiet, whole, atol=1e-2)


@pytest.mark.parametrize("size", ["tiny", "full"])
def test_matrix_products_equal_the_library(size: str) -> None:
    import torch

    from probes.support.torchaudio_stub import ensure_torchaudio

    ensure_torchaudio()
    import torchcrepe

    from probes.attributes import crepe_cpu
    from probes.attributes.pitch import decode

    time = torch.arange(1024) / 16000
    windows = torch.stack([torch.sin(2 * torch.pi * f * time) + 0.3 * torch.randn(1024) for f in (60, 221, 440, 1500)])
    windows = (windows - windows.mean(1, keepdim=True)) / windows.std(1, keepdim=True)
    with torch.no_grad():
        ours, theirs = crepe_cpu.infer(windows, size), torchcrepe.infer(windows, size, "cpu")
    torch.testing.assert_close(ours, theirs, atol=0.01, rtol=0)
    torch.testing.assert_close(decode(ours)[0], decode(theirs)[0], atol=0.01, rtol=0)  # a hundredth of a semitone


def test_the_window_is_46_ms_and_centred() -> None:
    assert [window_length(rate) for rate in (44100, 48000, 24000, 22050, 16000)] == [2048, 2048, 1024, 1024, 1024]
    for hop, window in ((2048, 2048), (320, 1024), (2048, 512)):
        audio = np.arange(1, 40_001, dtype=np.float32)
        grid = on_grid(audio, 10, hop, window)
        for frame in (2, 9):
            middle = grid[frame * hop : frame * hop + window].mean()
            assert middle == pytest.approx((frame + 0.5) * hop + 0.5, abs=0.5)


@pytest.mark.parametrize("name", MEASURABLE)
def test_audio_that_is_not_finite_has_no_labels(name: str) -> None:
    audio = tone(440.0, 0.5, 3000, 22050)
    for value in (np.nan, np.inf):
        with pytest.raises(InputError, match=f"{name} cannot be measured: the audio holds NaN or infinity"):
            attribute(name).measure(np.append(audio, np.float32(value)), 22050, 3, 1024)


def test_wrong_names_options_and_audio() -> None:
    with pytest.raises(InputError, match="choose from pitch, loudness, timbre, chroma"):
        get_attribute("colour")
    with pytest.raises(InputError, match="no option 'speed'"):
        get_attribute("loudness", speed=1)
    with pytest.raises(InputError, match="full or tiny"):
        get_attribute("pitch", model="huge")
    with pytest.raises(InputError, match="measured on audio"):
        get_attribute("loudness").measure(np.zeros((1, 2, 100), np.float32), 22050, 1, 1024)
    with pytest.raises(InputError, match="measured on audio"):
        get_attribute("loudness").measure(np.zeros(0, np.float32), 22050, 1, 1024)


def test_channels_in_antiphase_have_their_level_and_their_pitch() -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(22050) / 22050).astype(np.float32)
    for stereo in (np.stack([tone, -tone]), np.stack([tone, tone])):
        level, _ = get_attribute("loudness").measure(stereo, 22050, 20, 1024)
        assert level[5:15] == pytest.approx(0.3 / np.sqrt(2), rel=0.02)
        centroid, heard = get_attribute("timbre").measure(stereo, 22050, 20, 1024)
        assert heard[5:15].all()
        assert centroid[5:15] == pytest.approx(440, rel=0.15)
