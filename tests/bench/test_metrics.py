"""Metrics against closed forms, a direct computation and geometry one can draw on paper."""

import numpy as np
import pytest

from worldrt.bench.metrics import psnr, seen_masks, sharpness, sharpness_ratio, ssim
from worldrt.errors import ShapeError
from worldrt.geometry.camera import Camera

RNG = np.random.default_rng(3)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (*shape, 3)).astype(np.uint8)


class TestPsnr:
    def test_closed_form(self) -> None:
        """A constant error of 51 levels of 255 is 0.2: -20 log10 0.2 decibels."""
        image = RNG.integers(0, 200, (7, 9, 3)).astype(np.uint8)
        assert psnr(image, image + np.uint8(51)) == pytest.approx(-20 * np.log10(0.2))
        assert psnr(image + np.uint8(51), image) == pytest.approx(-20 * np.log10(0.2))

    def test_equal_images(self) -> None:
        image = noise(5, 3)
        assert psnr(image, image) == np.inf

    def test_mask_chooses_pixels(self) -> None:
        image, truth = noise(4, 5, 7), noise(4, 5, 7)
        mask = RNG.random((4, 5, 7)) < 0.3
        assert psnr(image, truth, mask) == pytest.approx(psnr(image[mask][None], truth[mask][None]))
        assert psnr(np.where(mask[..., None], truth, image), truth, mask) == np.inf
        assert np.isnan(psnr(image, truth, np.zeros_like(mask)))

    def test_bytes_and_fractions_agree(self) -> None:
        image, truth = noise(5, 7), noise(5, 7)
        fraction = psnr((image / 255).astype(np.float32), truth)
        assert fraction == pytest.approx(psnr(image, truth), abs=1e-4)

    def test_video_is_one_mean(self) -> None:
        """Frames of equal size: the mean squared error averages, the decibels do not."""
        image, truth = noise(2, 5, 7), noise(2, 5, 7)
        errors = [10 ** (-psnr(a, b) / 10) for a, b in zip(image, truth, strict=True)]
        assert psnr(image, truth) == pytest.approx(-10 * np.log10(np.mean(errors)))


class TestSsim:
    @staticmethod
    def direct(a: np.ndarray, b: np.ndarray) -> float:
        """Wang et al. (2004), equations 14 to 16 and 13, window by window."""
        offsets = np.arange(11) - 5
        line = np.exp(-(offsets**2) / (2 * 1.5**2))
        weights = np.outer(line, line) / line.sum() ** 2
        values = []
        for y in range(a.shape[0] - 10):
            for x in range(a.shape[1] - 10):
                for channel in range(3):
                    p, q = (
                        image[y : y + 11, x : x + 11, channel].astype(float) for image in (a, b)
                    )
                    mean_p, mean_q = (weights * p).sum(), (weights * q).sum()
                    var_p = (weights * (p - mean_p) ** 2).sum()
                    var_q = (weights * (q - mean_q) ** 2).sum()
                    covariance = (weights * (p - mean_p) * (q - mean_q)).sum()
                    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
                    values.append(
                        (2 * mean_p * mean_q + c1)
                        * (2 * covariance + c2)
                        / ((mean_p**2 + mean_q**2 + c1) * (var_p + var_q + c2))
                    )
        return float(np.mean(values))

    @pytest.mark.parametrize("size", [(11, 11), (13, 16), (12, 23)])
    def test_against_direct_computation(self, size: tuple[int, int]) -> None:
        image = noise(*size)
        other = (0.6 * image + 0.4 * noise(*size)).astype(np.uint8)
        assert ssim(image, other) == pytest.approx(self.direct(image, other), abs=1e-12)

    def test_axioms(self) -> None:
        image, other = noise(3, 17, 19), noise(3, 17, 19)
        assert ssim(image, image) == pytest.approx(1)
        assert ssim(image, other) == pytest.approx(ssim(other, image))
        assert ssim(image, other) < 0.2
        assert ssim(image, 255 - image) < 0
        frames = [ssim(a, b) for a, b in zip(image, other, strict=True)]
        assert ssim(image, other) == pytest.approx(np.mean(frames))

    def test_flat_images(self) -> None:
        """Without variance only the luminance term is left."""
        a, b = np.full((15, 15, 3), 0.2), np.full((15, 15, 3), 0.6)
        expected = (2 * 0.2 * 0.6 + 1e-4) / (0.04 + 0.36 + 1e-4)
        assert ssim(a, b) == pytest.approx(expected)


