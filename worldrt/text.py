"""Prompts to rows: cleaned, cut into tokens, read by umT5, and kept on disk for the next time.

The encoder is larger than most transformers that it serves. It is loaded when a prompt is new, and
let go as soon as all new ones are encoded.
"""

import hashlib
import html
import importlib
import json
import logging
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worldrt.checkpoints.families import EncoderConfig, identify
from worldrt.checkpoints.files import read_tensors, write_tensors
from worldrt.checkpoints.loading import load
from worldrt.checkpoints.source import Source, open_source
from worldrt.errors import BackendUnavailable, CorruptFile, InputError

LENGTH = 512
"""Rows of a prompt in all Wan models; those behind its end are zeros, and attended all the same."""
END = "</s>"
"""Token that ends a prompt."""
QUOTES = {
    **dict.fromkeys((0x02BC, *range(0x2018, 0x201C)), "'"),
    **dict.fromkeys(range(0x201C, 0x2020), '"'),
}
LIGATURES = {
    ord(letter): unicodedata.normalize("NFKC", letter) for letter in "ĲĳǱǲǳǄǅǆǇǈǉǊǋǌﬀﬁﬂﬃﬄﬆ"
} | {0x149: "'n", 0xFB05: "\u017ft"}
WIDTHS = {0x3000: " "} | {
    code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF01, 0xFFF0)
}
CONTROLS = dict.fromkeys(
    [
        *range(9),
        0xB,
        *range(0xE, 0x20),
        0x7F,
        *range(0x206A, 0x2070),
        0xFEFF,
        *range(0xFFF9, 0xFFFD),
    ]
)
PLAIN = {**LIGATURES, **WIDTHS, **QUOTES, **CONTROLS}
"""Characters that a prompt's cleaning replaces: by nothing, where they control a terminal."""
ESCAPES = re.compile("\x1b" + r"\[[\d;]*[a-zA-Z]")

log = logging.getLogger(__name__)


def clean(text: str) -> str:
    """A prompt as the published pipelines hand it on.

    HTML entities are resolved, quotes straightened, ligatures and wide letters taken apart, control
    characters dropped, letters composed, white space collapsed; the case stays. Text that was once
    decoded wrongly is not repaired, which the published pipelines leave to ftfy.

    Source: Wan2.1's wan/modules/tokenizers.py, `clean="whitespace"`; ftfy's `fix_text` for the
    tables of characters.
    """
    if "<" not in text:
        text = html.unescape(text)
    text = ESCAPES.sub("", text).translate(PLAIN)
    text = unicodedata.normalize("NFC", text)
    return " ".join(html.unescape(html.unescape(text)).split())


