"""Depth of pictures: closed forms, and tiny models of transformers with random weights."""

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldrt.config import CameraConfig
from worldrt.errors import BackendUnavailable, ConfigError, InputError
from worldrt.estimate import ROOM, Model, Plane, Room, depth_provider
from worldrt.geometry.camera import Camera

CAMERA = Camera.centred(CameraConfig(width=37, height=25, fx=18.0, fy=20.0))
PICTURE = np.random.default_rng(3).integers(0, 256, (50, 74, 3), np.uint8)


def test_room_is_a_floor_a_ceiling_and_a_wall() -> None:
    depth, note = Room().estimate(PICTURE, CAMERA)
    assert depth.dtype == np.float32 and depth.shape == (25, 37)
    points = CAMERA.unproject(depth, np.eye(4))
    floor, ceiling, wall = ROOM
    on = np.isclose(points[..., 1], floor), np.isclose(points[..., 1], -ceiling), depth == wall
    assert all(each.any() for each in on) and np.logical_or.reduce(on).all()
    assert note.startswith("a level camera in a room is assumed, 1.28 m above the floor")


def test_plane_is_flat_and_says_so() -> None:
    provider = depth_provider("plane:2.5")
    depth, note = provider.estimate(PICTURE, CAMERA)
    assert depth.shape == (25, 37) and (depth == 2.5).all()
    assert note == "a flat picture 2.5 m ahead is assumed"


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("plane:", "A plane stands some metres ahead, got ''; say plane:4."),
        ("plane:far", "A plane stands some metres ahead, got 'far'; say plane:4."),
        ("plane:0", "A plane stands some metres ahead, got 0; say 4."),
        ("plane:-3", "A plane stands some metres ahead, got -3; say 4."),
        ("plane:nan", "A plane stands some metres ahead, got nan; say 4."),
        ("plane:inf", "A plane stands some metres ahead, got inf; say 4."),
        (
            "rooms",
            "Depth can't come from 'rooms': say room, plane:METRES, or a folder with the "
            "config.json and the weights of a depth-estimation model.",
        ),
    ],
)
def test_names_that_are_none(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as found:
        depth_provider(text)
    assert str(found.value) == sentence


def test_names() -> None:
    assert isinstance(depth_provider("room"), Room)
    plane = depth_provider("plane:4")
    assert isinstance(plane, Plane) and plane.metres == 4


# Models.


def write_model(folder: Path, kind: str = "relative") -> Path:
    """A tiny Depth Anything with seeded random weights."""
    transformers = pytest.importorskip("transformers")
    import torch

    backbone = transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=28,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[4, 4, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=4,
        depth_estimation_type=kind,
        max_depth=20,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = transformers.DepthAnythingForDepthEstimation(config)
        with torch.no_grad():  # random weights may well say that all is infinitely far
            model.head.conv3.bias.fill_(0.5)
            model.head.conv3.weight.mul_(20)
        model.save_pretrained(folder)
    transformers.DPTImageProcessor(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def relative(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "relative")


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "metric", "metric")


class Says:
    """In place of a pipeline: says what it is told to."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values.astype(np.float32)

    def __call__(self, _: object) -> dict[str, Any]:
        import torch

        return {"predicted_depth": torch.from_numpy(self.values)}


def told(folder: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Model:
    model = Model(folder)
    monkeypatch.setattr(model, "_run", Says(values))
    return model


def test_metric_model_gives_metres(metric: Path) -> None:
    provider = depth_provider(str(metric))
    assert isinstance(provider, Model) and provider.metric
    depth, note = provider.estimate(PICTURE, CAMERA)
    assert depth.shape == (25, 37) and depth.dtype == np.float32
    assert (depth > 0).all() and (depth <= 20.5).all()
    assert note == "metric has estimated it, in metres"
    np.testing.assert_array_equal(provider.estimate(PICTURE, CAMERA).depth, depth)


def test_relative_model_is_scaled_to_a_room(relative: Path) -> None:
    provider = depth_provider(str(relative))
    assert isinstance(provider, Model) and not provider.metric
    depth, note = provider.estimate(PICTURE, CAMERA)
    assert depth.shape == (25, 37) and np.isfinite(depth).all() and (depth >= 0).all()
    middle = np.median(Room().estimate(PICTURE, CAMERA).depth)
    assert np.median(depth[depth > 0]) == pytest.approx(middle, rel=0.02)
    assert note == (
        "relative has estimated it up to a scale, which is chosen so that half of the picture "
        f"lies nearer than {middle:.2g} m"
    )


def test_metres_are_kept_and_inverse_depth_is_inverted(
    relative: Path, metric: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).uniform(1, 9, (25, 37))
    found = told(metric, values, monkeypatch).estimate(PICTURE, CAMERA).depth
    np.testing.assert_allclose(found, values, rtol=1e-6)
    found = told(relative, values, monkeypatch).estimate(PICTURE, CAMERA).depth
    product = found * values
    np.testing.assert_allclose(product, product[0, 0], rtol=1e-5)


def test_no_depth_lies_between_two_surfaces(metric: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.where(np.arange(370) < 187, 2.0, 9.0) * np.ones((250, 1))
    found = told(metric, values, monkeypatch).estimate(PICTURE, CAMERA).depth
    assert set(np.unique(found)) == {2.0, 9.0}


def test_what_is_infinitely_far_is_unknown(relative: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.full((25, 37), 3.0)
    values[:9], values[9] = 0, -0.03  # the sky, and what enlarging it makes at its rim
    depth = told(relative, values, monkeypatch).estimate(PICTURE, CAMERA).depth
    assert (depth[:10] == 0).all() and (depth[10:] > 0).all()


@pytest.mark.parametrize("kind", ["relative", "metric"])
@pytest.mark.parametrize(
    "bad, counts", [(np.nan, "1 values"), (np.inf, "1 values"), (-3.0, "1 values"), (0.0, "0 val")]
)
def test_bad_values_are_refused(
    kind: str, bad: float, counts: str, request: pytest.FixtureRequest, monkeypatch: Any
) -> None:
    folder = request.getfixturevalue(kind)
    values = np.zeros((25, 37)) if bad == 0 else np.full((25, 37), 3.0)
    values[3, 4] = bad
    model = told(folder, values, monkeypatch)
    with pytest.raises(InputError, match=f"{kind} tells {counts}.* for a picture of 925 pixels"):
        model.estimate(PICTURE, CAMERA)


def test_a_metric_zero_is_refused(metric: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.full((25, 37), 3.0)
    values[0, 0] = 0
    with pytest.raises(InputError, match="0 values that are negative or not finite and 1 zeros"):
        told(metric, values, monkeypatch).estimate(PICTURE, CAMERA)


@pytest.mark.parametrize("lost", ["model.safetensors", "preprocessor_config.json"])
def test_a_folder_that_lacks_a_file_is_refused(tmp_path: Path, relative: Path, lost: str) -> None:
    for path in relative.iterdir():
        if path.name != lost:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="can't be loaded as a depth-estimation model") as found:
        depth_provider(str(tmp_path))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("kind", ["bert", "no_such_model"])
def test_another_model_is_refused(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(InputError, match="can't be loaded as a depth-estimation model"):
        depth_provider(str(tmp_path))


def test_without_transformers_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "transformers":
            raise ModuleNotFoundError("No module named 'transformers'")
        return real(name, *rest)

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendUnavailable, match="transformers is not available here; install it"):
        depth_provider(str(tmp_path))