class TestSharpness:
    @pytest.mark.parametrize(("down", "right"), [(0.0, 0.02), (0.03, 0.04), (0.01, 0.0)])
    def test_ramp(self, down: float, right: float) -> None:
        y, x = np.mgrid[:9, :13]
        image = np.repeat((y * down + x * right)[..., None], 3, -1)
        assert sharpness(image) == pytest.approx(np.hypot(down, right))

    def test_contrast_scales_it(self) -> None:
        image = noise(11, 13) / 255
        assert sharpness_ratio(image * 0.5, image) == pytest.approx(0.5)
        assert sharpness_ratio(image, image) == 1

    def test_blur_lowers_it(self) -> None:
        image = noise(3, 20, 20) / 255
        blurred = (image + np.roll(image, 1, axis=-2) + np.roll(image, 1, axis=-3)) / 3
        assert sharpness_ratio(blurred, image) < 0.8

    def test_mask(self) -> None:
        """Left half flat, right half a ramp: each mask sees its own half."""
        image = np.zeros((8, 20, 3))
        image[:, 10:] = (np.arange(10) * 0.05)[:, None]
        mask = np.zeros((8, 20), bool)
        mask[:, 12:] = True
        assert sharpness(image, mask) == pytest.approx(0.05)
        mask = np.zeros((8, 20), bool)
        mask[:, :9] = True
        assert sharpness(image, mask) == 0
        assert np.isinf(sharpness_ratio(np.where(mask[..., None], noise(8, 20), 0), image, mask))
        assert np.isnan(sharpness_ratio(image, image, np.zeros_like(mask)))


CAMERA = Camera(width=33, height=25, fx=16.5, fy=16.5, cx=16.5, cy=12.5)
HERE = np.eye(4)


