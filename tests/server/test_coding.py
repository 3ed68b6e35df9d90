"""Frames as packets: what comes out of a decoder is what went in, with all that goes with it."""

import io
import time

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.tiny import CAMERA, room_start
from worldrt.chunk import Chunk
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import from_quaternion
from worldrt.protocol.packets import DIOPTRE, Coding, Flag, Packet, read_packet
from worldrt.protocol.terms import Codec
from worldrt.server.coding import H264, Coder, Jpeg, Telling, coder, nearness, shots

CAM = Camera.centred(CAMERA)


def chunk(frames: int = 4, first: int = 8) -> Chunk:
    start = room_start(frames)
    import torch

    return Chunk(
        frames=start.rgb,
        depth=start.depth,
        poses=start.poses,
        remembered=np.zeros(start.depth.shape, np.float32),
        latents=torch.zeros(1),
        first=first,
        stage_ms={"steps": 40.0, "decode": 7.0},
        recalled=(),
        partitions={},
        evicted=0,
        policy="window",
    )


def told(**changes: object) -> Telling:
    plain = Telling(epoch=3, first=6, fps=10.0, chunk=2, seq=9, cutover=True, done=time.monotonic())
    return plain._replace(**changes)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def decoded(packets: list[Packet], width: int, height: int) -> list[NDArray[np.uint8]]:
    """Frames by what decodes them in a browser or in a script."""
    if packets[0].header.coding is Coding.JPEG:
        return [np.asarray(Image.open(io.BytesIO(each.picture))) for each in packets]
    decoder = av.CodecContext.create("h264", "r")
    found = []
    for each in packets:
        for frame in decoder.decode(av.Packet(each.picture)):
            found.append(frame.to_ndarray(format="rgb24")[:height, :width])
    found += [f.to_ndarray(format="rgb24")[:height, :width] for f in decoder.decode(None)]
    return found


@pytest.mark.parametrize("codec, floor", [(Codec.JPEG, 38), (Codec.H264, 27)])
def test_what_is_decoded_is_what_was_generated(codec: Codec, floor: float) -> None:
    made = chunk()
    code = coder(codec, CAM, 10.0)
    packets = [
        read_packet(each.plain.packet) for each in shots(made, CAM, told(), code, True, False)
    ]
    pictures = decoded(packets, 64, 48)
    assert len(pictures) == 4
    for picture, frame in zip(pictures, made.frames, strict=True):
        assert psnr(picture, frame) > floor


def test_headers_tell_of_block_frame_and_time() -> None:
    since = time.monotonic()
    made = chunk()
    found = list(shots(made, CAM, told(done=since), Jpeg(), False, False))
    heads = [read_packet(each.plain.packet).header for each in found]
    assert [(head.epoch, head.chunk, head.seq, head.count) for head in heads] == [(3, 2, 9, 4)] * 4
    assert [(head.index, head.frame) for head in heads] == [(0, 8), (1, 9), (2, 10), (3, 11)]
    assert [head.pts_us for head in heads] == [200_000, 300_000, 400_000, 500_000]
    assert {(head.generate_ms, head.decode_ms) for head in heads} == {(40, 7)}
    flags = [head.flags & ~Flag.POSE for head in heads]
    assert flags == [Flag.KEY | Flag.CUTOVER, Flag.KEY, Flag.KEY, Flag.KEY | Flag.LAST]
    assert all(each.plain is each.deep for each in found)
    assert [each.plain.since for each in found] == sorted(each.plain.since for each in found)
    assert found[0].plain.since > since


def test_poses_and_depth_survive_the_wire() -> None:
    made = chunk()
    for index, each in enumerate(shots(made, CAM, told(), Jpeg(), False, True)):
        plain, deep = read_packet(each.plain.packet), read_packet(each.deep.packet)
        assert plain.depth is None and deep.picture == plain.picture
        assert deep.pose is not None and deep.depth is not None
        pose = from_quaternion(np.array(deep.pose.quaternion), np.array(deep.pose.position))
        assert np.allclose(pose, made.poses[index], atol=1e-6)
        metres = DIOPTRE / deep.depth.astype(float)
        assert np.allclose(metres, made.depth[index, 2::4, 2::4], rtol=0.01)


def test_inverse_depth_saturates_and_tells_the_unknown() -> None:
    metres = np.full((48, 64), np.nan, np.float32)
    metres[2::4, 2::4].flat[:6] = [1.0, 0.0, 0.01, 1e9, np.inf, -1.0]
    steps = nearness(metres)
    assert steps.shape == (12, 16) and steps.dtype == np.uint16
    assert steps.flat[:6].tolist() == [DIOPTRE, 0, 65535, 0, 0, 0]
    assert not steps.flat[6:].any()


def test_h264_holds_no_frame_back_and_makes_key_frames_when_asked() -> None:
    code, start = H264(64, 48, 10.0), room_start(9)
    keys = []
    for index, frame in enumerate(start.rgb):
        picture, key = code(frame, index == 5)
        assert picture.startswith(b"\0\0\0\1")
        # A key frame brings its parameters: unit type 7 comes first.
        assert (picture[4] & 31 == 7) == key
        keys.append(key)
    assert [index for index, key in enumerate(keys) if key] == [0, 5]


def test_from_a_key_frame_on_a_decoder_needs_nothing_before() -> None:
    code, start = H264(64, 48, 10.0), room_start(6)
    late = [code(frame, index == 3)[0] for index, frame in enumerate(start.rgb)][3:]
    decoder = av.CodecContext.create("h264", "r")
    found = [frame for data in late for frame in decoder.decode(av.Packet(data))]
    found += decoder.decode(None)
    assert len(found) == 3
    assert psnr(found[0].to_ndarray(format="rgb24").astype(np.uint8), start.rgb[3]) > 27


@pytest.mark.parametrize("code", [Jpeg(), H264(63, 47, 7.5)], ids=["jpeg", "h264"])
def test_odd_sizes_are_coded(code: Coder) -> None:
    picture, key = code(room_start(1).rgb[0, :47, :63], True)
    assert key and len(picture) > 100
