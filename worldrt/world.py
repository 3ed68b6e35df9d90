"""A world: a checkpoint with its codec, conditioning and defaults, loaded once for all sessions."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import torch
from torch import Tensor

import worldrt
from worldrt.atlas.store import load as load_map
from worldrt.checkpoints.files import load_strict, read_tensors
from worldrt.codec import Codec, build
from worldrt.conditioning import CAMERA_CHANNELS, MASK_SIDE, spatial_channels
from worldrt.config import WorldConfig, check, load
from worldrt.errors import ConfigError
from worldrt.geometry.camera import Camera
from worldrt.memory.learned import LearnedPacker
from worldrt.memory.packed import Packed
from worldrt.memory.policy import Policy, find
from worldrt.memory.slots import CacheShape
from worldrt.memory.spatial.entities import Entities
from worldrt.memory.spatial.places import Places
from worldrt.model import Transformer
from worldrt.packing import packed_tokens
from worldrt.starts import Start, open_start

MANIFEST = "world.toml"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""What a transformer can be computed in."""


class World:
    """Weights and numbers of one world; unchanged by the sessions that walk it.

    Args:
        config: from `world.toml`.
        model: its transformer, weights loaded.
        codec: its autoencoder, weights loaded.
        folder: where its starts lie.
        packer: its learned packer, weights loaded; None: it has none.
    """

    def __init__(
        self,
        config: WorldConfig,
        model: Transformer,
        codec: Codec,
        folder: Path,
        packer: LearnedPacker | None = None,
    ) -> None:
        self.config, self.folder = config, folder
        self.model = model.eval().requires_grad_(False)
        self.codec = codec.eval().requires_grad_(False)
        self.packer = packer.eval().requires_grad_(False) if packer else None
        self.camera = Camera.centred(config.camera)

    @classmethod
    def load(cls, name: str, dtype: str = "fp32") -> "World":
        """Load a shipped world by name, or any by its folder.

        Args:
            name: `maze`, or a path to a folder with `world.toml`, `model.safetensors` and
                `codec.safetensors`, and `packer.safetensors` where `world.toml` has a `[packer]`.
            dtype: of the transformer's weights, activations and keys: fp32, bf16, or auto, which is
                bf16 where this machine multiplies it faster. Latents, codec and packer are float32
                always.

        Raises:
            ConfigError: no such world or dtype, or its numbers make no sense.
            InputError: a file of its weights is missing.
            CheckpointError: its weights are damaged or of another shape.
        """
        kind = find_dtype(dtype)
        folder = find_world(name)
        config = load(folder / MANIFEST, WorldConfig)
        _check_conditions(config)
        model = Transformer(config.model)
        path = folder / "model.safetensors"
        load_strict(model, read_tensors(path), path)
        model.to(kind)
        codec = build(config.codec)
        path = folder / "codec.safetensors"
        load_strict(codec, read_tensors(path), path)
        packer = None
        if config.packer:
            packer = LearnedPacker(config.packer, config.codec.channels, config.model.dim)
            path = folder / "packer.safetensors"
            load_strict(packer, read_tensors(path), path)
        return cls(config, model, codec, folder, packer)

    def start(self, text: str, context_frames: int = 0, depth: str = "room") -> Start:
        """Real frames to begin from: a shipped start, `seed:N` or an image; see `open_start`."""
        config = self.config
        return open_start(text, self.folder, self.camera, config.motion, context_frames, depth)

    def policy(self, spec: str) -> Policy:
        """The cache policy that a user named, fitted to this world.

        Args:
            spec: `NAME` or `NAME:key=value,...`.

        Raises:
            ConfigError: unknown name or option, or a learned packer that this world lacks.
        """
        policy = find(spec, self.config.block_frames)
        mid = policy.mid
        if not (isinstance(mid, Packed) and mid.packer is None):
            return policy
        if self.packer is None:
            raise ConfigError(
                f"World {self.config.name!r} has no learned packer; say packer=pooled, or train "
                "one with `worldrt train packer`."
            )
        return replace(policy, mid=replace(mid, packer=self.packer))

    def places(self, retrieval: str | None = None, saved: Path | None = None) -> Places:
        """A spatial memory as this world's numbers say.

        Args:
            retrieval: how past frames are found, see `memory.retrieval.find`; None: the world's
                way.
            saved: folder of a memory to go on with, see `atlas.store`; None: an empty one. Of the
                things that moved in it, those seen last are followed on, as many as this world
                follows: none, if it follows none or none were followed when it was saved.

        Raises:
            ConfigError: no such way, or a memory of another camera or of other latents.
            InputError, CorruptFile: the folder holds no memory that can be read.
        """
        config = self.config
        memory = config.memory
        if retrieval is not None:
            memory = msgspec.structs.replace(memory, retrieval=retrieval)
        shape = config.codec.channels, *config.latent_size
        entities = Entities(self.camera, memory.entities) if memory.entities else None
        map = None if saved is None else load_map(saved, self.camera, entities)
        check(
            map is None or map.latent_shape == shape,
            f"{saved} was saved with latents of {map and map.latent_shape}, world {config.name!r} "
            f"has {shape}; load it in the world that it was saved from.",
        )
        return Places(self.camera, memory, shape, map, entities)

    def pack(self, latents: Tensor) -> Tensor:
        """Packed tokens [B, P, E] of a block's clean latents [B, T, C, h, w]."""
        assert self.packer is not None
        return packed_tokens(self.packer, self.codec, self.model, latents)

    @property
    def cache_shape(self) -> CacheShape:
        """What the cache must know of this world."""
        model = self.config.model
        rows, columns = self.config.token_size
        return CacheShape(
            layers=model.num_layers,
            heads=model.num_heads,
            head_dim=model.head_dim,
            rows=rows,
            columns=columns,
            block_frames=self.config.block_frames,
        )

    @property
    def parameters(self) -> int:
        """Numbers in the transformer."""
        return sum(weight.numel() for weight in self.model.parameters())

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the transformer's weights, activations and keys."""
        return next(self.model.parameters()).dtype

    @property
    def dtype_name(self) -> str:
        """Its name in DTYPES."""
        return next(name for name, kind in DTYPES.items() if kind is self.dtype)


