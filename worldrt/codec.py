"""The small world's autoencoders: an RGB-D image to latents and back.

An RGB-D image is float32 [F, 4, Y, X]: RGB in [-1, 1] and the inverse depth
d = 2 min(1, near/z) - 1, so that -1 is infinitely far and 1 is `near` metres or less. Inverse depth
is linear across a plane, which a linear codec keeps straight, and is precise where a camera walks.

Frames do not know of each other: a video restored at once, in blocks or frame by frame is the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from worldrt.config import CodecConfig, check
from worldrt.errors import InputError, ShapeError

CHANNELS = 4
"""Channels of an RGB-D image."""
HORIZON = 1000.0
"""Multiple of `near` beyond which depth is not told apart."""
DEPTH_WEIGHT = 2.0
"""Worth of an error in the inverse depth against one in a colour, when patches are fitted.

Measured on mazes at 64 channels: 0.15 dB of colour for a mean depth error of 1.3 instead of 4.5 %.
"""
WHITENING = 0.6
"""Exponent of the components' scale: 0 keeps the latents' variances, 1 makes them all one."""
GRAIN = 4
"""Pixels a side of the refiner's and the learned codec's finest maps."""


def pack(rgb: NDArray[np.uint8], depth: NDArray[np.floating], near: float) -> Tensor:
    """Frames and their depth as RGB-D images.

    Args:
        rgb: [F, Y, X, 3], 0 to 255.
        depth: [F, Y, X] metres along z; unknown (0, negative, non-finite) becomes the horizon.
        near: metres at which the inverse depth saturates.

    Returns:
        float32 [F, 4, Y, X], -1 to 1.

    Raises:
        ShapeError: rgb is not [F, Y, X, 3] or depth not [F, Y, X].
    """
    if rgb.ndim != 4 or rgb.shape[-1] != 3:
        raise ShapeError("rgb", rgb.shape, "[F, Y, X, 3]")
    if depth.shape != rgb.shape[:3]:
        raise ShapeError("depth", depth.shape, f"{list(rgb.shape[:3])} as rgb has")
    image = np.empty((len(rgb), CHANNELS, *rgb.shape[1:3]), np.float32)
    np.multiply(rearrange(rgb, "F Y X c -> F c Y X"), np.float32(2 / 255), out=image[:, :3])
    known = np.isfinite(depth) & (depth > 0)
    # Depth is half precision on disk: a quotient in its own type would lose the far field.
    distance = np.maximum(depth.astype(np.float32, copy=False), near)
    np.divide(2 * near, distance, out=image[:, 3], where=known)
    image[:, 3][~known] = 0
    return torch.from_numpy(image).sub_(1)


def unpack(image: Tensor, near: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """RGB-D images as frames and depth: the inverse of `pack`, values outside [-1, 1] clipped.

    Args:
        image: [F, 4, Y, X].
        near: metres at which the inverse depth saturates.

    Returns:
        rgb: uint8 [F, Y, X, 3].
        depth: float32 [F, Y, X] metres along z, near to 1000 near.

    Raises:
        ShapeError: image is not [F, 4, Y, X].
    """
    if image.ndim != 4 or image.shape[1] != CHANNELS:
        raise ShapeError("image", image.shape, "[F, 4, Y, X]")
    bytes_ = image[:, :3].add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    inverse = image[:, 3].float().add(1).mul(0.5).clamp(1 / HORIZON, 1)
    rgb = rearrange(bytes_, "F c Y X -> F Y X c").contiguous()
    return rgb.cpu().numpy(), (near / inverse).cpu().numpy()


class Codec(nn.Module, ABC):
    """An autoencoder of RGB-D images that keeps what is remembered of them."""

    component_scale: Tensor
    """[C] relative size in the image of one unit of each latent channel: a weight for losses."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.channels = config.channels
        self.stride = config.stride
        self.register_buffer("component_scale", torch.ones(config.channels))
        self.refiner = Refiner(config.refiner_width) if config.refiner_width else None

    @abstractmethod
    def encode(self, image: Tensor) -> Tensor:
        """Latents [F, C, h, w] of RGB-D images [F, 4, Y, X]; ShapeError off the stride."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """RGB-D images [F, 4, Y, X] of latents [F, C, h, w]; ShapeError for another C."""

    def restore(self, latents: Tensor, splat: Tensor, mask: Tensor) -> Tensor:
        """Decode what is new, keep what is remembered, and refine where the two meet.

        In evaluation mode any split of the frames gives the same bits.

        Args:
            latents: [F, C, h, w].
            splat: [F, 4, Y, X] the memory seen from these poses, its holes filled.
            mask: [F, 1, Y, X] where the splat is memory, 0 to 1.

        Returns:
            [F, 4, Y, X].

        Raises:
            ShapeError: the three don't belong together.
        """
        self._check_latents(latents)
        frames, _, rows, columns = latents.shape
        size = (rows * self.stride, columns * self.stride)
        for what, tensor, channels in (("splat", splat, CHANNELS), ("mask", mask, 1)):
            if tensor.shape != (frames, channels, *size):
                raise ShapeError(what, tensor.shape, f"{[frames, channels, *size]} as the latents")
        if self.training:
            return self._restore(latents, splat, mask)
        # One by one: the library's kernels for a batch round otherwise than those for a frame.
        each = zip(latents.split(1), splat.split(1), mask.split(1), strict=True)
        return torch.cat([self._restore(*frame) for frame in each])

    def _restore(self, latents: Tensor, splat: Tensor, mask: Tensor) -> Tensor:
        decoded = self.decode(latents)
        composed = torch.lerp(decoded, splat, mask)
        if self.refiner is None:
            return composed
        return self.refiner(composed, mask * (splat - decoded), mask)

    def _check_image(self, image: Tensor) -> None:
        fits = image.ndim == 4 and image.shape[1] == CHANNELS
        if not fits or image.shape[2] % self.stride or image.shape[3] % self.stride:
            expected = f"[F, 4, Y, X] with Y and X multiples of {self.stride}"
            raise ShapeError("image", image.shape, expected)

    def _check_latents(self, latents: Tensor) -> None:
        if latents.ndim != 4 or latents.shape[1] != self.channels:
            raise ShapeError("latents", latents.shape, f"[F, {self.channels}, h, w]")


class PatchCodec(Codec):
    """Principal components of square patches: linear, in closed form, fitted in seconds.

    A latent is c_k = v_k . W (p - mean) / (rms s_k) with s_k = (sigma_k / rms)^0.6, where W weights
    the depth, v_k and sigma_k are direction and deviation of component k, and rms is the quadratic
    mean of the deviations. Channels of nearly even variance suit a denoiser; weighting its squared
    error by s_k^2 makes it an error in the weighted image.

    Until `fit` or `load_state_dict` every result is NaN.

    Source: Bishop, Pattern Recognition and Machine Learning, section 12.1.
    """

    mean: Tensor
    """[P] the mean patch, P = 4 stride^2."""
    analysis: Tensor
    """[P, C] from a patch to its latent, the strongest component first."""
    synthesis: Tensor
    """[C, P] from a latent to its patch."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__(config)
        pixels = CHANNELS * config.stride**2
        check(
            config.channels <= pixels,
            f"A patch of {config.stride}x{config.stride} pixels has {pixels} components, "
            f"{config.channels} channels were asked for.",
        )
        self.register_buffer("mean", torch.full((pixels,), torch.nan))
        self.register_buffer("analysis", torch.full((pixels, config.channels), torch.nan))
        self.register_buffer("synthesis", torch.full((config.channels, pixels), torch.nan))

    def fit(self, images: Iterable[Tensor]) -> None:
        """Take mean and components from images, read once.

        Args:
            images: RGB-D images [F, 4, Y, X], any number at a time.

        Raises:
            InputError: the images hold fewer patches than components, or do not vary enough.
            ShapeError: an image doesn't fit the stride.
        """
        pixels = len(self.mean)
        count, total = 0, torch.zeros(pixels, dtype=torch.float64)
        square = torch.zeros(pixels, pixels, dtype=torch.float64)
        for image in images:
            self._check_image(image)
            patches = self._patches(image.detach().cpu()).reshape(-1, pixels).double()
            count += len(patches)
            total += patches.sum(0)
            square += patches.T @ patches
        if count <= self.channels:
            raise InputError(
                f"{count} patches can't give {self.channels} components; "
                f"fit the codec on more than {self.channels}."
            )
        mean = total / count
        weight = torch.ones(pixels, dtype=torch.float64)
        weight[-(self.stride**2) :] = DEPTH_WEIGHT
        covariance = square / count - torch.outer(mean, mean)
        variances, vectors = torch.linalg.eigh(covariance * torch.outer(weight, weight))
        variances = variances.flip(0)[: self.channels]
        varied = int((variances > 1e-12 * variances[0]).sum())
        if varied < self.channels:
            raise InputError(
                f"The images vary in {varied} components only, {self.channels} channels were asked "
                "for; fit on other images or ask for fewer."
            )
        basis = vectors.flip(1)[:, : self.channels]
        # An eigenvector's sign is free: fix it, or two machines would disagree about the latents.
        basis = basis * basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()
        rms = variances.mean().sqrt()
        scale = (variances.sqrt() / rms) ** WHITENING
        self.mean.copy_(mean)
        self.analysis.copy_(weight[:, None] * basis / (rms * scale))
        self.synthesis.copy_((rms * scale)[:, None] * basis.T / weight)
        self.component_scale.copy_(scale)

    def encode(self, image: Tensor) -> Tensor:
        self._check_image(image)
        latents = (self._patches(image) - self.mean) @ self.analysis
        return rearrange(latents, "F h w C -> F C h w").contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        self._check_latents(latents)
        patches = rearrange(latents, "F C h w -> F h w C") @ self.synthesis + self.mean
        return rearrange(
            patches, "F h w (c y x) -> F c (h y) (w x)", y=self.stride, x=self.stride
        ).contiguous()

    def _patches(self, image: Tensor) -> Tensor:
        return rearrange(
            image, "F c (h y) (w x) -> F h w (c y x)", y=self.stride, x=self.stride
        )  # [F, h, w, P]


