"""`worldrt train packer`: a few tokens learn to stand for a block, in a world that does not change.

What the student of a lesson lacks beside its teacher is all that it loses:

    loss = mean of w (student - teacher)^2 + matching * |a_student - a_teacher|^2 / |a_teacher|^2

with clean latents weighted back to image units, and a what attention returns, in all layers.

The memory of the scene shows most of what the first block showed, and then nothing is to be gained;
so it shows nothing of the last block in most lessons.

Source: PackForcing, training of the packer; loss and lessons are our own.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from worldrt.checkpoints.files import write_bytes, write_tensors
from worldrt.config import PackerConfig, check, dump
from worldrt.memory.compress import PooledPacker
from worldrt.memory.learned import LearnedPacker
from worldrt.packing import BlockKeys, packed_keys, packed_tokens, small_tokens
from worldrt.training.lessons import Lesson, Teacher
from worldrt.training.loop import Effort, Progress, Stateful, descend, load_state, save_state
from worldrt.training.recording import Recording
from worldrt.training.samples import Sample, Samples, held_out
from worldrt.world import World

log = logging.getLogger(__name__)

LOOKS = 2
"""Samples of each held-out episode."""


class PackerRecipe(Effort, frozen=True, kw_only=True):
    """All that decides a packer's training."""

    world: str
    """The trained world: a shipped one, or a folder."""
    packer: PackerConfig
    recording: Recording
    blind: float = 0.8
    """Share of the lessons in which the memory shows nothing of the last block."""
    matching: float = 0.1
    """Weight of the attention's error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            0 <= self.blind <= 1 and self.matching >= 0,
            "A recipe needs a share blind from 0 to 1 and a matching of at least 0, got "
            f"{self.blind} and {self.matching}.",
        )


def train(recipe: PackerRecipe, run: Path) -> LearnedPacker:
    """Train the recipe's packer, going on where a run in the same folder stopped.

    The folder receives `state.pt` (to resume), `curves.jsonl`, `curves.png`, and the two files that
    belong into the world's folder: `packer.safetensors` (half precision) and `world.toml`.

    Args:
        recipe: what to train on what.
        run: folder of the run, made if need be.

    Returns:
        The packer, in evaluation mode.

    Raises:
        ConfigError, CheckpointError: the world can't be loaded.
        InputError: data are missing.
        CorruptFile: the run's state can't be read.
    """
    torch.set_num_threads(recipe.threads)
    run.mkdir(parents=True, exist_ok=True)
    world = World.load(recipe.world)
    torch.manual_seed(recipe.seed)
    trainer = PackerTrainer(recipe, world, torch.device(recipe.device))
    state = run / "state.pt"
    if state.exists():
        trainer.load(state)
    probe = held_out(recipe.recording, world.config, world.codec, LOOKS)
    seed = recipe.seed + trainer.progress.step
    samples = Samples(recipe.recording, world.config, world.codec, seed)
    batches = samples.batches(recipe.batch, recipe.loaders)
    descend(trainer, batches, recipe, run, lambda: trainer.look(probe))
    weights = trainer.packer.state_dict()
    halves = {name: weight.to(torch.float16) for name, weight in weights.items()}
    write_tensors(run / "packer.safetensors", halves)
    config = msgspec.structs.replace(world.config, packer=recipe.packer)
    write_bytes(run / "world.toml", dump(config).encode())
    return trainer.packer.eval()


class PackerTrainer:
    """The packer, its optimiser, and one step.

    Args:
        recipe: what is trained.
        world: the teacher's.
        device: of the training; the world is moved there.
    """

    def __init__(self, recipe: PackerRecipe, world: World, device: torch.device) -> None:
        config = world.config
        self.progress = Progress()
        self.packer = LearnedPacker(recipe.packer, config.codec.channels, config.model.dim)
        self.packer.to(device)
        self._recipe, self._device = recipe, device
        self._teacher = Teacher(world, device)
        self._optimiser = torch.optim.AdamW(
            self.packer.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01
        )
        self._block = (config.block_frames, *config.token_size)
        self._grid = self.packer.grid(*self._block)
        scale = self._teacher.codec.component_scale.square()
        self._weight = (scale / scale.mean())[:, None, None]

    def step(self, sample: Sample, done: float) -> dict[str, float]:
        """One step of descent; `done` is the share of the time spent. Returns figures."""
        rate = self._recipe.rate(self.progress.step, done)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        seed = self._recipe.seed * 1_000_003 + self.progress.step
        generator = torch.Generator().manual_seed(seed)
        blind = torch.rand(len(sample.clean), generator=generator) < self._recipe.blind
        lesson = self._teacher.teach(sample.forgetting(blind, self._block[0]), generator)
        answer = self._teacher.ask(lesson, self._packed(lesson), self._grid)
        gap = self._distance(answer.clean, lesson.answer.clean)
        taught = lesson.answer.mixed
        match = (answer.mixed - taught).square().mean() / taught.square().mean()
        loss = gap + self._recipe.matching * match
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.packer.parameters(), 1.0)
        self.progress.step += 1
        if not torch.isfinite(norm):
            log.warning("step %s: the gradient is %s, left out", self.progress.step, norm.item())
            return {}
        self._optimiser.step()
        figures = {"loss": loss, "loss/prediction": gap, "loss/attention": match, "gradient": norm}
        return {name: value.item() for name, value in figures.items()} | {"rate": rate}

    @torch.no_grad()
    def look(self, probe: Sequence[Sample]) -> dict[str, float]:
        """Held-out errors of the last block, with what may stand in the first one's place.

        Errors are in units of the image's variance, from the teacher and from the truth, where the
        memory shows the last block as it was drawn, and where it shows nothing.

        Args:
            probe: batches of one.
        """
        sums: dict[str, float] = {}
        for index, sample in enumerate(probe):
            for case, blind in (("remembered", False), ("blind", True)):
                generator = torch.Generator().manual_seed(index)
                shown = sample.forgetting(torch.tensor([blind]), self._block[0])
                lesson = self._teacher.teach(shown, generator)
                answers = {"whole": lesson.answer.clean} | self._answers(lesson)
                for name, clean in answers.items():
                    truth = self._distance(clean, lesson.truth).item()
                    gap = self._distance(clean, lesson.answer.clean).item()
                    for figure, value in (("truth", truth), ("teacher", gap)):
                        line = f"{case}, from the {figure}/{name}"
                        sums[line] = sums.get(line, 0.0) + value / len(probe)
        return {line: value for line, value in sums.items() if not line.endswith("teacher/whole")}

    def _answers(self, lesson: Lesson) -> dict[str, Tensor]:
        """The predicted last blocks by what stands in the first one's place."""
        model, cells = self._teacher.model, self.packer.cells
        # As many tokens as the packer's, or up to its borders more.
        pooled = PooledPacker(
            time=-(-self._block[0] // cells.time), side=-(-self._block[1] // cells.rows)
        )
        small = small_tokens(self._teacher.codec, model, lesson.latents, cells)
        contexts = {
            "nothing": (None, self._grid),
            "pooled keys": (
                BlockKeys(*(pooled.pack(part, *self._block) for part in lesson.first)),
                pooled.grid(*self._block),
            ),
            "small block": (packed_keys(model, small, self._grid), self._grid),
            "packed": (self._packed(lesson), self._grid),
        }
        return {name: self._teacher.ask(lesson, *one).clean for name, one in contexts.items()}

    def save(self, path: Path) -> None:
        """Write what a run needs to go on; see `save_state`."""
        save_state(path, self._parts, self.progress)

    def load(self, path: Path) -> None:
        """Take up the state that `save` wrote; see `load_state`."""
        self.progress = load_state(path, self._parts, self._device)

    @property
    def _parts(self) -> dict[str, Stateful]:
        return {"packer": self.packer, "optimiser": self._optimiser}

    def _packed(self, lesson: Lesson) -> BlockKeys:
        model, codec = self._teacher.model, self._teacher.codec
        tokens = packed_tokens(self.packer, codec, model, lesson.latents)
        return packed_keys(model, tokens, self._grid)

    def _distance(self, clean: Tensor, other: Tensor) -> Tensor:
        """Mean squared error in image units."""
        return ((clean - other).square() * self._weight).mean()
