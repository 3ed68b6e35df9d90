"""worldrt: walk through a world that an autoregressive block-diffusion video generator dreams."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldrt.world import World

__version__ = "0.1.0"


def load(name: str) -> "World":
    """Load a world by name or folder; see `worldrt.world.World.load`.

    The import waits until here, so that `import worldrt` costs nothing.
    """
    from worldrt.world import World

    return World.load(name)
