"""A world from its folder: what it knows of itself, and a sentence for each way to break it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import worldrt
from tests.tiny import look, standing, tiny_config, write_world
from worldrt.atlas.store import save
from worldrt.checkpoints.files import write_tensors
from worldrt.config import Cells, PackerConfig, dump
from worldrt.errors import (
    ConfigError,
    CorruptFile,
    InputError,
    MissingTensor,
    ShapeMismatch,
    UnexpectedTensor,
    WorldrtError,
)
from worldrt.geometry.keys import Keys, parse_keys
from worldrt.memory.learned import LearnedPacker
from worldrt.memory.packed import Packed
from worldrt.memory.slots import Region
from worldrt.memory.spatial.frame import Frame
from worldrt.session import Session
from worldrt.starts import Start
from worldrt.world import DTYPES, World, find_dtype, find_world, shipped


def test_loaded_world_says_its_numbers(world: World, world_folder: Path) -> None:
    assert world.config == tiny_config()
    assert world.folder == world_folder
    assert (world.camera.cx, world.camera.cy) == (32, 24)
    shape = world.cache_shape
    assert (shape.layers, shape.heads, shape.head_dim) == (2, 2, 24)
    assert (shape.rows, shape.columns, shape.block_frames) == (3, 4, 4)
    tensors = load_file(world_folder / "model.safetensors")
    assert world.parameters == sum(tensor.numel() for tensor in tensors.values())
    for name, tensor in world.model.state_dict().items():
        torch.testing.assert_close(tensor, tensors[name], rtol=0, atol=0)


def test_loaded_weights_are_there_to_be_used_not_trained(world: World) -> None:
    modules = (world.model, world.codec)
    assert not any(module.training for module in modules)
    assert not any(p.requires_grad for module in modules for p in module.parameters())


def test_refiner_is_a_codec_with_more_tensors(tmp_path: Path, world: World) -> None:
    refined = World.load(str(write_world(tmp_path / "refined", refiner_width=8)))
    extra = refined.codec.state_dict().keys() - world.codec.state_dict().keys()
    assert extra and all(name.startswith("refiner.") for name in extra)


@pytest.mark.parametrize("saved, wanted", [(2, 2), (2, 3), (2, 0), (0, 2)])
def test_a_saved_memory_is_gone_on_with_and_what_moves_in_it(
    world: World, tmp_path: Path, saved: int, wanted: int
) -> None:
    """As many things as this world follows: none, if it follows none or none were saved."""

    def following(count: int) -> World:
        memory = msgspec.structs.replace(world.config.memory, entities=count)
        config = msgspec.structs.replace(world.config, memory=memory)
        return World(config, world.model, world.codec, world.folder)

    first, pose = following(saved).places(), standing(0.0, 0.0, 0.0)
    rgb, depth = look(pose)
    first.map.insert(Frame(rgb, depth, pose, 0))
    if first.entities is not None:
        moving = np.zeros(depth.shape, np.bool_)
        moving[20:31, 20:33] = True
        first.entities.observe(rgb, depth, pose, moving, 0)
    save(first.map, tmp_path / "kept", first.entities)
    second = following(wanted).places(saved=tmp_path / "kept")
    assert len(second) == len(first) > 1000
    assert (second.entities is None) == (wanted == 0)
    if second.entities is not None:
        assert second.entities.capacity == wanted
        assert len(second.entities) == min(saved, 1)


@pytest.fixture
def shelf(tmp_path: Path, world_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped worlds: `meadow` and `maze`."""
    checkpoints = tmp_path / "checkpoints"
    for name in ("meadow", "maze"):
        shutil.copytree(world_folder, checkpoints / name)
    (checkpoints / "no-world").mkdir()
    monkeypatch.setattr(worldrt, "__file__", str(tmp_path / "__init__.py"))
    return checkpoints


def test_shipped_world_is_found_by_name_and_any_other_by_its_folder(
    shelf: Path, world_folder: Path
) -> None:
    assert [path.name for path in shipped()] == ["maze", "meadow"]
    assert find_world("meadow") == shelf / "meadow"
    assert find_world(str(world_folder)) == world_folder
    assert World.load("maze").config.name == "tiny"


@pytest.mark.parametrize("name", ["mead", "no-world", "", "/", "maze/world.toml"])
def test_unknown_world_is_told_those_that_are_there(shelf: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="Unknown world .* choose one of maze, meadow"):
        World.load(name)


