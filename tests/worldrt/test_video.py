"""Videos stay playable however they end, and hold the colours that were given."""

import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from worldrt.bench.metrics import psnr
from worldrt.errors import ConfigError, InputError, OutputError, ShapeError, WorldrtError
from worldrt.video import VideoWriter, enlarge, read_frames, read_image, write_image


def gradient(frames: int, height: int, width: int) -> np.ndarray:
    """Smooth colours that wander: [F, Y, X, 3]."""
    t, y, x = np.mgrid[:frames, :height, :width]
    return np.stack([x * 5 + t, y * 6 + 2 * t, (x + y) * 3], -1).clip(0, 255).astype(np.uint8)


def noise(frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (frames, height, width, 3)).astype(np.uint8)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the kernel refuse every file to grow beyond `size` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".MP4"])
@pytest.mark.parametrize(("height", "width", "scale"), [(24, 32, 2), (25, 33, 1), (7, 5, 3)])
def test_round_trip(tmp_path: Path, suffix: str, height: int, width: int, scale: int) -> None:
    path, frames = tmp_path / f"a{suffix}", gradient(31, height, width)
    with VideoWriter(path, width, height, 12.5, scale) as video:
        video.write(frames[:4])
        video.write(frames[4:4])
        video.write(frames[4:])
        assert video.frames == 31
    back = np.stack(list(read_frames(path)))
    rows, columns = height * scale, width * scale
    assert back.shape == (31, rows + rows % 2, columns + columns % 2, 3)
    assert psnr(back[:, :rows, :columns], enlarge(frames, scale)) > 33
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 12.5
        assert container.duration == pytest.approx(31 / 12.5 * 1e6, rel=0.02)


def test_colours_survive(tmp_path: Path) -> None:
    """Flat colours come back within two levels: the matrix and range written are those read."""
    colours = np.array(
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255] * 3, [0] * 3, [200, 30, 90]], np.uint8
    )
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 16, 16, 24) as video:
        video.write(colours[:, None, None].repeat(16, 1).repeat(16, 2))
    for frame, colour in zip(read_frames(path), colours, strict=True):
        assert np.abs(frame.astype(int) - colour).max() <= 2


def test_even_scale_keeps_pixels_apart(tmp_path: Path) -> None:
    """Enlarged twofold, neighbouring pixels share no chroma sample."""
    path, frames = tmp_path / "a.mp4", noise(1, 24, 32)
    with VideoWriter(path, 32, 24, 24, scale=2) as video:
        video.write(frames)
    assert psnr(next(read_frames(path))[None], enlarge(frames, 2)) > 28, "13 dB if they did"


def test_closed_mp4_is_an_ordinary_one(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 16, 16, 10) as video:
        video.write(gradient(40, 16, 16))
    content = path.read_bytes()
    assert content[:64].count(b"moof") == 0 and b"stts" in content[-2000:]
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 40, "only an index at the end knows that"


def test_no_frame_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 24) as video:
        video.write(np.empty((0, 16, 16, 3), np.uint8))
    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "b.mp4", 16, 16, 24):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_failure_before_the_first_frame_keeps_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, 16, 16, 24):
        raise KeyboardInterrupt
    assert path.read_bytes() == b"older"


