"""Packets as arrays: pictures, poses and depth, and what is no picture."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.client.scripted import SIZE, packet, with_header
from worldrt.client.pictures import Decoder, matrix, metres
from worldrt.errors import ProtocolError
from worldrt.protocol.packets import DIOPTRE, Coding, Flag, Header, Packet, View
from worldrt.server.coding import H264

PLACE = View((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0)
part = st.floats(-1, 1)


def decoder() -> Decoder:
    return Decoder(lambda: 77)


@given(st.tuples(part, part, part, part).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_a_pose_block_is_a_rotation_and_a_place(q: tuple[float, float, float, float]) -> None:
    """Each axis v goes to q v q*."""
    pose = matrix(View(q, (1.0, 2.0, 3.0), 1.0))
    assert pose[:, 3].tolist() == [1, 2, 3, 1] and pose[3, :3].tolist() == [0, 0, 0]
    unit = np.array(q) / np.linalg.norm(q)
    for axis in range(3):
        vector = np.zeros(4)
        vector[1 + axis] = 1
        turned = times(times(unit, vector), unit * (1, -1, -1, -1))
        assert np.allclose(pose[:3, axis], turned[1:]) and abs(turned[0]) < 1e-12


def times(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The product of two quaternions."""
    vector = a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:])
    return np.array([a[0] * b[0] - a[1:] @ b[1:], *vector])


def test_depth_is_inverse_and_nought_is_unknown() -> None:
    block = np.array([[0, DIOPTRE, 2 * DIOPTRE], [1, 65535, DIOPTRE // 4]], np.uint16)
    assert metres(block).tolist() == [
        [0, 1, 0.5],
        [DIOPTRE, pytest.approx(DIOPTRE / 65535), 4],
    ]


def test_a_jpeg_with_all_that_goes_with_it() -> None:
    each = replace(packet(90), depth=np.full((2, 3), DIOPTRE, np.uint16))
    frame = decoder()(each, 55)
    assert frame is not None
    assert frame.rgb.shape == (*SIZE, 3) and abs(int(frame.rgb.mean()) - 90) <= 1
    assert frame.depth is not None and (frame.depth == np.ones((2, 3))).all()
    assert (frame.arrived_us, frame.decoded_us, frame.header.frame) == (55, 77, 90)
    assert frame.pose[2, 3] == pytest.approx(0.9)


def h264(values: list[int]) -> list[Packet]:
    """Access units of grey frames as the server codes them, every third a key frame."""
    code, found = H264(63, 47, 15.0), []
    for number, value in enumerate(values):
        picture, key = code(np.full((47, 63, 3), value, np.uint8), number % 3 == 0)
        flags = Flag.KEY if key else Flag(0)
        header = Header(coding=Coding.H264, flags=flags, frame=number, width=63, height=47)
        found.append(Packet(header=header, picture=picture, pose=PLACE))
    return found


def test_h264_comes_out_frame_by_frame_without_delay() -> None:
    values, decode = [40, 80, 120, 160, 200, 90], decoder()
    for value, each in zip(values, h264(values), strict=True):
        frame = decode(each, 0)
        assert frame is not None and abs(int(frame.rgb.mean()) - value) <= 3


def test_h264_without_its_key_frame_waits_for_the_next() -> None:
    decode = decoder()
    shown = [decode(each, 0) is not None for each in h264([40, 80, 120, 160, 200])[1:]]
    assert shown == [False, False, True, True]


def png() -> bytes:
    out = BytesIO()
    Image.new("RGB", (3, 2)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    "each, sentence",
    [
        (replace(packet(4), pose=None), "Frame 4 came without its pose."),
        (replace(packet(4), picture=b"no"), "A picture of 2 bytes can't be read."),
        (replace(packet(4), picture=png()), "Frame 4 is 3x2, its header says 16x8."),
        (
            replace(packet(4), picture=packet(4).picture[:90]),
            "A picture of 90 bytes can't be read.",
        ),
    ],
)
def test_nonsense(each: Packet, sentence: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decoder()(each, 0)
    assert str(caught.value) == sentence


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    for coding in (Coding.JPEG, Coding.H264):
        each = with_header(replace(packet(3), picture=data), coding=coding)
        try:
            decoder()(each, 0)
        except ProtocolError:
            pass
