from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from worldrt import config
from worldrt.config import (
    CameraConfig,
    Cells,
    CodecConfig,
    Config,
    MemoryConfig,
    ModelConfig,
    MotionConfig,
    PackerConfig,
    SamplerConfig,
    WorldConfig,
    dump,
    load,
)
from worldrt.errors import ConfigError, CorruptFile, InputError

CAMERA = CameraConfig(width=48, height=32, fx=24, fy=28.8)
MOTION = MotionConfig(move_step=0.25, turn_step=5, pitch_limit=30)
MODEL = ModelConfig(dim=24, num_heads=2, num_layers=3, ffn_dim=40, in_channels=5)
CODEC = CodecConfig(channels=5)
CELLS = Cells(time=1, rows=2, columns=3)
PACKER = PackerConfig(width=8, cells=CELLS)
SAMPLER = SamplerConfig(sigmas=(1.0, 0.75, 0.1), prediction="flow")
WORLD = WorldConfig(
    name="meadow",
    summary='Grass, "green" grass.',
    fps=12.5,
    block_frames=4,
    policy="pack:mid=8,recent=4",
    camera=CAMERA,
    motion=MOTION,
    model=MODEL,
    codec=CODEC,
    sampler=SAMPLER,
    packer=PACKER,
)
EXAMPLES = [
    *(CAMERA, MOTION, MODEL, CODEC, SAMPLER, MemoryConfig(budget_mb=9.0), CELLS, PACKER, WORLD),
    msgspec.structs.replace(WORLD, packer=None),
]


def written(folder: Path, fields: dict[str, Any] | str) -> Path:
    path = folder / "world.toml"
    path.write_text(fields if isinstance(fields, str) else tomli_w.dumps(fields))
    return path


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_round_trip(example: Config, tmp_path: Path) -> None:
    assert load(written(tmp_path, dump(example)), type(example)) == example


def test_every_config_is_among_the_examples() -> None:
    kinds = {
        kind
        for kind in vars(config).values()
        if isinstance(kind, type) and issubclass(kind, Config) and kind is not Config
    }
    assert {type(example) for example in EXAMPLES} == kinds


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_configs_are_immutable_and_hold_nothing_mutable(example: Config) -> None:
    field = example.__struct_fields__[0]
    with pytest.raises(AttributeError):
        setattr(example, field, 1)
    hash(example)


@given(
    st.builds(
        MotionConfig,
        move_step=st.floats(1e-6, 1e6),
        turn_step=st.floats(1e-6, 360),
        pitch_limit=st.floats(0, 90, exclude_max=True),
    )
)
def test_floats_survive_the_round_trip_to_the_bit(motion: MotionConfig) -> None:
    assert msgspec.toml.decode(dump(motion), type=MotionConfig) == motion


def test_what_a_file_leaves_out_is_the_default(tmp_path: Path) -> None:
    fields = msgspec.to_builtins(WORLD)
    del fields["memory"], fields["model"]["eps"], fields["codec"]["kind"]
    assert load(written(tmp_path, fields), WorldConfig) == WORLD


