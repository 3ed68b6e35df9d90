"""Wan2.1's video codec through diffusers, as two streams whose state lives between chunks.

The first latent frame is one frame of video and each later one is four. A video that is restored or
encoded in chunks is the one that is made at once, bit for bit: every latent frame runs alone,
against the last frames that each convolution has seen.
"""

import importlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from worldrt.checkpoints.families import WanCodecConfig, identify
from worldrt.checkpoints.loading import load
from worldrt.checkpoints.source import Source
from worldrt.errors import BackendUnavailable, InputError, ShapeError

STRIDE = 8
"""Pixels a latent row or column."""
RATE = 4
"""Frames of video that a latent frame stands for, but for the first, which stands for one."""


def frames_of(latents: int) -> int:
    """Frames of video of so many latent frames from the beginning: 1 + 4 (n - 1)."""
    return 1 + RATE * (latents - 1) if latents else 0


class WanCodec:
    """The autoencoder of Wan2.1, its weights loaded.

    Args:
        source: `Wan2.1_VAE.pth`, or the folder `vae` of diffusers.
        dtype: of its weights. The published pipelines run it in bfloat16 or float32.
        device: where it runs.

    Raises:
        BackendUnavailable: diffusers is not installed.
        InputError: the source is another component.
        CheckpointError: the weights are damaged or do not fit into memory.
    """

    def __init__(
        self, source: Source, *, dtype: torch.dtype = torch.bfloat16, device: str = "cpu"
    ) -> None:
        card = identify(source)
        if not isinstance(card.config, WanCodecConfig):
            raise InputError(
                f"{source.place} is a {card.component} of {len(source.entries)} tensors; name the "
                "codec, Wan2.1_VAE.pth."
            )
        self.config, self.dtype, self.device = card.config, dtype, torch.device(device)
        self.model = blank_codec(card.config)
        load(self.model, source, card.keymap, dtype=dtype, device=device)
        self.model.eval().requires_grad_(False)
        told = self.model.config  # float32, whatever the weights are: latents are that exact
        self.mean = torch.tensor(told.latents_mean, device=device).view(1, -1, 1, 1, 1)
        self.std = torch.tensor(told.latents_std, device=device).view(1, -1, 1, 1, 1)

    def decode(self, latents: Tensor) -> Tensor:
        """Video [B, F, 3, Y, X] of all latents [B, T, C, h, w]; see `DecodeStream.push`."""
        return DecodeStream(self).push(latents)

    def encode(self, video: Tensor) -> Tensor:
        """Latents [B, T, C, h, w] of a whole video [B, F, 3, Y, X]; see `EncodeStream.push`.

        Raises:
            ShapeError: F is not 1 + 4 n, or as `push` does.
        """
        stream = EncodeStream(self)
        latents = stream.push(video)
        if stream.waiting:
            raise ShapeError("video", video.shape, f"[B, 1 + {RATE} n, 3, Y, X]")
        return latents


def blank_codec(config: WanCodecConfig) -> Any:
    """The codec of diffusers without memory, on the meta device.

    Raises:
        BackendUnavailable: diffusers is not installed.
    """
    with torch.device("meta"):
        return _diffusers().AutoencoderKLWan(base_dim=config.dim, z_dim=config.channels)


