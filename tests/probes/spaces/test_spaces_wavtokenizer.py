"""WavTokenizer on small checkpoints in the released format."""

from pathlib import Path

import pytest
import torch
from support.codecs import wavtokenizer_checkpoint
from torch.nn import functional

from probes.errors import InputError
from probes.spaces import load_space
from probes.spaces.seanet import long_inputs
from probes.spaces.seanet.wavtokenizer_network import Attention, InverseFourier


@pytest.mark.parametrize(("ratios", "rate"), [((6, 5, 5, 4), 40), ((8, 5, 4, 2), 75)])
def test_rate_and_sizes_come_from_the_checkpoint(tmp_path: Path, ratios: tuple[int, ...], rate: int) -> None:
    network = wavtokenizer_checkpoint(tmp_path / "model.ckpt", ratios)
    space = load_space("wavtokenizer", str(tmp_path / "model.ckpt"))
    assert space.frame_rate == rate
    audio = 0.3 * torch.randn(2, 1, space.hop * 30)
    latents = space.encode(audio)
    assert latents.shape == (2, 30, 16)
    # Every latent is an entry of the codebook, the one that is nearest to the encoder's output.
    with torch.no_grad():
        distance = torch.cdist(network.encoder(audio).transpose(1, 2), network.codebook.layers[0].codebook)
    assert torch.equal(latents, network.codebook.layers[0].codebook[distance.argmin(-1)])
    assert space.decode(latents).shape == (2, 1, space.hop * 30)


def test_pieces_equal_the_whole(tmp_path: Path) -> None:
    wavtokenizer_checkpoint(tmp_path / "model.ckpt", (8, 5, 4, 2))
    space = load_space("wavtokenizer", str(tmp_path / "model.ckpt"))
    audio = 0.3 * torch.randn(1, 1, 320 * 90)
    with torch.no_grad():
        whole = space.network.encoder(audio)
        torch.testing.assert_close(long_inputs.encode(space.network.encoder, audio, 320, 20), whole, atol=1e-5, rtol=0)


def test_inverse_transform_inverts() -> None:
    signal = torch.randn(1, 40 * 20)
    edge = (160 - 40) // 2
    window = torch.hann_window(160)
    padded = functional.pad(signal, (edge, edge))
    frames = padded.unfold(1, 160, 40) * window
    spectrum = torch.fft.rfft(frames).transpose(1, 2)
    torch.testing.assert_close(InverseFourier(160, 40)(spectrum), signal, atol=1e-5, rtol=0)


def test_attention_equals_its_formula() -> None:
    block = Attention(32)
    x = torch.randn(2, 32, 11)
    h = block.norm(x)
    q, k, v = block.q(h), block.k(h), block.v(h)
    weight = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / 32**0.5, dim=-1)
    expected = x + block.proj_out(torch.einsum("bij,bcj->bci", weight, v))
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)


def test_wrong_checkpoints(tmp_path: Path) -> None:
    wavtokenizer_checkpoint(tmp_path / "model.ckpt", (8, 5, 4, 2))
    content = torch.load(tmp_path / "model.ckpt", weights_only=True)
    state = content["state_dict"]
    broken = tmp_path / "broken.ckpt"
    renamed = {("backbone.extra" if key == "head.out.bias" else key): value for key, value in state.items()}
    torch.save({"state_dict": renamed}, broken)
    with pytest.raises(InputError, match=r"missing head\.out\.bias; unexpected backbone\.extra"):
        load_space("wavtokenizer", str(broken))
    torch.save({"state_dict": {"head.out.bias": torch.zeros(1)}}, broken)
    with pytest.raises(InputError, match="not a WavTokenizer checkpoint: it has no"):
        load_space("wavtokenizer", str(broken))
    torch.save({"model": {}}, broken)
    with pytest.raises(InputError, match="has no state_dict"):
        load_space("wavtokenizer", str(broken))
    with pytest.raises(InputError, match="choose 40 or 75"):
        load_space("wavtokenizer", str(tmp_path / "model.ckpt"), tokens=50)
