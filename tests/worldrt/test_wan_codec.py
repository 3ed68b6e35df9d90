"""The video codec as a stream: cut anywhere, it is the video made at once."""

from itertools import accumulate, pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from tests.published import write_codec
from worldrt.checkpoints.source import open_source
from worldrt.errors import InputError, MissingTensor, ShapeError
from worldrt.wan_codec import DecodeStream, EncodeStream, WanCodec, frames_of

pytest.importorskip("diffusers")

LATENTS = 6
FRAMES = 21


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_codec(tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module")
def codec(file: Path) -> WanCodec:
    return WanCodec(open_source(file), dtype=torch.float32)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def latents() -> Tensor:
    return noise(1, LATENTS, 16, 1, 3)


@pytest.fixture(scope="module")
def video() -> Tensor:
    return noise(1, FRAMES, 3, 8, 24).clamp(-1, 1)


@pytest.fixture(scope="module")
def restored(codec: WanCodec, latents: Tensor) -> Tensor:
    return codec.decode(latents)


@pytest.fixture(scope="module")
def encoded(codec: WanCodec, video: Tensor) -> Tensor:
    return codec.encode(video)


def cuts(total: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Ways to cut `total` into chunks."""
    places = st.sets(st.integers(1, total - 1))
    return places.map(lambda inner: list(pairwise([0, *sorted(inner), total])))


def test_frames_of_latents() -> None:
    assert [frames_of(latents) for latents in range(5)] == [0, 1, 5, 9, 13]


@settings(max_examples=12)
@given(chunks=cuts(LATENTS))
def test_a_video_restored_in_chunks_is_the_one_restored_at_once(
    codec: WanCodec, latents: Tensor, restored: Tensor, chunks: list[tuple[int, int]]
) -> None:
    stream = DecodeStream(codec)
    parts = [stream.push(latents[:, first:last]) for first, last in chunks]
    lengths = list(accumulate(part.shape[1] for part in parts))
    assert lengths == [frames_of(last) for _, last in chunks]
    assert torch.equal(torch.cat(parts, dim=1), restored)


@settings(max_examples=12)
@given(chunks=cuts(FRAMES))
def test_a_video_encoded_in_chunks_is_the_one_encoded_at_once(
    codec: WanCodec, video: Tensor, encoded: Tensor, chunks: list[tuple[int, int]]
) -> None:
    stream = EncodeStream(codec)
    parts = []
    for first, last in chunks:
        parts.append(stream.push(video[:, first:last]))
        assert stream.waiting == (last - 1) % 4
        assert sum(part.shape[1] for part in parts) == (last - 1) // 4 + 1
    assert torch.equal(torch.cat(parts, dim=1), encoded)


def test_it_is_what_diffusers_makes_of_the_whole(
    codec: WanCodec, latents: Tensor, restored: Tensor, video: Tensor, encoded: Tensor
) -> None:
    config = codec.model.config
    mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(config.latents_std).view(1, -1, 1, 1, 1)
    with torch.no_grad():
        whole = codec.model.decode(latents.transpose(1, 2) * std + mean).sample
        posterior = codec.model.encode(video.transpose(1, 2)).latent_dist.mode()
    assert torch.allclose(restored, whole.transpose(1, 2), atol=1.5e-5, rtol=0)
    expected = ((posterior - mean) / std).transpose(1, 2)
    assert torch.allclose(encoded, expected, atol=1.5e-5, rtol=0)
    assert float(mean.std()) > 0.5 and float(std.std()) > 0.5


def test_the_past_is_seen_and_the_future_is_not(
    codec: WanCodec, latents: Tensor, restored: Tensor
) -> None:
    changed = latents.clone()
    changed[:, 3] += 1
    other = codec.decode(changed)
    first = frames_of(3)
    assert torch.equal(other[:, :first], restored[:, :first])
    assert all(not torch.equal(other[:, at], restored[:, at]) for at in range(first, FRAMES))


def test_streams_do_not_know_of_each_other(
    codec: WanCodec, latents: Tensor, restored: Tensor
) -> None:
    one, other = DecodeStream(codec), DecodeStream(codec)
    parts = []
    for at in range(LATENTS):
        parts.append(one.push(latents[:, at : at + 1]))
        other.push(latents[:, LATENTS - 1 - at : LATENTS - at])
    assert torch.equal(torch.cat(parts, dim=1), restored)


def test_what_is_kept_does_not_grow(codec: WanCodec, latents: Tensor) -> None:
    stream = DecodeStream(codec)
    kept = []
    for at in range(LATENTS):
        stream.push(latents[:, at : at + 1])
        kept.append(stream.bytes)
    assert kept[0] < kept[2] == kept[3] == kept[5]


def test_both_layouts_hold_the_same_codec(file: Path, codec: WanCodec) -> None:
    other = WanCodec(open_source(file.parent / "vae"), dtype=torch.float32)
    assert other.config == codec.config
    ours, theirs = codec.model.state_dict(), other.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_half_precision_takes_and_gives_float32(file: Path, latents: Tensor) -> None:
    codec = WanCodec(open_source(file))
    assert next(codec.model.parameters()).dtype == torch.bfloat16
    video = codec.decode(latents)
    assert video.dtype == torch.float32 and float(video.abs().max()) <= 1
    assert codec.encode(video).dtype == torch.float32


@pytest.mark.parametrize("shape", [(2, 16, 1, 3), (1, 2, 15, 1, 3), (1, 0, 16, 1, 3)])
def test_what_are_no_latents(codec: WanCodec, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"latents has shape .*, expected \[B, T, 16, h, w\]"):
        codec.decode(torch.zeros(shape))


@pytest.mark.parametrize(
    "shape, says",
    [
        ((1, 5, 4, 8, 8), "expected [B, F, 3, Y, X]."),
        ((1, 5, 3, 8, 12), "expected Y and X that are multiples of 8."),
        ((1, 7, 3, 8, 8), "video has shape [1, 7, 3, 8, 8], expected [B, 1 + 4 n, 3, Y, X]."),
    ],
)
def test_what_is_no_video(codec: WanCodec, shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(ShapeError) as caught:
        codec.encode(torch.zeros(shape))
    assert says in str(caught.value)


def test_another_component(tmp_path: Path, file: Path) -> None:
    save_file({"blocks.0.self_attn.q.lora_A.weight": torch.ones(2, 2)}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="is a lora of 1 tensors; name the codec, Wan2.1_VAE.pth"):
        WanCodec(open_source(tmp_path))
    tensors = torch.load(file)
    del tensors["decoder.upsamples.7.time_conv.weight"]
    torch.save(tensors, tmp_path / "vae.pth")
    with pytest.raises(MissingTensor, match=r"'decoder\.up_blocks\.1\.upsamplers\.0\.time_conv"):
        WanCodec(open_source(tmp_path / "vae.pth"))