class Tokenizer:
    """Words to numbers, by the file that came with the encoder.

    Args:
        path: `tokenizer.json`, or a folder that holds it.

    Raises:
        BackendUnavailable: transformers is not installed.
        InputError: there is no such file.
        CorruptFile: it is no tokenizer, or one without an end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path / "tokenizer.json" if path.is_dir() else path
        if not self.path.is_file():
            raise InputError(
                f"{self.path} is missing; it comes with the text encoder, in google/umt5-xxl."
            )
        tokenizers = _library("tokenizers")
        try:
            self._inner = tokenizers.Tokenizer.from_file(str(self.path))
        except Exception as error:  # the library raises no type of its own
            raise CorruptFile(self.path, str(error)) from error
        self._end = self._inner.token_to_id(END)
        if self._end is None:
            raise CorruptFile(self.path, f"{self.vocab} tokens, and none of them is {END}")

    @property
    def vocab(self) -> int:
        """How many tokens it knows."""
        return self._inner.get_vocab_size()

    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def ids(self, text: str, length: int = LENGTH) -> list[int]:
        """Numbers of a cleaned prompt, its end the last, at most `length` of them."""
        found = self._inner.encode(text, add_special_tokens=False).ids
        return [*found[: length - 1], self._end]


class Prompts:
    """Prompts as a transformer reads them, from the disk where they were encoded before.

    Args:
        place: the encoder's weights as published, a file or a folder.
        tokenizer: its tokenizer.
        cache: folder in which encoded prompts are kept; made if need be.
        length: rows of a prompt.
        dtype: that the encoder runs in. The published pipelines take bfloat16.
        device: that it runs on.

    Raises:
        InputError: a file is missing.
        CheckpointError: the weights are damaged, or no text encoder.
    """

    def __init__(
        self,
        place: Path,
        tokenizer: Path,
        cache: Path,
        *,
        length: int = LENGTH,
        dtype: torch.dtype = torch.bfloat16,
        device: str = "cpu",
    ) -> None:
        self._source, self._tokenizer = open_source(place), Tokenizer(tokenizer)
        self._card = identify(self._source)
        config = self._card.config
        if not isinstance(config, EncoderConfig):
            raise InputError(
                f"{place} is a {self._card.component} of {len(self._source.entries)} tensors; name "
                "the text encoder, models_t5_umt5-xxl-enc-bf16.pth."
            )
        if self._tokenizer.vocab > config.vocab:
            raise InputError(
                f"{self._tokenizer.path} has {self._tokenizer.vocab} tokens, the encoder knows "
                f"{config.vocab}; take the tokenizer that came with it."
            )
        self.config = config
        self._cache, self._length = cache, length
        self._dtype, self._device = dtype, device
        self._identity = [
            self._source.fingerprint(),
            self._tokenizer.digest(),
            str(dtype),
            length,
        ]

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Rows of prompts.

        Args:
            texts: as a user wrote them.

        Returns:
            [B, length, dim] on the CPU, zeros behind the end of each prompt.

        Raises:
            BackendUnavailable: transformers is not installed.
            CheckpointError: the encoder does not fit into memory, or is damaged.
            OutputError: the cache can't be written.
        """
        prompts = [clean(text) for text in texts]
        new = [text for text in dict.fromkeys(prompts) if self._kept(text) is None]
        if new:
            self._cache.mkdir(parents=True, exist_ok=True)
            for text, rows in zip(new, self._read(new), strict=True):
                write_tensors(self._path(text), {"rows": rows})
        rows = torch.zeros(len(prompts), self._length, self.config.dim, dtype=self._dtype)
        for index, text in enumerate(prompts):
            kept = self._kept(text)
            assert kept is not None
            rows[index, : len(kept)] = kept
        return rows

    def _read(self, texts: Sequence[str]) -> list[Tensor]:
        """Rows [N, dim] of prompts that are new; the encoder lives no longer than this takes."""
        encoder = load_encoder(self._source, dtype=self._dtype, device=self._device)
        found = []
        with torch.inference_mode():
            for text in texts:
                ids = torch.tensor([self._tokenizer.ids(text, self._length)], device=self._device)
                found.append(encoder(ids).last_hidden_state[0].cpu().clone())
        return found

    def _path(self, text: str) -> Path:
        told = json.dumps([*self._identity, text]).encode()
        return self._cache / f"{hashlib.sha256(told).hexdigest()}.safetensors"

    def _kept(self, text: str) -> Tensor | None:
        """Rows of a prompt that was encoded before."""
        path = self._path(text)
        if not path.is_file():
            return None
        try:
            rows = read_tensors(path).get("rows")
        except CorruptFile as error:
            log.warning("%s It is encoded again.", error)
            return None
        if rows is None or rows.shape[1:] != (self.config.dim,) or len(rows) > self._length:
            log.warning("%s holds no rows of this encoder. It is encoded again.", path)
            return None
        return rows


def load_encoder(
    source: Source, *, dtype: torch.dtype = torch.bfloat16, device: str = "cpu"
) -> nn.Module:
    """The umT5 encoder of published weights, in evaluation mode.

    Args:
        source: in the original layout or in that of transformers.
        dtype: of its weights.
        device: where they stay.

    Returns:
        The encoder of transformers: [B, L] token numbers to `last_hidden_state` [B, L, dim].

    Raises:
        BackendUnavailable: transformers is not installed.
        CheckpointError: the weights are damaged, no text encoder, or do not fit into memory.
    """
    card = identify(source)
    assert isinstance(card.config, EncoderConfig)
    encoder = blank_encoder(card.config)
    load(encoder, source, card.keymap, dtype=dtype, device=device)
    return encoder.eval().requires_grad_(False)


def blank_encoder(config: EncoderConfig) -> nn.Module:
    """The encoder of transformers without memory, on the meta device.

    Raises:
        BackendUnavailable: transformers is not installed.
    """
    transformers = _library("transformers")
    with torch.device("meta"):
        return transformers.UMT5EncoderModel(
            transformers.UMT5Config(
                vocab_size=config.vocab,
                d_model=config.dim,
                d_kv=config.head_dim,
                d_ff=config.ffn_dim,
                num_layers=config.num_layers,
                num_heads=config.num_heads,
                relative_attention_num_buckets=config.buckets,
            )
        )


def _library(name: str) -> Any:
    """A module that the extra `wan` brings."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BackendUnavailable(name, "install it with: pip install 'worldrt[wan]'") from error
