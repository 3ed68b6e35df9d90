"""`worldrt world`: its subcommands; see `worldrt.cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class WorldInfo:
    """Show what a saved spatial memory holds."""

    folder: tyro.conf.Positional[Path]
    """That it was saved to."""
    png: Path | None = None
    """Draw it from above into this picture, .png or .jpg."""
    json: bool = False
    """Print one JSON object instead of a table."""

    def run(self) -> None:
        import msgspec
        from rich.console import Console
        from rich.table import Table

        from worldrt.atlas.store import load
        from worldrt.atlas.survey import floor_plan, survey
        from worldrt.video import write_image

        memory = load(self.folder)
        found = survey(self.folder, memory)
        if self.png:
            write_image(self.png, floor_plan(memory))
        if self.json:
            print(msgspec.json.encode(found).decode())
            return
        size = ", ".join(f"{b - a:.1f}" for a, b in zip(found.low, found.high, strict=True))
        span = f", of frames {found.frames[0]} to {found.frames[1]}" if found.frames else ""
        kept, budget = found.disk_bytes / 1e6, found.budget_bytes / 1e6
        rows = {
            "points": f"{found.points:,}, {found.imagined:,} of them imagined",
            "keyframes": f"{found.keyframes}{span}",
            "extent": f"{size} m (x, y, z), from {', '.join(f'{x:.1f}' for x in found.low)}",
            "size": f"{kept:.1f} MB on disk, a budget of {budget:.0f} MB",
            "format": f"{found.version}, with {found.deltas} files of changes",
            "damaged": ", ".join(found.damaged) or "nothing",
        }
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, text in rows.items():
            table.add_row(f"[dim]{name}[/]", text)
        Console(highlight=False).print(table)


@dataclass(frozen=True, kw_only=True)
class WorldExport:
    """Make a mesh of a saved spatial memory (needs Open3D)."""

    folder: tyro.conf.Positional[Path]
    """That it was saved to."""
    mesh: Path
    """The mesh, a .ply file in a folder that exists."""
    voxel: float = 0.05
    """Metres of the finest detail."""

    def run(self) -> None:
        from worldrt.atlas.mesh import fuse
        from worldrt.atlas.store import load
        from worldrt.checkpoints.files import write_bytes
        from worldrt.config import check
        from worldrt.errors import OutputError

        suffix = self.mesh.suffix
        check(suffix == ".ply", f"A mesh is written as .ply, not {suffix!r}; say --mesh out.ply.")
        if not self.mesh.parent.is_dir():
            raise OutputError(f"The folder {self.mesh.parent} does not exist; make it first.")
        found = fuse(load(self.folder), self.voxel)
        write_bytes(self.mesh, found.ply())
        print(
            f"{self.mesh}: {len(found.vertices):,} vertices, {len(found.triangles):,} triangles of "
            f"{self.voxel:g} m"
        )


@dataclass(frozen=True, kw_only=True)
class World:
    """Look into a saved spatial memory, or take it elsewhere."""

    part: (
        Annotated[WorldInfo, tyro.conf.subcommand("info")]
        | Annotated[WorldExport, tyro.conf.subcommand("export")]
    )
    """What to do."""

    def run(self) -> None:
        self.part.run()