class ConvCodec(Codec):
    """A learned autoencoder of stride 8, whose latents a running norm keeps at unit variance.

    Source: the stem is Shi et al. 2016, Real-Time Single Image Super-Resolution, section 3.2.
    """

    WIDTH = 96
    """Channels at the latent's resolution; half as many at twice that."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__(config)
        check(
            config.stride == 8, f"The conv codec has a stride of 8, {config.stride} was asked for."
        )
        wide, fine = self.WIDTH, self.WIDTH // 2
        self.encoder = nn.Sequential(
            nn.Conv2d(CHANNELS, fine, 2 * GRAIN, stride=GRAIN, padding=GRAIN // 2),
            nn.SiLU(),
            nn.Conv2d(fine, wide, 4, stride=2, padding=1),
            ResidualBlock(wide),
            nn.SiLU(),
            nn.Conv2d(wide, config.channels, 3, padding=1),
            # Without it the encoder would outgrow the noise that training adds to the latents.
            nn.BatchNorm2d(config.channels, affine=False),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(config.channels, wide, 3, padding=1),
            ResidualBlock(wide),
            nn.SiLU(),
            nn.Conv2d(wide, 4 * fine, 1),
            nn.PixelShuffle(2),
            ResidualBlock(fine),
            nn.SiLU(),
            nn.Conv2d(fine, CHANNELS * GRAIN**2, 3, padding=1),
            nn.PixelShuffle(GRAIN),
        )

    def encode(self, image: Tensor) -> Tensor:
        self._check_image(image)
        return self.encoder(image)

    def decode(self, latents: Tensor) -> Tensor:
        self._check_latents(latents)
        return self.decoder(latents)


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))), 3x3, one width.

    Source: He et al. 2016, Identity Mappings in Deep Residual Networks.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(functional.silu(self.inner(functional.silu(x))))


class Refiner(nn.Module):
    """A small network that smooths block edges and settles decoded against remembered.

    It works on cells of 4x4 pixels: the first layer reads a cell with half of each neighbour, the
    last writes all pixels of a cell. That is a sixteenth of the work of the same layers on pixels.
    Untrained, it returns the composed image as it is.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Conv2d(2 * CHANNELS + 1, width, 2 * GRAIN, stride=GRAIN, padding=GRAIN // 2)
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.write = nn.Conv2d(width, CHANNELS * GRAIN**2, 3, padding=1)
        nn.init.zeros_(self.write.weight)
        assert self.write.bias is not None
        nn.init.zeros_(self.write.bias)

    def forward(self, composed: Tensor, difference: Tensor, mask: Tensor) -> Tensor:
        """The composed image with a learned residual.

        Args:
            composed: [F, 4, Y, X] decoded latents, replaced by what is remembered.
            difference: [F, 4, Y, X] splat less decoded latents, 0 where nothing is remembered.
            mask: [F, 1, Y, X] where the splat is memory, 0 to 1.
        """
        x = functional.silu(self.read(torch.cat([composed, difference, mask], dim=1)))
        x = functional.silu(self.inner(x))
        return composed + functional.pixel_shuffle(self.write(x), GRAIN)


def build(config: CodecConfig) -> Codec:
    """The codec that a world's configuration names, in evaluation mode, its weights not yet loaded.

    Args:
        config: kind, channels, stride and refiner of the codec.

    Raises:
        ConfigError: stride and channels don't fit this kind.
    """
    check(
        config.refiner_width == 0 or config.stride % GRAIN == 0,
        f"The refiner needs a stride that is a multiple of {GRAIN}, got {config.stride}.",
    )
    kinds = {"patch": PatchCodec, "conv": ConvCodec}
    return kinds[config.kind](config).eval()