@pytest.mark.parametrize(
    "change, message",
    [
        ({"nmae": "x"}, "Object contains unknown field `nmae`."),
        (
            {"model": {"dimension": 3}},
            "Object contains unknown field `dimension` - at `$.model`.",
        ),
        ({"fps": "fast"}, "Expected `float`, got `str` - at `$.fps`."),
        ({"block_frames": 2.5}, "Expected `int`, got `float` - at `$.block_frames`."),
        ({"camera": None}, "Object missing required field `camera`."),
        ({"codec": {"kind": "zip"}}, "Invalid enum value 'zip' - at `$.codec.kind`."),
    ],
)
def test_a_bad_field_is_a_sentence_with_the_file(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    fields = msgspec.to_builtins(WORLD)
    for key, value in change.items():
        if value is None:
            del fields[key]
        else:
            fields[key] = fields[key] | value if isinstance(value, dict) else value
    path = written(tmp_path, fields)
    with pytest.raises(ConfigError) as error:
        load(path, WorldConfig)
    assert str(error.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"block_frames": 0}, "block_frames and fps must be positive."),
        ({"fps": 0}, "block_frames and fps must be positive."),
        ({"codec": {"channels": 4}}, "The codec has 4 channels, the model takes 5."),
    ],
)
def test_numbers_that_do_not_fit_are_refused_in_a_file_too(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load(written(tmp_path, msgspec.to_builtins(WORLD) | change), WorldConfig)
    assert str(error.value).endswith(sentence)


@pytest.mark.parametrize(
    "kind, fields, sentence",
    [
        (
            CameraConfig,
            {"width": 48, "height": 0, "fx": 24.0, "fy": 28.8},
            "A camera needs positive numbers, got 48x0 with focal lengths 24.0 and 28.8.",
        ),
        (
            CameraConfig,
            {"width": 48, "height": 32, "fx": -1.0, "fy": 28.8},
            "A camera needs positive numbers, got 48x32 with focal lengths -1.0 and 28.8.",
        ),
        (
            MotionConfig,
            {"move_step": 0.0, "turn_step": 5.0},
            "Motion needs positive steps and a pitch limit in [0, 90), got 0.0 m, 5.0 and 0.0 "
            "degrees.",
        ),
        (
            MotionConfig,
            {"move_step": 0.2, "turn_step": 5.0, "pitch_limit": 90.0},
            "Motion needs positive steps and a pitch limit in [0, 90), got 0.2 m, 5.0 and 90.0 "
            "degrees.",
        ),
        (
            ModelConfig,
            {"dim": 27, "num_heads": 3, "num_layers": 1, "ffn_dim": 8, "in_channels": 1},
            "dim 27 must be an even multiple of num_heads 3.",
        ),
        (
            ModelConfig,
            {"dim": 8, "num_heads": 2, "num_layers": 1, "ffn_dim": 8, "in_channels": 1},
            "A head of 4 channels has no room for three rotary axes; 6 are needed.",
        ),
        (
            ModelConfig,
            {
                "dim": 12,
                "num_heads": 2,
                "num_layers": 1,
                "ffn_dim": 8,
                "in_channels": 1,
                "freq_dim": 7,
            },
            "freq_dim 7 must be even.",
        ),
        (
            Cells,
            {"time": 1, "rows": 0, "columns": 3},
            "A packed block needs cells, got 1 x 0 x 3.",
        ),
        (
            PackerConfig,
            {"width": 0, "cells": {"time": 1, "rows": 1, "columns": 1}},
            "A packer needs a width of at least 1, got 0.",
        ),
        *(
            (
                SamplerConfig,
                {"sigmas": sigmas, "prediction": "flow"},
                f"sigmas must fall from 1 and stay above 0, got {list(sigmas)}.",
            )
            for sigmas in [(), (0.5, 0.5), (0.2, 0.4), (1.5, 0.5), (1.0, 0.0), (0.9, 0.5)]
        ),
        (
            WorldConfig,
            {
                **{name: getattr(WORLD, name) for name in WORLD.__struct_fields__},
                "camera": CameraConfig(width=40, height=32, fx=1, fy=1),
            },
            "40x32 pixels can't be cut into tokens of 16x16 pixels.",
        ),
    ],
)
def test_out_of_range(kind: type[Config], fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        kind(**fields)
    assert str(error.value) == sentence


def test_sizes_follow_from_the_camera() -> None:
    assert WORLD.latent_size == (4, 6)
    assert WORLD.token_size == (2, 3)
    assert MODEL.head_dim == 12


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path / "world.toml", WorldConfig)
    assert str(error.value) == f"{tmp_path}/world.toml can't be opened (No such file or directory)."


@pytest.mark.parametrize("text", ["=", "name = ", "[camera", "name = 'a'\nname = 'b'"])
def test_a_file_that_is_not_toml(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(CorruptFile) as error:
        load(path, WorldConfig)
    assert str(error.value).startswith(f"{path} can't be read (")