def test_interrupt_keeps_every_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, 16, 16, 24) as video:
        video.write(gradient(9, 16, 16))
        raise KeyboardInterrupt
    assert len(list(read_frames(path))) == 9


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_kill_leaves_a_playable_file(tmp_path: Path, suffix: str) -> None:
    """After SIGKILL all but the last fragments and the encoder's look-ahead are there."""
    path = tmp_path / f"a{suffix}"
    program = (
        "import os, sys, numpy as np; from pathlib import Path;"
        "from worldrt.video import VideoWriter;"
        "video = VideoWriter(Path(sys.argv[1]), 16, 16, 10);"
        "video.write(np.random.default_rng(0).integers(0, 256, (100, 16, 16, 3)).astype('u1'));"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert 100 - 35 <= len(list(read_frames(path))) <= 100


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_full_disk_keeps_whole_fragments(tmp_path: Path, suffix: str) -> None:
    """Wherever the disk ends, in header, fragment or index, the file plays or is gone."""
    frames, path = noise(45, 16, 16), tmp_path / f"a{suffix}"
    with VideoWriter(path, 16, 16, 10) as video:
        video.write(frames)
    size = path.stat().st_size
    kept = set()
    for limit in [0, 100, *range(700, size, size // 6), *range(size - 1200, size, 200)]:
        path.unlink(missing_ok=True)
        try:
            with largest_file(limit), VideoWriter(path, 16, 16, 10) as video:
                video.write(frames)
        except OutputError as error:
            sentence = str(error)
        else:  # on a busy machine the encoder may need less for the same frames
            assert size - 1200 <= path.stat().st_size <= limit
            assert len(list(read_frames(path))) == len(frames)
            continue
        found = re.search(r"its first (\d+) frames are kept", sentence)
        count = int(found[1]) if found else 0
        kept.add(count)
        assert str(path) in sentence and "bytes are free there" in sentence
        assert path.exists() == (count > 0)
        if count:
            back = np.stack(list(read_frames(path)))
            assert len(back) == count
            assert psnr(back, frames[:count]) > 10, "the frames kept are the first"
    assert 0 in kept and max(kept) >= 30


def test_no_space_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OutputError, match="No space left on device.*[0-9] bytes are free"):
        write_image(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_memory_is_constant(tmp_path: Path) -> None:
    """3,000 frames, 9 MB of pixels, leave little more than their entries in the file's index."""

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    frames = gradient(100, 32, 32)
    with VideoWriter(tmp_path / "a.mp4", 32, 32, 24) as video:
        for _ in range(3):
            video.write(frames)
        before = resident()
        for _ in range(30):
            video.write(frames)
        assert resident() - before < 1.5e6


def test_closing_twice_and_writing_after(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    video = VideoWriter(path, 16, 16, 24)
    video.write(gradient(3, 16, 16))
    video.close()
    size = path.stat().st_size
    video.close()
    with pytest.raises(OutputError, match="closed after 3 frames"):
        video.write(gradient(1, 16, 16))
    assert path.stat().st_size == size


@pytest.mark.parametrize(
    ("name", "numbers", "error", "words"),
    [
        ("a.avi", (16, 16, 24.0, 1), ConfigError, "Unknown video suffix '.avi'"),
        ("a", (16, 16, 24.0, 1), ConfigError, "Unknown video suffix ''"),
        ("a.mp4", (0, 16, 24.0, 1), ConfigError, "0x16"),
        ("a.mp4", (16, 16, 0.0, 1), ConfigError, "0.0 frames a second"),
        ("a.mp4", (16, 16, float("nan"), 1), ConfigError, "nan frames a second"),
        ("a.mp4", (16, 16, float("inf"), 1), ConfigError, "inf frames a second"),
        ("a.mp4", (16, 16, 1e-3, 1), ConfigError, "0.001 frames a second"),
        ("a.mp4", (16, 16, 24.0, 0), ConfigError, "scale 0"),
        ("nowhere/a.mp4", (16, 16, 24.0, 1), OutputError, "there is no folder"),
        ("folder.mp4", (16, 16, 24.0, 1), OutputError, "it is a folder"),
    ],
)
def test_refused_at_once(
    tmp_path: Path,
    name: str,
    numbers: tuple[int, int, float, int],
    error: type[WorldrtError],
    words: str,
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(error, match=words):
        VideoWriter(tmp_path / name, *numbers)


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        (np.zeros((16, 16, 3), np.uint8), ShapeError),
        (np.zeros((1, 16, 17, 3), np.uint8), ShapeError),
        (np.zeros((1, 16, 16, 4), np.uint8), ShapeError),
        (np.zeros((1, 16, 16, 3), np.float32), InputError),
    ],
)
def test_wrong_frames(tmp_path: Path, frames: np.ndarray, error: type[WorldrtError]) -> None:
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 24) as video, pytest.raises(error):
        video.write(frames)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"not a video at all", bytes(5000)])
@pytest.mark.parametrize("read", [read_image, lambda path: next(read_frames(path))])
def test_unreadable(tmp_path: Path, content: bytes | None, read) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="a.mp4 can't be read"):
        read(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound) + stream.encode())
    with pytest.raises(InputError, match="holds no video"):
        next(read_frames(path))


def test_broken_off_video_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 32, 32, 10) as video:
        video.write(noise(30, 32, 32))
    content = path.read_bytes()
    third = len(content) // 3
    path.write_bytes(content[:third] + bytes(third) + content[2 * third :])
    count = 0
    with pytest.raises(InputError, match="breaks off after"):
        for _ in read_frames(path):
            count += 1
    assert 0 < count < 30


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".PNG"])
def test_picture_round_trip(tmp_path: Path, suffix: str) -> None:
    path, image = tmp_path / f"a{suffix}", gradient(1, 25, 33)[0]
    write_image(path, image[:, ::-1])
    back = read_image(path)
    assert back.dtype == np.uint8
    assert psnr(back, image[:, ::-1]) > (1000 if suffix.lower() == ".png" else 30)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_picture_is_upright_rgb(tmp_path: Path) -> None:
    """Grey, bits and alpha become RGB; a phone's orientation tag is obeyed."""
    red = np.zeros((4, 6, 4), np.uint8)
    red[..., 0] = red[..., 3] = 255
    image = Image.fromarray(red)
    for mode in ("RGBA", "RGB", "L", "1"):
        image.convert(mode).save(tmp_path / "a.png")
        assert read_image(tmp_path / "a.png").shape == (4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.convert("RGB").save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png").shape == (6, 4, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_damaged_picture(tmp_path: Path, suffix: str) -> None:
    """A cut is always told; a flipped byte gives a picture or our error, nothing else."""
    path = tmp_path / f"a{suffix}"
    write_image(path, noise(1, 13, 11)[0])
    content = path.read_bytes()
    for length in range(0, len(content) * 9 // 10, 41):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            read_image(path)
    for position in range(0, len(content), 11):
        path.write_bytes(
            content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :]
        )
        try:
            assert read_image(path).shape[2] == 3
        except InputError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(
    ("name", "image", "error"),
    [
        ("a.gif", np.zeros((2, 2, 3), np.uint8), ConfigError),
        ("a.png", np.zeros((2, 2), np.uint8), ShapeError),
        ("a.png", np.zeros((0, 2, 3), np.uint8), ShapeError),
        ("a.png", np.zeros((2, 2, 3)), InputError),
        ("nowhere/a.png", np.zeros((2, 2, 3), np.uint8), OutputError),
    ],
)
def test_picture_refused(
    tmp_path: Path, name: str, image: np.ndarray, error: type[WorldrtError]
) -> None:
    with pytest.raises(error):
        write_image(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []


def test_enlarge_is_a_kronecker_product() -> None:
    image = gradient(2, 3, 5)
    block = np.ones((1, 3, 3, 1), np.uint8)
    np.testing.assert_array_equal(enlarge(image, 3), np.kron(image, block))
    np.testing.assert_array_equal(enlarge(image, 1), image)
