"""EnCodec in its released file format, with random weights, against the encodec package itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.codecs import encodec_model

from probes.errors import InputError
from probes.spaces import load_space
from probes.spaces.seanet import long_inputs


@pytest.fixture(scope="module")
def model() -> Any:
    return encodec_model()


@pytest.fixture(scope="module")
def weights(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encodec") / "encodec_24khz-d7cc33bc.th"
    torch.save(model.state_dict(), path)
    return path


@pytest.mark.parametrize(("bandwidth", "books"), [(1.5, 2), (24, 32)])
def test_equals_the_package(model: Any, weights: Path, bandwidth: float, books: int) -> None:
    space = load_space("encodec", str(weights), bandwidth=bandwidth)
    audio = 0.3 * torch.randn(1, 1, 24000)
    latents = space.encode(audio)
    model.set_target_bandwidth(float(bandwidth))
    with torch.no_grad():
        frames = model.encode(audio)
        assert frames[0][0].shape[1] == books
        embedding = model.quantizer.decode(frames[0][0].transpose(0, 1))
        decoded = model.decode(frames)
    assert latents.shape == (1, 75, 128)
    torch.testing.assert_close(latents, embedding.transpose(1, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(space.decode(latents), decoded, atol=1e-5, rtol=0)


def test_pieces_equal_the_whole(weights: Path) -> None:
    space = load_space("encodec", str(weights))
    audio = 0.3 * torch.randn(1, 1, 320 * 90)
    encoder, decoder = space.model.encoder.model, space.model.decoder.model
    with torch.no_grad():
        whole = encoder(audio)
        pieces = long_inputs.encode(encoder, audio, space.hop, 20)
        torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=0)
        torch.testing.assert_close(long_inputs.decode(decoder, whole, space.hop, 20), decoder(whole), atol=1e-5, rtol=0)


def test_statistics_follow_the_use_of_the_codebook(model: Any, weights: Path) -> None:
    space = load_space("encodec", str(weights), bandwidth=1.5)
    books = [layer._codebook for layer in model.quantizer.vq.layers[:2]]
    draws = [book.embed[torch.multinomial(book.cluster_size, 200_000, replacement=True)] for book in books]
    total = draws[0] + draws[1]
    torch.testing.assert_close(space.mean, total.mean(0), atol=2e-3, rtol=0)
    torch.testing.assert_close(space.std, total.std(0), atol=2e-3, rtol=0)


def test_wrong_weights_and_bandwidth(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no bandwidth 5"):
        load_space("encodec", str(weights), bandwidth=5)
    with pytest.raises(InputError, match="no bandwidth"):
        load_space("encodec", str(weights), bandwidth="wide")
    state = torch.load(weights, weights_only=True)
    first = next(iter(state))
    state["extra"] = state.pop(first)
    torch.save(state, tmp_path / "renamed.th")
    with pytest.raises(InputError, match=rf"missing {first}; unexpected extra"):
        load_space("encodec", str(tmp_path / "renamed.th"))
    (tmp_path / "text.th").write_text("hello")
    with pytest.raises(InputError, match="not a readable file"):
        load_space("encodec", str(tmp_path / "text.th"))
    with pytest.raises(InputError, match="has no encodec_24khz"):
        load_space("encodec", str(tmp_path))
