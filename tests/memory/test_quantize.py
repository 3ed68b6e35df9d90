"""Codecs against their error bound, to the byte, and for what must survive being coded again."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from worldrt.errors import ConfigError, ShapeError
from worldrt.memory.quantize import CODECS, FINEST, GROUP, Codec, FrameCodes, find_codec

INTEGERS = [codec for codec in CODECS.values() if codec.bits is not None]
TOKENS = [1, 9, 15, 16, 17, 24, 48]
HEADS, HEAD_DIM = 2, 5

any_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=str)
integers = pytest.mark.parametrize("codec", INTEGERS, ids=str)
odd_and_even = pytest.mark.parametrize("tokens", TOKENS)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def frames(tokens: int, seed: int = 0) -> Tensor:
    """[2, 3, F, H, D]: a batch of two, three frames."""
    return normal(2, 3, tokens, HEADS, HEAD_DIM, seed=seed)


def spread(scales: Tensor, tokens: int) -> Tensor:
    """The scale of each token, [..., F, H, D]."""
    return torch.stack([scales[..., token // GROUP, :, :] for token in range(tokens)], dim=-3)


def recoded(codec: Codec, x: Tensor) -> Tensor:
    return codec.decode(codec.encode(x), x.shape[-3], torch.float32)


def storage(
    codec: Codec, tokens: int, slots: int = 7, dtype: torch.dtype = torch.float32
) -> FrameCodes:
    """Two layers, a batch of two."""
    return FrameCodes(codec, 2, 2, slots, tokens, HEADS, HEAD_DIM, dtype)


# The codes.


@integers
@odd_and_even
@pytest.mark.parametrize("size", [1e-9, 1e-4, 1.0, 300.0])
def test_nothing_is_off_by_more_than_half_a_scale(codec: Codec, tokens: int, size: float) -> None:
    x = size * frames(tokens)
    codes = codec.encode(x)
    error = (codec.decode(codes, tokens, torch.float32) - x).abs()
    assert (error <= spread(codes.scales, tokens).float() * (0.5 + 1e-5)).all()


@integers
@odd_and_even
def test_a_scale_is_the_largest_of_its_group_by_the_largest_code(codec: Codec, tokens: int) -> None:
    assert codec.bits is not None
    x = frames(tokens)
    scales = codec.encode(x).scales
    assert scales.shape == (2, 3, -(-tokens // GROUP), HEADS, HEAD_DIM)
    for group, scale in enumerate(scales.unbind(-3)):
        largest = x[..., group * GROUP : (group + 1) * GROUP, :, :].abs().amax(-3)
        assert torch.equal(scale, (largest / (2 ** (codec.bits - 1) - 1)).half())


def test_neighbouring_tokens_share_a_byte_the_earlier_one_below() -> None:
    """Scale 1; a code is the number plus the largest code, and a missing token is 0."""
    x = torch.tensor([7.0, -7, 0, 3, -1])[:, None, None]
    packed = CODECS["int4"].encode(x).packed.flatten()
    assert packed.tolist() == [14 + (0 << 4), 7 + (10 << 4), 6]
    x = torch.tensor([1.0, -1, 0, 1, -1])[:, None, None]
    packed = CODECS["int2"].encode(x).packed.flatten()
    assert packed.tolist() == [2 + (0 << 2) + (1 << 4) + (2 << 6), 0]
    x = torch.tensor([127.0, -127, 0])[:, None, None]
    assert CODECS["int8"].encode(x).packed.flatten().tolist() == [254, 0, 127]


@any_codec
@odd_and_even
@given(seed=st.integers(0, 2**32 - 1), power=st.floats(-9, 4))
def test_what_was_decoded_is_coded_the_same(
    codec: Codec, tokens: int, seed: int, power: float
) -> None:
    """Over all sizes, also where float16 has no normal numbers any more."""
    x = 10**power * normal(1, tokens, 1, 3, seed=seed)
    codes = codec.encode(x)
    again = codec.encode(codec.decode(codes, tokens, torch.float32))
    assert torch.equal(codes.packed, again.packed)
    assert torch.equal(codes.scales, again.scales)


@given(steps=st.lists(st.integers(-7, 7), min_size=1, max_size=40), power=st.integers(-10, 10))
def test_whole_multiples_of_a_scale_are_exact(steps: list[int], power: int) -> None:
    steps[::GROUP] = [7] * len(steps[::GROUP])
    x = 2.0**power * torch.tensor(steps, dtype=torch.float32)[:, None, None]
    assert torch.equal(recoded(CODECS["int4"], x), x)


@any_codec
@odd_and_even
def test_zeros_stay_zeros(codec: Codec, tokens: int) -> None:
    x = torch.zeros(2, tokens, HEADS, HEAD_DIM)
    codes = codec.encode(x)
    assert torch.equal(codec.decode(codes, tokens, torch.float32), x)
    assert (codes.scales == FINEST).all()


@integers
@pytest.mark.parametrize("trouble", [torch.nan, torch.inf, -torch.inf, 1e9])
def test_a_number_without_a_scale_is_seen_in_its_group_and_nowhere_else(
    codec: Codec, trouble: float
) -> None:
    x = frames(41)
    x[1, 2, 20, 1, 3] = trouble
    lost = torch.zeros(x.shape, dtype=torch.bool)
    lost[1, 2, 16:32, 1, 3] = True
    clean = recoded(codec, torch.where(lost, 0, x))
    got = recoded(codec, x)
    assert torch.equal(got.isnan(), lost)
    assert torch.equal(got[~lost], clean[~lost])


def test_more_bits_are_closer_and_groups_run_along_tokens_for_the_sake_of_a_large_channel() -> None:
    """Keys have channels that are large in every token; across channels they spoil the others."""
    keys = normal(2, 48, 2, 32)
    keys[..., 5] *= 30

    def error(codec: Codec, x: Tensor) -> float:
        return (recoded(codec, x) - x).square().mean().item()

    errors = [error(CODECS[name], keys) for name in ("int8", "int4", "int2")]
    assert all(10 * finer < coarser for finer, coarser in pairwise(errors))
    small = torch.arange(32) != 5
    across = recoded(CODECS["int4"], keys.movedim(-1, 1)).movedim(1, -1)
    along = recoded(CODECS["int4"], keys)
    spoilt, kept = ((x - keys)[..., small].square().mean() for x in (across, along))
    assert spoilt > 10 * kept


@any_codec
def test_half_precision_is_coded_as_the_number_that_it_is(codec: Codec) -> None:
    x = frames(17).bfloat16()
    for half, full in zip(codec.encode(x), codec.encode(x.float()), strict=True):
        assert torch.equal(half, full)
    exact = codec.decode(codec.encode(x), 17, torch.float32)
    assert torch.equal(codec.decode(codec.encode(x), 17, torch.bfloat16), exact.bfloat16())


def test_a_codec_is_found_by_its_name() -> None:
    bits = {"bf16": None, "int8": 8, "int4": 4, "int2": 2}
    assert {name: find_codec(name).bits for name in bits} == bits
    assert [find_codec(name).name for name in bits] == list(bits)
    with pytest.raises(ConfigError) as caught:
        find_codec("int5")
    assert str(caught.value) == (
        "Unknown codec 'int5': did you mean 'int8'? choose one of bf16, int2, int4, int8."
    )


# The storage.


@odd_and_even
def test_bytes(tokens: int) -> None:
    """ceil(F bits / 8) of codes and 2 ceil(F / 16) of scales, for each head and channel."""
    channels = 2 * 2 * 7 * HEADS * HEAD_DIM
    assert storage(CODECS["bf16"], tokens).nbytes == channels * 2 * tokens
    for codec in INTEGERS:
        assert codec.bits is not None
        a_frame = (tokens * codec.bits + 7) // 8 + 2 * ((tokens + 15) // 16)
        assert storage(codec, tokens).nbytes == channels * a_frame


@pytest.mark.parametrize("name, sixteenths", [("int8", 9), ("int4", 5), ("int2", 3)])
def test_share_of_bf16_in_full_groups(name: str, sixteenths: int) -> None:
    whole = storage(CODECS["bf16"], 48).nbytes
    assert 16 * storage(CODECS[name], 48).nbytes == sixteenths * whole


@any_codec
@odd_and_even
def test_a_frame_is_read_as_it_was_written_alone_or_with_others(codec: Codec, tokens: int) -> None:
    """Nothing is shared across the border of frames, slots, layers or the batch."""
    held = storage(codec, tokens)
    x = frames(tokens)
    held.write(1, 2, x.flatten(1, 2))
    expected = recoded(codec, x)
    for index in range(3):
        assert torch.equal(held.read(1, 2 + index), expected[:, index])
    assert torch.equal(held.read(1, 2, 3), expected.flatten(1, 2))
    for layer, slot, count in ((0, 0, 7), (1, 0, 2), (1, 5, 2)):
        empty = held.read(layer, slot, count)
        assert empty.shape == (2, count * tokens, HEADS, HEAD_DIM)
        assert not empty.any()


@any_codec
def test_a_slot_written_anew_holds_the_new_frame_alone(codec: Codec) -> None:
    held, fresh = storage(codec, 17), storage(codec, 17)
    held.write(0, 3, frames(17, seed=1)[:, 0])
    for each in (held, fresh):
        each.write(0, 3, frames(17, seed=2)[:, 0])
    assert torch.equal(held.read(0, 3), fresh.read(0, 3))


@any_codec
def test_growing_keeps_what_is_stored(codec: Codec) -> None:
    held = storage(codec, 9)
    held.write(1, 4, frames(9).flatten(1, 2))
    before, bytes_before = held.read(1, 0, 7).clone(), held.nbytes
    held.grow(21)
    assert held.slots == 21 and held.nbytes == 3 * bytes_before
    assert torch.equal(held.read(1, 0, 7), before)
    held.write(0, 18, frames(9).flatten(1, 2))
    assert torch.equal(held.read(0, 18, 3), before[:, 4 * 9 :])
    assert not held.read(1, 7, 14).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@any_codec
def test_frames_are_read_in_the_dtype_asked_for(codec: Codec, dtype: torch.dtype) -> None:
    held = storage(codec, 24, dtype=dtype)
    x = frames(24)
    held.write(0, 0, x.flatten(1, 2))
    assert held.read(0, 0).dtype == dtype
    assert torch.equal(held.read(0, 0, 3), recoded(codec, x).flatten(1, 2).to(dtype))


@pytest.mark.parametrize(
    "shape", [(2, 10, HEADS, HEAD_DIM), (1, 9, HEADS, HEAD_DIM), (2, 9, HEADS, 4)]
)
def test_frames_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError) as caught:
        storage(CODECS["int4"], 9).write(0, 0, torch.zeros(shape))
    assert str(caught.value) == (
        f"frames has shape {list(shape)}, expected [2, n * 9, {HEADS}, {HEAD_DIM}]."
    )
