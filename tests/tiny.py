"""A world small enough for tests: 64x48 pixels, two layers, seeded random weights, and a room."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch.nn.functional import interpolate

from worldrt.checkpoints.files import write_tensors
from worldrt.codec import PatchCodec, build
from worldrt.conditioning import CAMERA_CHANNELS, spatial_channels
from worldrt.config import (
    CameraConfig,
    CodecConfig,
    MemoryConfig,
    MemoryUse,
    ModelConfig,
    MotionConfig,
    SamplerConfig,
    WorldConfig,
    dump,
)
from worldrt.geometry.camera import Camera
from worldrt.model import Transformer
from worldrt.starts import Start, write_start
from worldrt.training.episodes import MANIFEST as MANIFEST_FILE
from worldrt.training.episodes import Manifest, Shard
from worldrt.training.recording import Recording
from worldrt.world import MANIFEST

BLOCK = 4
"""Frames of a block."""
CAMERA = CameraConfig(width=64, height=48, fx=32.0, fy=38.4)
"""One that Doom draws too, at four times as many pixels a side."""
ROOM = np.array([[-4.0, -1.5, -5.0], [4.0, 1.3, 5.0]])
"""Corners of the room that starts show, metres."""


def tiny_config(refiner_width: int = 0) -> WorldConfig:
    """The numbers of the world: 12 tokens a frame."""
    channels = 16
    return WorldConfig(
        name="tiny",
        summary="A room for tests.",
        fps=10,
        block_frames=BLOCK,
        policy="window",
        camera=CAMERA,
        motion=MotionConfig(move_step=0.2, turn_step=10.0),
        model=ModelConfig(
            dim=48,
            num_heads=2,
            num_layers=2,
            ffn_dim=64,
            in_channels=channels,
            freq_dim=32,
            camera_channels=CAMERA_CHANNELS,
            spatial_channels=spatial_channels(channels),
        ),
        codec=CodecConfig(channels=channels, refiner_width=refiner_width),
        sampler=SamplerConfig(sigmas=(1.0, 0.6), prediction="residual"),
        memory=MemoryConfig(budget_mb=2.0, use=MemoryUse.BOTH, recalled=2),
    )


def write_world(folder: Path, *, refiner_width: int = 0, trained: bool = True) -> Path:
    """Write a world with a start named `room`.

    Args:
        folder: made if need be.
        refiner_width: of the codec.
        trained: False: the head is zero, the model's output too.

    Returns:
        The folder.
    """
    (folder / "starts").mkdir(parents=True)
    config = tiny_config(refiner_width)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = Transformer(config.model)
        codec = build(config.codec)
        assert isinstance(codec, PatchCodec)
        coarse = torch.rand(20, 4, 6, 8) * 2 - 1
        codec.fit([interpolate(coarse, size=(48, 64), mode="bicubic").clamp(-1, 1)])
    if not trained:
        model.head.out.requires_grad_(False)
        model.head.out.weight.zero_()
        assert model.head.out.bias is not None
        model.head.out.bias.zero_()
    (folder / MANIFEST).write_text(dump(config))
    write_tensors(folder / "model.safetensors", model.state_dict())
    write_tensors(folder / "codec.safetensors", codec.state_dict())
    write_start(folder / "starts" / "room.mkv", room_start(10))
    return folder


def room_start(frames: int, camera: CameraConfig = CAMERA, turn: float = 10.0) -> Start:
    """Real frames of a turn to the right in the room.

    Args:
        frames: at least 1.
        camera: of the frames.
        turn: degrees a frame; the first looks along z.
    """
    poses = np.stack([standing(0.3, -1.0, turn * index) for index in range(frames)])
    seen = [look(pose, camera) for pose in poses]
    return Start(
        "room", np.stack([one[0] for one in seen]), np.stack([one[1] for one in seen]), poses
    )


def standing(x: float, z: float, yaw: float) -> NDArray[np.float64]:
    """A level pose at eye height, its yaw in degrees."""
    cos, sin = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return np.array([[cos, 0, sin, x], [0, 1, 0, 0], [-sin, 0, cos, z], [0, 0, 0, 1.0]])


def look(
    pose: NDArray[np.float64], camera: CameraConfig = CAMERA
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """What a camera in the room sees: RGB [Y, X, 3] and depth [Y, X], ray-cast."""
    directions = Camera.centred(camera).directions() @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        leave = (ROOM[:, None, None] - pose[:3, 3]) / directions
    depth = np.maximum(*leave).min(axis=-1)
    place = pose[:3, 3] + depth[..., None] * directions
    waves = np.sin(2.5 * place + 2 * np.roll(place, 1, axis=-1))
    rgb = np.rint((150 + 80 * waves) * [1.0, 0.7, 0.5]).astype(np.uint8)
    return rgb, depth.astype(np.float32)


def write_recording(recording: Recording) -> None:
    """Write a recording of turns in the room, one shard, as the simulator's would be."""
    folder = Path(recording.folder)
    folder.mkdir(parents=True)
    turns = [
        room_start(recording.frames, recording.camera, 6.0 + number)
        for number in range(recording.episodes)
    ]
    content = save(
        {
            "rgb": np.stack([turn.rgb for turn in turns]),
            "depth": np.stack([turn.depth for turn in turns]).astype(np.float16),
            "poses": np.stack([turn.poses for turn in turns]),
        }
    )
    shard = Shard(
        name="shard-00000.safetensors",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    (folder / shard.name).write_bytes(content)
    manifest = Manifest(
        camera=recording.camera,
        frames=recording.frames,
        seeds=tuple(range(recording.seed, recording.seed + recording.episodes)),
        shards={0: shard},
    )
    (folder / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