class DecodeStream:
    """Latents to video, chunk after chunk.

    Args:
        codec: shared by any number of streams.
    """

    def __init__(self, codec: WanCodec) -> None:
        self._codec = codec
        self._seen = _blank(codec.model.decoder)
        self._first = True

    @torch.inference_mode()
    def push(self, latents: Tensor) -> Tensor:
        """The next latents.

        Args:
            latents: [B, T, C, h, w], normalised as the transformer has them.

        Returns:
            float32 [B, F, 3, Y, X], -1 to 1: four frames a latent frame, one for the very first.

        Raises:
            ShapeError: no latents of this codec.
        """
        codec = self._codec
        channels = codec.config.channels
        if latents.ndim != 5 or latents.shape[2] != channels or not latents.shape[1]:
            raise ShapeError("latents", latents.shape, f"[B, T, {channels}, h, w]")
        # [B, C, T, h, w]
        scaled = latents.to(codec.device).transpose(1, 2).float() * codec.std + codec.mean
        video = []
        for frame in scaled.to(codec.dtype).split(1, dim=2):
            inner = codec.model.post_quant_conv(frame)
            video.append(
                codec.model.decoder(
                    inner, feat_cache=self._seen, feat_idx=[0], first_chunk=self._first
                )
            )
            self._first = False
        return torch.cat(video, dim=2).float().clamp(-1, 1).transpose(1, 2)

    @property
    def bytes(self) -> int:
        """Bytes of what is kept between chunks: constant from the third latent frame on."""
        return _held(self._seen)


class EncodeStream:
    """Video to latents, chunk after chunk.

    Args:
        codec: shared by any number of streams.
    """

    def __init__(self, codec: WanCodec) -> None:
        self._codec = codec
        self._seen = _blank(codec.model.encoder)
        self._first = True
        self._rest: Tensor | None = None

    @property
    def waiting(self) -> int:
        """Frames that wait for others before they make a latent frame, 0 to 3."""
        return 0 if self._rest is None else self._rest.shape[1]

    @torch.inference_mode()
    def push(self, video: Tensor) -> Tensor:
        """The next frames.

        Args:
            video: [B, F, 3, Y, X], -1 to 1, Y and X multiples of 8; any number of frames.

        Returns:
            float32 [B, T, C, h, w], normalised as the transformer has them: the mean of the
            posterior. The very first frame makes a latent frame, then every four do; the rest
            waits.

        Raises:
            ShapeError: no video, or one of a size that can't be encoded.
        """
        codec = self._codec
        if video.ndim != 5 or video.shape[2] != 3:
            raise ShapeError("video", video.shape, "[B, F, 3, Y, X]")
        if video.shape[3] % STRIDE or video.shape[4] % STRIDE:
            expected = f"Y and X that are multiples of {STRIDE}"
            raise ShapeError("video", video.shape, expected)
        if self._rest is not None:
            video = torch.cat([self._rest, video], dim=1)
        groups, self._rest = self._cut(video)
        found = [
            codec.model.quant_conv(
                codec.model.encoder(
                    group.to(codec.device, codec.dtype).transpose(1, 2),
                    feat_cache=self._seen,
                    feat_idx=[0],
                )
            )
            for group in groups
        ]
        batch, _, _, rows, columns = video.shape
        size = (batch, 0, codec.config.channels, rows // STRIDE, columns // STRIDE)
        if not found:
            return torch.zeros(size, device=codec.device)
        mean, _ = torch.cat(found, dim=2).float().chunk(2, dim=1)
        return ((mean - codec.mean) / codec.std).transpose(1, 2)

    def _cut(self, video: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Frames that make latent frames, and those left over."""
        groups = []
        if self._first and video.shape[1]:
            groups.append(video[:, :1])
            video, self._first = video[:, 1:], False
        whole = video.shape[1] // RATE * RATE
        groups.extend(video[:, :whole].split(RATE, dim=1) if whole else ())
        left = video[:, whole:]
        return groups, left.clone() if left.shape[1] else None


def _blank(module: torch.nn.Module) -> list[Any]:
    """What the convolutions of a module have seen before the first frame: nothing."""
    return [None] * sum(1 for _ in _causal(module))


def _causal(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    kind = _diffusers().models.autoencoders.autoencoder_kl_wan.WanCausalConv3d
    return (inner for inner in module.modules() if isinstance(inner, kind))


def _held(seen: list[Any]) -> int:
    return sum(one.nbytes for one in seen if isinstance(one, Tensor))


def _diffusers() -> Any:
    try:
        return importlib.import_module("diffusers")
    except ImportError as error:
        raise BackendUnavailable(
            "diffusers", "install it with: pip install 'worldrt[wan]'"
        ) from error
