"""What all latent spaces share: pieces of long inputs, channel layouts, sample rates, the registry."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from probes.errors import InputError
from probes.spaces import load_space, space_class
from probes.spaces.base import Space, in_pieces


class Averager(Space):
    """A linear codec: each frame is seen by a convolution over three frames."""

    name = "averager"
    channels = 2
    sample_rate = 1000
    audio_channels = 1
    hop = 10
    chunk_frames = 7
    context_frames = 1

    def __init__(self, weights: str | None = None, device: str = "cpu", gain: float = 1.0) -> None:
        super().__init__(weights, device)
        self.weights = weights or "none"
        self.gain = float(gain)
        torch.manual_seed(3)
        self.encoder = nn.Conv1d(1, 2, 30, stride=10, padding=10)
        self.decoder = nn.ConvTranspose1d(2, 1, 30, stride=10, padding=10)

    def options(self) -> dict[str, float]:
        return {"gain": self.gain}

    def _encode(self, audio: Tensor) -> Tensor:
        return self.gain * self.encoder(audio).transpose(1, 2)

    def _decode(self, latents: Tensor) -> Tensor:
        return self.decoder(latents.transpose(1, 2))


@given(frames=st.integers(1, 60), chunk=st.integers(1, 20), context=st.integers(2, 5), stride=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_pieces_join_to_the_whole(frames: int, chunk: int, context: int, stride: int) -> None:
    signal = torch.randn(1, 1, frames)
    kernel = torch.randn(1, 1, 5)

    def smooth(first: int, last: int) -> Tensor:
        part = nn.functional.conv1d(signal[..., first:last], kernel, padding=2)
        return part.repeat_interleave(stride, -1)

    joined = in_pieces(smooth, frames, chunk, context, dim=-1, stride=stride)
    torch.testing.assert_close(joined, smooth(0, frames))


def test_long_audio_equals_one_piece() -> None:
    space = Averager()
    audio = torch.randn(2, 1, 503)
    latents = space.encode(audio)
    decoded = space.decode(latents)
    space.chunk_frames = 1000
    torch.testing.assert_close(space.encode(audio), latents)
    torch.testing.assert_close(space.decode(latents), decoded)
    assert latents.shape == (2, 51, 2)
    assert decoded.shape == (2, 1, 510)


def test_channel_layouts() -> None:
    mono = Averager()
    audio = torch.randn(1, 2, 100)
    torch.testing.assert_close(mono.encode(audio), mono.encode(audio.mean(1, keepdim=True)))
    left = audio[:, :1]
    both = mono.encode(torch.cat([torch.cat([left, -left], 1), audio]))  # a clip in antiphase beside another
    torch.testing.assert_close(both, torch.cat([mono.encode(left), mono.encode(audio)]))
    stereo = Averager()
    stereo.audio_channels = 2
    stereo.encoder = nn.Conv1d(2, 2, 30, stride=10, padding=10)
    one = audio[:, :1]
    torch.testing.assert_close(stereo.encode(one), stereo.encode(one.repeat(1, 2, 1)))
    with pytest.raises(InputError, match="3 channels"):
        stereo.encode(torch.randn(1, 3, 100))


def test_one_clip_needs_no_batch_and_mono_no_channel() -> None:
    space = Averager()
    audio = torch.randn(1, 2, 95)
    whole = space.encode(audio)
    assert whole.shape == (1, 10, 2)
    assert torch.equal(space.encode(audio[0]), whole)
    mono = space.encode(audio[:, :1], sample_rate=2000)
    assert torch.equal(space.encode(audio[0, 0], sample_rate=2000), mono)


def test_a_space_says_what_it_is() -> None:
    space = Averager(weights="codec.pt")
    space.revision = "v2"
    assert repr(space) == (
        "Averager of averager latents, weights codec.pt (revision v2) on cpu: audio [batch, 1, samples] at 1000 Hz, "
        "latents [batch, frames, 2] at 100 frames a second"
    )


def test_other_sample_rates_are_resampled() -> None:
    space = Averager()
    time = torch.arange(4000) / 4000
    fast = torch.sin(2 * torch.pi * 20 * time).view(1, 1, -1)
    slow = fast[..., ::4]
    latents = space.encode(fast, sample_rate=4000)
    assert latents.shape == (1, 100, 2)
    torch.testing.assert_close(latents[:, 5:-5], space.encode(slow)[:, 5:-5], atol=0.01, rtol=0)


@pytest.mark.parametrize("samples", [1, 2, 9, 10, 11])
def test_few_samples_make_whole_frames(samples: int) -> None:
    latents = Averager().encode(torch.ones(1, 1, samples))
    assert latents.shape == (1, -(-samples // 10), 2)
    assert torch.isfinite(latents).all()


def test_wrong_audio_and_latents_are_named() -> None:
    space = Averager()
    with pytest.raises(InputError, match="not finite"):
        space.encode(torch.full((1, 1, 20), float("nan")))
    with pytest.raises(InputError, match="samples"):
        space.encode(torch.zeros(1, 1, 0))
    with pytest.raises(InputError, match="samples"):
        space.encode(torch.zeros(1, 1, 1, 20))
    with pytest.raises(InputError, match="samples"):
        space.encode(torch.zeros(0, 20))
    with pytest.raises(InputError, match=r"\[batch, frames, 2\]"):
        space.decode(torch.zeros(1, 5, 3))


def test_fingerprint_tells_weights_and_options_apart() -> None:
    space, same, other = Averager(), Averager(), Averager(gain=2.0)
    assert space.fingerprint() == same.fingerprint() != other.fingerprint()
    with torch.no_grad():
        same.encoder.weight[0, 0, 0] += 1
    assert space.fingerprint() != same.fingerprint()


def test_unknown_space_and_option() -> None:
    with pytest.raises(InputError, match="choose one of mini, diffrhythm"):
        load_space("vinyl")
    with pytest.raises(InputError, match=r"encodec has no option 'speed'.*bandwidth"):
        load_space("encodec", speed=2)


@pytest.mark.parametrize("name", ["diffrhythm", "stable-audio", "encodec", "wavtokenizer"])
def test_a_space_states_its_shape_without_weights(name: str) -> None:
    cls = space_class(name)
    assert cls.name == name
    assert cls.channels > 0
    assert cls.sample_rate / cls.hop > 10


@pytest.mark.parametrize("name", ["diffrhythm", "wavtokenizer"])
def test_offline_is_one_line_that_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []

    def offline(repo: str, filename: str, revision: str | None = None) -> str:
        asked.append((repo, revision))
        raise LocalEntryNotFoundError("cannot find the file in the local cache\nnor on the Hub")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    for weights in (None, "someone/codec@v2"):
        with pytest.raises(InputError, match="go online once, or pass a path") as caught:
            load_space(name, weights)
        assert "\n" not in str(caught.value)
    assert asked[1] == ("someone/codec", "v2")


@pytest.mark.parametrize("name", ["diffrhythm", "stable-audio", "encodec", "wavtokenizer"])
def test_missing_weights_are_one_line(name: str, tmp_path: object) -> None:
    with pytest.raises(InputError, match="no such file or folder") as caught:
        load_space(name, f"{tmp_path}/absent.pt")
    assert "\n" not in str(caught.value)
