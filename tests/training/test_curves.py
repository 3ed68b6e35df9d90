"""A run's figures survive kills and resumption; its pictures show what they were given."""

import cv2
import numpy as np
import pytest

from worldrt.errors import CorruptFile, OutputError, ShapeError
from worldrt.training import curves
from worldrt.training.curves import Curves, strip


def test_figures_come_back_as_they_were_appended(tmp_path):
    figures = Curves(tmp_path / "deep" / "run")
    figures.append(1, {"loss": 0.1, "psnr/rgb": 30.25})
    figures.append(7, {"loss": float("nan")})
    rows = [(1, {"loss": 0.1, "psnr/rgb": 30.25}), (7, {"loss": None})]
    assert figures.rows == rows
    assert curves.read(tmp_path / "deep" / "run" / "curves.jsonl") == rows


@pytest.mark.parametrize(("step", "left"), [(0, []), (2, [1, 2]), (3, [1, 2]), (9, [1, 2, 5])])
def test_resuming_drops_what_lies_beyond(tmp_path, step, left):
    first = Curves(tmp_path)
    for number in (1, 2, 5):
        first.append(number, {"loss": 1 / number})
    again = Curves(tmp_path, step)
    assert [row[0] for row in again.rows] == left
    again.append(step + 1, {"loss": 0.5})
    assert [row[0] for row in curves.read(again.table)] == [*left, step + 1]


@pytest.mark.parametrize("kept", [1, 10, 23])
def test_a_line_cut_by_a_kill_is_dropped(tmp_path, kept):
    figures = Curves(tmp_path)
    figures.append(1, {"loss": 0.5})
    figures.append(2, {"loss": 0.25})
    first, second = figures.table.read_bytes().splitlines(keepends=True)
    figures.table.write_bytes(first + second[: min(kept, len(second) - 1)])
    again = Curves(tmp_path, 2)
    assert again.rows == [(1, {"loss": 0.5})]
    again.append(2, {"loss": 0.125})
    assert curves.read(again.table) == [(1, {"loss": 0.5}), (2, {"loss": 0.125})]


def test_damage_before_the_end_is_told(tmp_path):
    (tmp_path / "curves.jsonl").write_text('[1,{"loss":0.5}]\n[2,{"lo\n[3,{"loss":0.5}]\n')
    with pytest.raises(CorruptFile, match="can't be read"):
        Curves(tmp_path, 3)


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be made"):
        Curves(tmp_path / "file" / "run")


def test_the_picture_is_redrawn_when_its_time_has_come(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(curves.time, "monotonic", lambda: now[0])
    figures = Curves(tmp_path, seconds=30)
    figures.append(1, {"loss": 2.0, "psnr/rgb": 20, "psnr/depth": 30})
    assert not figures.picture.exists()
    now[0] += 30
    figures.append(2, {"loss": 1.0, "psnr/rgb": 22})
    before = cv2.imread(str(figures.picture))
    assert before is not None and before.shape[0] > 300
    for step in range(3, 200):
        figures.append(step, {"loss": 1 / step})
    assert (cv2.imread(str(figures.picture)) == before).all()
    figures.draw()
    after = cv2.imread(str(figures.picture))
    assert after is not None and (after != before).any()
    assert not list(tmp_path.glob("*.part"))


def test_a_run_without_figures_draws_an_empty_picture(tmp_path):
    Curves(tmp_path).draw()
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


def test_a_strip_holds_every_pixel_enlarged(tmp_path):
    rng = np.random.default_rng(0)
    rows = [[rng.integers(0, 256, (5, 7, 3), np.uint8) for _ in range(4)] for _ in range(2)]
    strip(tmp_path / "strip.png", rows, ["truth", "decoded"], scale=3)
    sheet = cv2.imread(str(tmp_path / "strip.png"))
    assert sheet is not None
    sheet = sheet[:, :, ::-1]
    for image in (image for row in rows for image in row):
        large = np.kron(image, np.ones((3, 3, 1), np.uint8))
        windows = np.lib.stride_tricks.sliding_window_view(sheet, large.shape)
        assert (windows[:, :, 0] == large).all(axis=(-3, -2, -1)).sum() == 1


@pytest.mark.parametrize(
    ("sizes", "labels"),
    [([[(4, 4, 3)]], []), ([[(4, 4, 3)], [(4, 4, 3)] * 2], ["a", "b"]), ([[(4, 4)]], ["a"])]
    + [([[(4, 4, 3), (4, 5, 3)]], ["a"])],
)
def test_strips_that_do_not_add_up(tmp_path, sizes, labels):
    rows = [[np.zeros(size, np.uint8) for size in row] for row in sizes]
    with pytest.raises(ShapeError):
        strip(tmp_path / "strip.png", rows, labels)
    assert not list(tmp_path.iterdir())


def test_a_strip_needs_its_folder(tmp_path):
    with pytest.raises(OutputError):
        strip(tmp_path / "no" / "strip.png", [[np.zeros((4, 4, 3), np.uint8)]], ["a"])
