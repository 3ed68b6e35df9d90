"""`worldrt serve` and `worldrt play`: a world on a port, for others or for oneself."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from worldrt.server.house import Serving


LOGS = Path("out/sessions")
"""Folder of the action logs."""
NEVER_S = 365 * 86400.0
"""Seconds that one's own session may last."""
SWITCH_S = 0.001
"""Seconds that a thread keeps the interpreter: the loop must get its turn while the model thinks in
Python."""


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serve a world: the viewer's page, its WebSocket, /metrics and /healthz on one port.

    Ctrl-C says farewell to all and ends.
    """

    world: tyro.conf.Positional[str] = "maze"
    """A shipped world, or a folder with world.toml and its weights."""
    start: str = ""
    """What is offered first: a start shipped with it, seed:N, or a picture. Default: its first."""
    host: str = "127.0.0.1"
    """Address to listen at; one that others reach needs --token or --insecure."""
    port: int = 8765
    """0: any that is free."""
    sessions: int = 1
    """Walks at once; who comes later queues."""
    token: str = ""
    """What clients must know; the page takes it from #token=SECRET behind its address."""
    insecure: bool = False
    """Let in whoever comes, from other machines too."""
    origin: tuple[str, ...] = ()
    """Pages elsewhere that may connect, such as https://example.org."""
    context_frames: int = 48
    """Real frames, 0 to 96, that a walk remembers from its beginning: a look around."""
    through_walls: bool = False
    """Let keys lead through walls that have been seen."""
    idle_s: float = 600.0
    """Seconds without a key after which a session ends."""
    lifetime_s: float = 7200.0
    """Seconds after which a session ends in any case."""
    dtype: str = "auto"
    """What the transformer is computed in: fp32, bf16, or auto, which is bf16 where this machine
    multiplies it faster."""
    logs: Path = LOGS
    """Folder of the action logs, for `worldrt replay`."""

    def run(self) -> None:
        import logging

        from worldrt.server.house import Serving

        logging.basicConfig(format="%(asctime)s %(message)s")
        logging.getLogger("worldrt").setLevel(logging.INFO)
        serving = Serving(
            world=self.world,
            start=self.start,
            host=self.host,
            port=self.port,
            places=self.sessions,
            token=self.token,
            insecure=self.insecure,
            origins=self.origin,
            context_frames=self.context_frames,
            through_walls=self.through_walls,
            idle_s=self.idle_s,
            lifetime_s=self.lifetime_s,
            dtype=self.dtype,
            logs=self.logs,
        )
        asked = " (clients are asked for the token)" if self.token else ""
        _serve(serving, lambda url: print(f"Serving {self.world} at {url}{asked}", flush=True))


@dataclass(frozen=True, kw_only=True)
class Play:
    """Walk in a world: serves it to this machine alone and opens the browser.

    Ctrl-C ends it.
    """

    world: tyro.conf.Positional[str] = "maze"
    """A shipped world, or a folder with world.toml and its weights."""
    start: str = ""
    """What the walk begins from: a start shipped with it, seed:N, or a picture."""
    seed: int = 0
    """Of the noise."""
    no_browser: bool = False
    """Only print the address."""

    def run(self) -> None:
        import webbrowser
        from threading import Thread

        # The port is there before the engine is imported: a browser that is quicker than that
        # waits a moment at the door, and both get ready at once.
        with socket.create_server(("127.0.0.1", 0)) as door:
            page = f"http://127.0.0.1:{door.getsockname()[1]}/"
            page += f"#seed={self.seed}" if self.seed else ""
            print(f"Walk at {page} (Ctrl-C ends)", flush=True)
            if not self.no_browser:
                Thread(target=webbrowser.open, args=(page,), daemon=True).start()

            from worldrt.server.house import Serving

            serving = Serving(
                world=self.world,
                start=self.start,
                seed=self.seed,
                logs=LOGS,
                idle_s=NEVER_S,
                lifetime_s=NEVER_S,
            )
            _serve(serving, lambda url: None, door)


def _serve(
    serving: "Serving", listening: Callable[[str], None], door: socket.socket | None = None
) -> None:
    import asyncio
    import sys

    from worldrt.server.app import run

    sys.setswitchinterval(SWITCH_S)
    asyncio.run(run(serving, listening, door))