def moved(x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """A level pose, yaw in degrees, to the right."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    pose = np.eye(4)
    pose[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    pose[:3, 3] = x, y, z
    return pose


def wall(distance: float) -> np.ndarray:
    return np.full((CAMERA.height, CAMERA.width), distance, np.float32)


def floor(pose: np.ndarray, height: float = 1.0) -> np.ndarray:
    """Depth of the plane `height` metres below the world's origin; 0 above the horizon."""
    rays = CAMERA.directions() @ pose[:3, :3].T
    down = rays[..., 1]
    return np.where(down > 1e-9, (height - pose[1, 3]) / np.where(down > 1e-9, down, 1), 0)


def seen(depth: np.ndarray, pose: np.ndarray, known_depth: np.ndarray, known_pose: np.ndarray):
    return seen_masks(depth[None], pose[None], CAMERA, known_depth[None], known_pose[None])[0]


class TestSeen:
    def test_a_frame_sees_itself(self) -> None:
        depth = RNG.uniform(1, 9, (CAMERA.height, CAMERA.width))
        depth[3, 4], depth[5, 6], depth[7, 8] = 0, np.nan, np.inf
        pose = moved(1, 2, 3, 40)
        np.testing.assert_array_equal(
            seen(depth, pose, depth, pose), np.isfinite(depth) & (depth > 0)
        )

    @pytest.mark.parametrize("columns", [-8, -1, 3, 32, 40])
    def test_sideways_along_a_wall(self, columns: int) -> None:
        """A step of a whole number of pixels at the wall's depth uncovers as many columns."""
        step = columns * 5.0 / CAMERA.fx
        mask = seen(wall(5), moved(x=step), wall(5), HERE)
        expected = np.zeros(33, bool)
        expected[max(0, -columns) : max(0, 33 - columns)] = True
        np.testing.assert_array_equal(mask, np.broadcast_to(expected, mask.shape))

    def test_behind_the_known_camera(self) -> None:
        assert not seen(wall(5), moved(yaw=180), wall(5), HERE).any()
        assert seen(wall(5), moved(z=10, yaw=180), wall(5), HERE).all(), "the same wall's far side"

    @pytest.mark.parametrize(
        ("truth", "known", "hit"),
        [(4.0, 4.11, True), (4.0, 4.13, False), (4.0, 3.89, True), (4.0, 3.87, False)]
        + [(1.0, 1.045, True), (1.0, 1.055, False), (0.5, 0.455, True), (0.5, 0.445, False)],
    )
    def test_slack(self, truth: float, known: float, hit: bool) -> None:
        """3 % of the depth, but never less than 5 cm."""
        mask = seen(wall(truth), HERE, wall(known), HERE)
        assert mask.all() == mask.any() == hit

    def test_occlusion(self) -> None:
        """A pillar 2 m ahead hides part of a wall at 6 m; from the side the wall is seen behind it,
        and only where the pillar did not hide it from the start."""
        known = wall(6)
        known[:, 12:21] = 2
        step = 1.0
        mask = seen(wall(6), moved(x=step), known, HERE)
        columns = CAMERA.fx * ((np.arange(33) + 0.5 - CAMERA.cx) / CAMERA.fx + step / 6) + CAMERA.cx
        # A point within half a pixel of the pillar's edge lies between pillar and wall.
        clear = (columns < 33) & ((columns < 11.4) | (columns > 21.6))
        hidden = (columns > 12.6) & (columns < 20.4)
        assert mask[:, clear].all() and not mask[:, hidden].any()
        assert clear.sum() > 15 and hidden.sum() > 5

    @pytest.mark.parametrize("pose", [moved(), moved(x=0.3, z=0.4), moved(z=-1, yaw=15)])
    def test_grazing_floor(self, pose: np.ndarray) -> None:
        """However steep the plane: what falls inside both images is seen, up to the horizon."""
        depth, known = floor(pose), floor(HERE)
        points = CAMERA.unproject(np.where(depth > 0, depth, 1), pose)
        pixels, z = CAMERA.project(points, HERE)
        inside = (depth > 0) & (z > 0)
        # The row above the first floor pixel's centre is bounded by sky on one side.
        inside &= (pixels[..., 0] >= 0) & (pixels[..., 0] < CAMERA.width)
        inside &= (pixels[..., 1] >= 13.5) & (pixels[..., 1] <= CAMERA.height - 0.5)
        assert inside.sum() > 100
        assert seen(depth, pose, known, HERE)[inside].all()

    def test_any_known_frame_will_do(self) -> None:
        targets, poses = np.stack([wall(5)] * 2), np.stack([HERE, moved(x=3)])
        known, known_poses = (
            np.stack([wall(5), wall(1), wall(5)]),
            np.stack([HERE, HERE, moved(x=20)]),
        )
        together = seen_masks(targets, poses, CAMERA, known, known_poses)
        alone = [
            seen_masks(targets, poses, CAMERA, known[k : k + 1], known_poses[k : k + 1])
            for k in range(3)
        ]
        np.testing.assert_array_equal(together, np.logical_or.reduce(alone))
        assert together[0].all() and 0 < together[1].mean() < 1

    def test_nothing_known(self) -> None:
        empty = np.empty((0, 25, 33)), np.empty((0, 4, 4))
        assert not seen_masks(wall(5)[None], HERE[None], CAMERA, *empty).any()
        assert seen_masks(*empty[:1], empty[1], CAMERA, wall(5)[None], HERE[None]).shape[0] == 0
        assert not seen(wall(5), HERE, np.zeros((25, 33)), HERE).any()
        assert not seen(wall(5), HERE, np.full((25, 33), np.nan), HERE).any()


IMAGE = np.zeros((12, 12, 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: psnr(IMAGE, IMAGE[:-1]), r"truth has shape \[11, 12, 3\]"),
        (lambda: psnr(IMAGE[..., 0], IMAGE[..., 0]), r"image has shape \[12, 12\]"),
        (lambda: psnr(IMAGE, IMAGE, np.ones((12, 11), bool)), r"mask has shape \[12, 11\]"),
        (lambda: ssim(IMAGE[:10], IMAGE[:10]), "at least 11"),
        (lambda: ssim(IMAGE, IMAGE[None]), "truth has shape"),
        (lambda: sharpness(IMAGE[:1]), "at least 2"),
        (lambda: sharpness_ratio(IMAGE, IMAGE[:, :-1]), "truth has shape"),
        (lambda: seen(wall(1)[:-1], HERE, wall(1), HERE), "depths has shape"),
        (lambda: seen(wall(1), HERE, wall(1)[:, 1:], HERE), "known_depths has shape"),
        (lambda: seen(wall(1), HERE[:3], wall(1), HERE), "poses of depths has shape"),
    ],
)
def test_wrong_shapes(call, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        call()
