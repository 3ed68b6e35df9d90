"""The codec: packing, the patch basis as a projection, the refiner at rest, frames on their own."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from worldrt.codec import DEPTH_WEIGHT, Codec, PatchCodec, build, pack, unpack
from worldrt.config import CodecConfig
from worldrt.errors import ConfigError, InputError, ShapeError


def scenes(frames: int, rows: int, columns: int, seed: int = 0) -> Tensor:
    """Images with as much low as high frequency, [F, 4, Y, X]."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(frames, 4, rows, columns)).cumsum(axis=2).cumsum(axis=3)
    steps += 0.1 * rng.normal(size=steps.shape)
    return torch.from_numpy(np.tanh(0.05 * steps).astype(np.float32))


def fitted(channels: int, stride: int = 8, refiner_width: int = 0) -> Codec:
    torch.manual_seed(0)
    config = CodecConfig(channels=channels, stride=stride, refiner_width=refiner_width)
    codec = build(config)
    assert isinstance(codec, PatchCodec)
    codec.fit(scenes(4, 12 * stride, 16 * stride, seed=i) for i in range(8))
    return codec


def test_pack_spans_minus_one_to_one_and_inverts():
    rgb = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    depth = np.geomspace(0.5, 400, 256, dtype=np.float32).reshape(1, 16, 16)
    image = pack(rgb, depth, near=0.5)
    assert image.shape == (1, 4, 16, 16) and image.dtype == torch.float32
    assert image.min() >= -1 and image.max() == 1
    back_rgb, back_depth = unpack(image, near=0.5)
    np.testing.assert_array_equal(back_rgb, rgb)
    np.testing.assert_allclose(back_depth, depth, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_inverse_depth_of_known_distances(dtype):
    depth = np.array([[[0.5, 1, 2, 4]]], dtype)
    image = pack(np.zeros((1, 1, 4, 3), np.uint8), depth, near=1.0)
    np.testing.assert_allclose(image[0, 3, 0], [1, 1, 0, -0.5])


def test_unknown_depth_is_the_horizon():
    depth = np.array([[[0, np.inf, np.nan, -1, np.float32(1e-45)]]], np.float32)
    image = pack(np.zeros((1, 1, 5, 3), np.uint8), depth, near=2.0)
    np.testing.assert_array_equal(image[0, 3, 0], [-1, -1, -1, -1, 1])
    np.testing.assert_allclose(unpack(image, near=2.0)[1][0, 0], [2000] * 4 + [2])


@given(st.floats(-1e6, 1e6))
def test_unpack_keeps_any_value_in_range(value):
    rgb, depth = unpack(torch.full((1, 4, 1, 1), value), near=1.0)
    assert rgb[0, 0, 0, 0] == (255 if value > 1 else 0 if value < -1 else rgb[0, 0, 0, 0])
    assert 1 <= depth[0, 0, 0] <= 1000


def test_decoding_is_affine():
    codec = fitted(channels=24)
    a, b = torch.randn(2, 3, 24, 5, 7)
    mixed = codec.decode(0.3 * a + 0.7 * b)
    assert torch.allclose(mixed, 0.3 * codec.decode(a) + 0.7 * codec.decode(b), atol=1e-4)


def test_encoding_inverts_decoding():
    codec = fitted(channels=24)
    latents = torch.randn(2, 24, 5, 7)
    assert torch.allclose(codec.encode(codec.decode(latents)), latents, atol=1e-4)


def test_the_codec_is_an_orthogonal_projection():
    codec = fitted(channels=24)
    image = scenes(2, 40, 56, seed=99)
    once = codec.decode(codec.encode(image))
    assert torch.allclose(codec.decode(codec.encode(once)), once, atol=1e-4)
    lost = image - once
    within = codec.decode(torch.randn(2, 24, 5, 7)) - codec.decode(torch.zeros(2, 24, 5, 7))
    lost[:, 3] *= DEPTH_WEIGHT
    within[:, 3] *= DEPTH_WEIGHT
    assert abs((lost * within).sum()) < 1e-4 * lost.norm() * within.norm()
    assert lost.norm() > 0.1


@pytest.mark.parametrize("stride", [1, 3, 4, 8])
def test_a_full_basis_loses_nothing(stride):
    codec = fitted(channels=4 * stride**2, stride=stride)
    image = scenes(2, 3 * stride, 5 * stride, seed=7)
    assert torch.allclose(codec.decode(codec.encode(image)), image, atol=1e-3)


def test_more_channels_never_lose_more():
    image = scenes(8, 96, 128, seed=3)
    errors = []
    for channels in (1, 4, 16, 64):
        codec = fitted(channels)
        errors.append((codec.decode(codec.encode(image)) - image).square().mean().item())
    assert errors == sorted(errors, reverse=True)


def test_latents_are_nearly_white():
    codec = fitted(channels=48)
    train = torch.cat([scenes(4, 96, 128, seed=i) for i in range(8)])
    latents = codec.encode(train).transpose(0, 1).flatten(1)
    assert torch.allclose(latents.mean(1), torch.zeros(48), atol=1e-3)
    covariance = torch.cov(latents)
    deviations = covariance.diag().sqrt()
    outside = covariance / torch.outer(deviations, deviations) - torch.eye(48)
    assert outside.abs().max() < 1e-2
    # sigma / rms = scale^(1 / 0.6), of which the latent keeps what the scale leaves.
    assert torch.allclose(deviations, codec.component_scale ** (0.4 / 0.6), rtol=1e-2)


def test_weighted_latent_error_is_image_error():
    codec = fitted(channels=24)
    assert isinstance(codec, PatchCodec)
    latents, errors = torch.randn(6, 24, 4, 4), torch.randn(6, 24, 4, 4)
    image_error = codec.decode(latents + errors) - codec.decode(latents)
    image_error[:, 3] *= DEPTH_WEIGHT
    in_image = image_error.square().sum((1, 2, 3))
    in_latents = (codec.component_scale[:, None, None] * errors).square().sum((1, 2, 3))
    ratios = in_image / in_latents
    assert torch.allclose(ratios, ratios[:1].expand(6), rtol=1e-3)


def test_fit_does_not_depend_on_how_the_images_come():
    images = scenes(6, 32, 40)
    whole, split = (build(CodecConfig(channels=16)) for _ in range(2))
    assert isinstance(whole, PatchCodec) and isinstance(split, PatchCodec)
    whole.fit([images])
    split.fit(images.split([1, 2, 3]))
    assert torch.allclose(whole.synthesis, split.synthesis, atol=1e-5)


def test_an_unfitted_codec_answers_nan():
    codec = build(CodecConfig(channels=8))
    assert codec.encode(torch.zeros(1, 4, 8, 8)).isnan().all()


def test_fit_needs_enough_patches_that_differ():
    codec = build(CodecConfig(channels=16))
    assert isinstance(codec, PatchCodec)
    with pytest.raises(InputError, match="16 patches can't give 16 components"):
        codec.fit([torch.zeros(1, 4, 32, 32)])
    with pytest.raises(InputError, match="vary in 0 components only, 16 channels"):
        codec.fit([torch.full((4, 4, 32, 32), 0.25)])


def restorable(kind: str) -> tuple[Codec, Tensor, Tensor, Tensor]:
    if kind == "patch":
        codec = fitted(channels=24, refiner_width=16)
    else:
        torch.manual_seed(0)
        codec = build(CodecConfig(kind="conv", channels=16, refiner_width=16))
    splat = scenes(5, 40, 56, seed=5)
    mask = (torch.rand(5, 1, 40, 56) > 0.5).float()
    return codec, torch.randn(5, codec.channels, 5, 7), splat, mask


@pytest.mark.parametrize("kind", ["patch", "conv"])
@torch.inference_mode()
def test_an_untrained_refiner_returns_the_composed_image(kind):
    codec, latents, splat, mask = restorable(kind)
    decoded, restored = codec.decode(latents), codec.restore(latents, splat, mask)
    assert torch.allclose(restored, torch.where(mask > 0, splat, decoded), atol=1e-5)
    half = codec.restore(latents, splat, 0.5 * torch.ones_like(mask))
    assert torch.allclose(half, (splat + decoded) / 2, atol=1e-5)


@torch.inference_mode()
def test_where_nothing_is_remembered_the_splat_is_not_read():
    codec, latents, splat, _ = restorable("patch")
    assert codec.refiner is not None
    torch.nn.init.normal_(codec.refiner.write.weight)
    empty = torch.zeros(5, 1, 40, 56)
    restored = codec.restore(latents, splat, empty)
    assert torch.equal(restored, codec.restore(latents, -splat, empty))
    assert not torch.allclose(restored, codec.decode(latents))


@torch.inference_mode()
def test_full_memory_of_the_truth_restores_it_whatever_the_latents():
    codec = build(CodecConfig(channels=8))
    assert isinstance(codec, PatchCodec)
    image = scenes(4, 64, 64)
    codec.fit([image])
    full = torch.ones(4, 1, 64, 64)
    restored = codec.restore(torch.randn_like(codec.encode(image)), image, full)
    assert torch.allclose(restored, image, atol=1e-5)


@pytest.mark.parametrize("kind", ["patch", "conv"])
@pytest.mark.parametrize("block", [1, 2, 3])
@torch.inference_mode()
def test_streaming_is_bit_for_bit_restoring_at_once(kind, block):
    codec, latents, splat, mask = restorable(kind)
    assert codec.refiner is not None
    torch.nn.init.normal_(codec.refiner.write.weight)
    parts = zip(latents.split(block), splat.split(block), mask.split(block), strict=True)
    streamed = torch.cat([codec.restore(*part) for part in parts])
    assert torch.equal(streamed, codec.restore(latents, splat, mask))
    encoded = torch.cat([codec.encode(part) for part in splat.split(block)])
    assert torch.allclose(encoded, codec.encode(splat), atol=1e-5)


@pytest.mark.parametrize("kind", ["patch", "conv"])
def test_a_state_dict_is_all_there_is(kind):
    codec, latents, splat, mask = restorable(kind)
    config = CodecConfig(kind=codec_kind(codec), channels=codec.channels, refiner_width=16)
    other = build(config)
    state = codec.state_dict()
    assert all(isinstance(value, Tensor) and value.is_contiguous() for value in state.values())
    other.load_state_dict(state)
    assert torch.equal(other.restore(latents, splat, mask), codec.restore(latents, splat, mask))


def codec_kind(codec: Codec):
    return "patch" if isinstance(codec, PatchCodec) else "conv"


def test_the_conv_codec_keeps_its_latents_at_unit_variance():
    torch.manual_seed(0)
    codec = build(CodecConfig(kind="conv", channels=16)).train()
    latents = codec.encode(scenes(4, 64, 64))
    assert latents.shape == (4, 16, 8, 8)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(16), atol=3e-2)
    assert codec.decode(latents).shape == (4, 4, 64, 64)


