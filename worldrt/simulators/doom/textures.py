"""The closed set of Freedoom textures that mazes are dressed in.

A small set makes the look of unseen rooms learnable; drawing from it anew for every maze keeps
layouts from being memorised. All walls are opaque, 128 units high and 64 or 128 wide, bold at
128x96 pixels, without text, one-pixel grids or animation.
"""

WALLS = (
    "ZZWOLF11",  # red brick
    "STWALL",  # large orange blocks
    "ZZWOLF1",  # white cobble
    "ZZWOLF5",  # warm planks
    "GSTLION",  # mossy blocks with lion heads
    "BSTONE3",  # field stones with lamps
    "PANRED",  # panels with red banners
    "PANBLUE",  # panels with blue banners
    "MODWALL4",  # pale wall with dark windows
    "A-TILE",  # green herringbone
    "GRAYTAN0",  # concrete above a brown base
    "CARLLF1",  # sandstone
)
PILLARS = ("MARBLE1", "SILVER1", "AQBRIK02", "REDWALL")
FLOORS = ("FLAT5_1", "FLOOR5_3", "AQF048", "MFLR8_3")
CEILINGS = ("TLITE6_1", "CEIL3_4", "FLAT2", "CEIL3_1")
