"""`worldrt convert` and `worldrt worlds`; see `worldrt.cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Copy published Wan2.1 weights into one folder: verified, of one type, a LoRA merged.

    Every file is read once, with one tensor in memory at a time, and its SHA-256 is printed.
    """

    place: tyro.conf.Positional[Path]
    """A file (.safetensors, .pt, .pth) or a folder with transformer, codec or text encoder."""
    out: Path
    """The folder to make."""
    lora: Path | None = None
    """Changes to merge into the transformer, in PEFT's or diffusers' names."""
    alpha: float | None = None
    """The LoRA is multiplied by alpha / rank; default: as its files say, else its rank."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Of all weights."""

    def run(self) -> None:
        import sys

        import torch
        from rich.console import Console
        from rich.progress import Progress

        from worldrt.checkpoints.budget import GIB
        from worldrt.published import convert

        types = {"bfloat16": torch.bfloat16, "float32": torch.float32}
        console = Console(stderr=True)
        with Progress(console=console, disable=not sys.stderr.isatty()) as bar:
            job = bar.add_task("converting", total=None)
            made = convert(
                self.place,
                self.out,
                lora=self.lora,
                alpha=self.alpha,
                dtype=types[self.dtype],
                tell=lambda done, total: bar.update(job, completed=done, total=total),
            )
        for origin in made.origins:
            part = f", its {origin.part!r}" if origin.part else ""
            print(f"{origin.sha256}  {origin.file}  ({origin.component}{part})")
        written = sum(path.stat().st_size for path in self.out.rglob("*") if path.is_file())
        print(f"{self.out}: {written / GIB:.2f} GiB of {made.dtype}")


@dataclass(frozen=True, kw_only=True)
class Worlds:
    """List the worlds that are here; or what published weights are, and whether they fit."""

    place: tyro.conf.Positional[Path | None] = None
    """A file or folder with published weights. Default: the shipped worlds."""
    json: bool = False
    """Print one JSON array instead of a table."""

    def run(self) -> None:
        import msgspec
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        if self.place is None:
            from worldrt.doctor import CHECKPOINTS, find_worlds

            found = find_worlds(CHECKPOINTS)
            for column in ("world", "", "MiB", "what it is"):
                table.add_column(column)
            for world in found:
                status = Text("ok", "green") if world.usable else Text("broken", "bold red")
                table.add_row(world.name, status, f"{world.mib}", Text(world.detail))
        else:
            from worldrt.holdings import survey

            found = survey(self.place)
            table.add_column("weights", overflow="fold")
            for column in ("", "on disk", "to load", "what it is"):
                table.add_column(column)
            for one in found:
                status = Text("ok", "green") if one.usable else Text("unusable", "bold red")
                file = Path(one.place)
                within = file.relative_to(self.place) if self.place.is_dir() else file.name
                room = "" if one.fits else ", more than is free"
                told = Text("; ".join(filter(None, (one.what, one.detail, ", ".join(one.types)))))
                table.add_row(
                    Text(str(within)),
                    status,
                    f"{one.disk_gib:.2f} GiB",
                    f"{one.needs_gib:.2f} GiB{room}",
                    told,
                )
        if self.json:
            print(msgspec.json.encode(found).decode())
        else:
            Console(highlight=False).print(table)