def find_dtype(name: str) -> torch.dtype:
    """The dtype of a name in DTYPES, or of `auto`.

    Raises:
        ConfigError: an unknown name.
    """
    if name == "auto":
        # The instructions that torch's matrix products use; torch tells of them nowhere else.
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if fast else torch.float32
    if name not in DTYPES:
        raise ConfigError.unknown("dtype", name, [*DTYPES, "auto"])
    return DTYPES[name]


def shipped() -> Iterator[Path]:
    """Folders of the worlds that came with the package, by name."""
    root = Path(worldrt.__file__).parent / "checkpoints"
    return (path.parent for path in sorted(root.glob(f"*/{MANIFEST}")))


def find_world(name: str) -> Path:
    """The folder of a world.

    Raises:
        ConfigError: neither a shipped world nor a folder with `world.toml`.
    """
    for folder in shipped():
        if folder.name == name:
            return folder
    if (Path(name) / MANIFEST).is_file():
        return Path(name)
    raise ConfigError.unknown("world", name, [folder.name for folder in shipped()])


def _check_conditions(config: WorldConfig) -> None:
    """Raise ConfigError unless the model takes what a session tells it."""
    got = config.model.camera_channels, config.model.spatial_channels
    needed = CAMERA_CHANNELS, spatial_channels(config.codec.channels)
    check(
        got == needed,
        f"Beside a codec of {config.codec.channels} channels a world's model takes {needed[0]} "
        f"camera and {needed[1]} spatial channels, got {got[0]} and {got[1]}; mend world.toml.",
    )
    check(
        config.codec.stride % MASK_SIDE == 0,
        f"The memory's mask needs a stride that is a multiple of {MASK_SIDE}, got "
        f"{config.codec.stride}; mend world.toml.",
    )