def test_unknown_world_gets_a_hint(shelf: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'meadow'"):
        World.load("meedow")


def drop_tensor(path: Path) -> None:
    tensors = load_file(path)
    del tensors[sorted(tensors)[0]]
    write_tensors(path, tensors)


def add_tensor(path: Path) -> None:
    write_tensors(path, load_file(path) | {"spare": torch.zeros(3)})


def widen_tensor(path: Path) -> None:
    tensors = load_file(path)
    name = max(tensors, key=lambda name: tensors[name].ndim)
    tensors[name] = torch.cat([tensors[name], tensors[name]])
    write_tensors(path, tensors)


def cut(share: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return damage


@pytest.mark.parametrize("file", ["model.safetensors", "codec.safetensors"])
@pytest.mark.parametrize(
    "damage, kind, words",
    [
        (Path.unlink, InputError, "is missing"),
        (cut(0), CorruptFile, "copy or download it again"),
        (cut(0.001), CorruptFile, "copy or download it again"),
        (cut(0.5), CorruptFile, "copy or download it again"),
        (cut(0.999), CorruptFile, "copy or download it again"),
        (drop_tensor, MissingTensor, "lacks 1 of"),
        (add_tensor, UnexpectedTensor, "holds 1 tensors beyond .*'spare'"),
        (widen_tensor, ShapeMismatch, "has shape .* the model needs"),
    ],
)
def test_damaged_weights_are_one_sentence(
    tmp_path: Path,
    world_folder: Path,
    file: str,
    damage: Callable[[Path], None],
    kind: type[WorldrtError],
    words: str,
) -> None:
    folder = shutil.copytree(world_folder, tmp_path / "broken")
    damage(folder / file)
    with pytest.raises(kind, match=words) as found:
        World.load(str(folder))
    assert str(folder / file) in str(found.value)


@pytest.fixture
def packed_folder(tmp_path: Path, world_folder: Path) -> Path:
    """The tiny world with a packer of random weights."""
    folder = shutil.copytree(world_folder, tmp_path / "packed")
    config = PackerConfig(width=4, cells=Cells(time=1, rows=2, columns=3))
    packer = LearnedPacker(config, 16, 48)
    write_tensors(folder / "packer.safetensors", packer.state_dict())
    whole = msgspec.structs.replace(tiny_config(), packer=config)
    (folder / "world.toml").write_text(dump(whole))
    return folder


def test_packer_is_loaded_where_the_manifest_names_one(packed_folder: Path, world: World) -> None:
    assert world.packer is None
    packer = World.load(str(packed_folder)).packer
    assert packer is not None and packer.tokens == 6
    assert not packer.training and not any(p.requires_grad for p in packer.parameters())
    tensors = load_file(packed_folder / "packer.safetensors")
    assert all(torch.equal(value, tensors[name]) for name, value in packer.state_dict().items())


@pytest.mark.parametrize(
    "damage, kind, words",
    [
        (Path.unlink, InputError, "is missing"),
        (cut(0.5), CorruptFile, "copy or download it again"),
        (drop_tensor, MissingTensor, "lacks 1 of"),
        (add_tensor, UnexpectedTensor, "holds 1 tensors beyond .*'spare'"),
        (widen_tensor, ShapeMismatch, "has shape .* the model needs"),
    ],
)
def test_damaged_packer_is_one_sentence(
    packed_folder: Path, damage: Callable[[Path], None], kind: type[WorldrtError], words: str
) -> None:
    damage(packed_folder / "packer.safetensors")
    with pytest.raises(kind, match=words) as found:
        World.load(str(packed_folder))
    assert str(packed_folder / "packer.safetensors") in str(found.value)


@pytest.mark.parametrize(
    "pattern, text, kind, words",
    [
        ("width = 4$", "width = 5", ShapeMismatch, "check that world.toml belongs"),
        ("rows = 2", "rows = 0", ConfigError, "A packed block needs cells, got 1 x 0 x 3"),
        ("rows = 2", "row = 2", ConfigError, "unknown field `row`"),
    ],
)
def test_packer_that_the_manifest_mistakes_is_refused(
    packed_folder: Path, pattern: str, text: str, kind: type[WorldrtError], words: str
) -> None:
    manifest = packed_folder / "world.toml"
    changed = re.sub(pattern, text, manifest.read_text(), flags=re.MULTILINE)
    assert changed != manifest.read_text()
    manifest.write_text(changed)
    with pytest.raises(kind, match=words):
        World.load(str(packed_folder))


@pytest.mark.parametrize(
    "pattern, text, kind, words",
    [
        ("name = ", "nmae = ", ConfigError, "nmae"),
        ("name = .*\n", "", ConfigError, "name"),
        ("fps = 10", "fps = -1", ConfigError, "positive"),
        ("= ", "", CorruptFile, "can't be read"),
        ("width = 64", "width = 60", ConfigError, "60x48 pixels can't be cut into tokens"),
        ("camera_channels = 30", "camera_channels = 0", ConfigError, "30 camera .* got 0"),
        ("spatial_channels = 33", "spatial_channels = 31", ConfigError, "got 30 and 31"),
    ],
)
def test_broken_manifest_is_one_sentence(
    tmp_path: Path,
    world_folder: Path,
    pattern: str,
    text: str,
    kind: type[WorldrtError],
    words: str,
) -> None:
    folder = shutil.copytree(world_folder, tmp_path / "broken")
    manifest = folder / "world.toml"
    changed = re.sub(pattern, text, manifest.read_text(), count=1)
    assert changed != manifest.read_text()
    manifest.write_text(changed)
    with pytest.raises(kind, match=words):
        World.load(str(folder))


def test_stride_that_the_mask_does_not_fit_is_refused(tmp_path: Path, world_folder: Path) -> None:
    folder = shutil.copytree(world_folder, tmp_path / "broken")
    text = dump(tiny_config()).replace("stride = 8", "stride = 2")
    (folder / "world.toml").write_text(text)
    with pytest.raises(ConfigError, match="multiple of 4, got 2"):
        World.load(str(folder))


def test_the_learned_packer_takes_its_place_in_the_policy(
    packed_folder: Path, world: World, start: Start
) -> None:
    """Old blocks become its six tokens, standing at its cells; the pooled packer is another."""
    packed = World.load(str(packed_folder))
    policy = packed.policy("pack:packer=learned,mid=3,top=2")
    assert isinstance(policy.mid, Packed) and policy.mid.packer is packed.packer
    path = parse_keys("W*24 J*16")
    walks: dict[str, torch.Tensor] = {}
    for kind in ("learned", "pooled"):
        session = Session(packed, start, seed=3, policy=f"pack:packer={kind},mid=3,top=2")
        chunks = list(session.stream(path))
        walks[kind] = torch.cat([chunk.latents for chunk in chunks])
        held = chunks[-1].partitions[Region.MID]
        assert held.frames == 3 * 4
        assert held.tokens == 2 * (6 if kind == "learned" else 2 * 2 * 2)
    # The first blocks see nothing packed.
    assert torch.equal(walks["learned"][:4], walks["pooled"][:4])
    assert not torch.equal(walks["learned"][-4:], walks["pooled"][-4:])


def test_a_world_without_a_packer_refuses_the_learned_one(world: World) -> None:
    with pytest.raises(ConfigError) as caught:
        world.policy("pack:packer=learned")
    assert str(caught.value) == (
        "World 'tiny' has no learned packer; say packer=pooled, or train one with "
        "`worldrt train packer`."
    )


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_world_in_either_precision(world_folder: Path, start: Start, name: str) -> None:
    world = World.load(str(world_folder), name)
    assert world.dtype is DTYPES[name] and world.dtype_name == name
    assert world.model.patch.weight.dtype is DTYPES[name]
    session = Session(world, start, seed=1)
    chunk = session.step([Keys.W] * world.config.block_frames)
    assert chunk.latents.dtype is torch.float32 and chunk.frames.dtype == np.uint8
    assert chunk.latents.isfinite().all()
    session.close()


@pytest.mark.parametrize("policy", ["infinity", "pack:packer=pooled", "window:codec=int8"])
def test_half_the_precision_shows_the_same(world_folder: Path, start: Start, policy: str) -> None:
    """Also where keys move, are packed or lie in codes; and its cache is smaller but for codes."""
    shown, bytes_ = [], []
    for name in DTYPES:
        with Session(World.load(str(world_folder), name), start, policy=policy) as session:
            chunks = list(session.stream([Keys.W] * 20))
            shown.append(np.concatenate([chunk.frames for chunk in chunks]).astype(float))
            bytes_.append(session.cache.nbytes)
    error = np.abs(shown[0] - shown[1]).mean()
    assert 0 < error < 2, "of 255 levels"
    assert bytes_[1] < bytes_[0] or "codec" in policy


def test_the_fastest_precision_is_one_of_them() -> None:
    assert find_dtype("auto") in DTYPES.values()


def test_an_unknown_precision() -> None:
    with pytest.raises(ConfigError) as caught:
        find_dtype("int3")
    assert str(caught.value) == ("Unknown dtype 'int3': choose one of auto, bf16, fp32.")
