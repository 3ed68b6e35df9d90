"""Points and meshes as PLY, the format that every viewer of point clouds opens."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ShapeError

TYPES = {"u1": "uchar", "i4": "int", "f4": "float", "f8": "double"}
"""Types of numpy that a column may have, and their names in a header: those that Open3D reads."""
FACE = np.dtype([("corners", "u1"), ("vertices", "<i4", 3)])


def encode(
    columns: Mapping[str, NDArray[np.generic]], triangles: NDArray[np.int32] | None = None
) -> bytes:
    """Points, or a mesh, as the bytes of a binary little-endian PLY file.

    Args:
        columns: [P] each, of a type in TYPES, by the names that viewers know: x, y, z, red, green,
            blue, nx, ny, nz; any other is kept as a scalar of the point.
        triangles: [N, 3] rows of the columns, anticlockwise seen from outside; None: points alone.

    Raises:
        ShapeError: the columns are not of one length, or the triangles not [N, 3].

    Source: Turk, The PLY polygon file format, 1994.
    """
    count = len(next(iter(columns.values())))
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    for name, column in columns.items():
        if column.shape != (count,):
            raise ShapeError(name, column.shape, f"[{count}]")
        lines.append(f"property {TYPES[column.dtype.str[1:]]} {name}")
    rows = np.empty(count, [(name, f"<{each.dtype.str[1:]}") for name, each in columns.items()])
    for name, column in columns.items():
        rows[name] = column
    faces = b""
    if triangles is not None:
        if triangles.shape[1:] != (3,):
            raise ShapeError("triangles", triangles.shape, "[N, 3]")
        lines += [f"element face {len(triangles)}", "property list uchar int vertex_indices"]
        table = np.empty(len(triangles), FACE)
        table["corners"], table["vertices"] = 3, triangles
        faces = table.tobytes()
    header = "\n".join([*lines, "end_header\n"])
    return header.encode("ascii") + rows.tobytes() + faces
