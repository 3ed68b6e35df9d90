"""Ground-truth mazes in the Doom engine: layout, map files, exact poses, analytic depth."""