SHAPES = {
    "image has three channels": lambda c: c.encode(torch.zeros(1, 3, 16, 16)),
    "image is no batch": lambda c: c.encode(torch.zeros(4, 16, 16)),
    "image is off the stride": lambda c: c.encode(torch.zeros(1, 4, 16, 20)),
    "latents have other channels": lambda c: c.decode(torch.zeros(1, 15, 2, 2)),
    "latents are no batch": lambda c: c.decode(torch.zeros(16, 2, 2)),
    "splat has fewer frames": lambda c: c.restore(
        torch.zeros(2, 16, 2, 2), torch.zeros(1, 4, 16, 16), torch.zeros(2, 1, 16, 16)
    ),
    "mask has channels": lambda c: c.restore(
        torch.zeros(1, 16, 2, 2), torch.zeros(1, 4, 16, 16), torch.zeros(1, 4, 16, 16)
    ),
    "rgb is grey": lambda c: pack(np.zeros((1, 4, 4), np.uint8), np.zeros((1, 4, 4)), 1.0),
    "depth is of other frames": lambda c: pack(
        np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 4, 4), np.float32), 1.0
    ),
    "unpacked image has three channels": lambda c: unpack(torch.zeros(1, 3, 4, 4), 1.0),
}


@pytest.mark.parametrize("kind", ["patch", "conv"])
@pytest.mark.parametrize("call", SHAPES.values(), ids=SHAPES.keys())
def test_bad_shapes(kind, call):
    with pytest.raises(ShapeError, match="has shape .*, expected "):
        call(build(CodecConfig(kind=kind, channels=16)))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (CodecConfig(channels=65, stride=4), "has 64 components, 65 channels"),
        (CodecConfig(channels=8, stride=6, refiner_width=8), "multiple of 4, got 6"),
        (CodecConfig(kind="conv", channels=8, stride=16), "stride of 8, 16 was asked"),
    ],
)
def test_configurations_that_make_no_codec(config, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build(config)
