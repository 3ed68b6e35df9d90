"""Prompts to rows: the published cleaning, the golden encoder, and a cache that is exact."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from tokenizers import Tokenizer as Words
from tokenizers import models, pre_tokenizers
from torch import Tensor

from tests.peak import peak
from tests.published import original
from worldrt import text
from worldrt.checkpoints.families import EncoderConfig
from worldrt.checkpoints.files import read_tensors
from worldrt.checkpoints.source import open_source
from worldrt.errors import CheckpointError, CorruptFile, InputError
from worldrt.text import Prompts, Tokenizer, clean, load_encoder

Golden = Callable[[str], dict[str, Tensor]]
WORDS = ["<pad>", "</s>", "<unk>", "a", "fox", "in", "snow"]


@pytest.fixture
def weights(golden: Golden) -> dict[str, Tensor]:
    """By original name, as `models_t5_umt5-xxl-enc-bf16.pth` has them."""
    return {
        name.removeprefix("model."): tensor.clone()
        for name, tensor in golden("umt5").items()
        if name.startswith("model.")
    }


@pytest.fixture
def encoder(tmp_path: Path, weights: dict[str, Tensor]) -> Path:
    torch.save(weights, tmp_path / "models_t5_umt5-xxl-enc-bf16.pth")
    return tmp_path / "models_t5_umt5-xxl-enc-bf16.pth"


def write_tokenizer(folder: Path, words: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    table = {word: index for index, word in enumerate(words)}
    made = Words(models.WordLevel(table, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore  # the stub lacks the setter
    made.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    return write_tokenizer(tmp_path / "google-umt5-xxl", WORDS)


def test_the_encoder_gives_the_golden_rows(encoder: Path, golden: Golden) -> None:
    expected = golden("umt5")
    model = load_encoder(open_source(encoder), dtype=torch.float32)
    lengths = expected["mask"].sum(1).tolist()
    assert len(lengths) == 2 and lengths[0] != lengths[1]
    for ids, rows, length in zip(expected["ids"], expected["prompt_embeds"], lengths, strict=True):
        alone = model(ids[None, :length]).last_hidden_state[0]
        masked = model(ids[None], attention_mask=(ids != 0)[None]).last_hidden_state[0, :length]
        for found in (alone, masked):
            assert torch.allclose(found, rows[:length], atol=1.5e-5, rtol=0)
        assert torch.all(rows[length:] == 0)


def test_the_names_of_transformers_give_the_same_bits(
    tmp_path: Path, encoder: Path, golden: Golden
) -> None:
    ids = golden("umt5")["ids"][:1, :7]
    first = load_encoder(open_source(encoder), dtype=torch.float32)
    folder = tmp_path / "text_encoder"
    folder.mkdir()
    for spare in ({}, {"encoder.embed_tokens.weight": torch.ones(64, 32)}):
        named = {name: tensor.clone() for name, tensor in first.state_dict().items()}
        del named["encoder.embed_tokens.weight"]
        save_file(named | spare, folder / "model.safetensors")
        other = load_encoder(open_source(folder), dtype=torch.float32)
        assert torch.equal(other(ids).last_hidden_state, first(ids).last_hidden_state)


def test_the_embedding_is_kept_once(encoder: Path) -> None:
    state = load_encoder(open_source(encoder)).state_dict()
    shared, tokens = state["shared.weight"], state["encoder.embed_tokens.weight"]
    assert shared.data_ptr() == tokens.data_ptr()


def test_an_encoder_without_a_tensor(encoder: Path, weights: dict[str, Tensor]) -> None:
    del weights["blocks.1.ffn.fc2.weight"]
    torch.save(weights, encoder)
    with pytest.raises(CheckpointError, match=r"lacks 1 of 22 tensors, first 'encoder\.block\.1"):
        load_encoder(open_source(encoder))


@pytest.mark.parametrize(
    "written, cleaned",
    [
        ("  A  Fox\n in\tthe\u3000snow ", "A Fox in the snow"),
        ("“a” ‘b’ it’s", "\"a\" 'b' it's"),
        ("salt &amp;amp; pepper", "salt & pepper"),
        ("&lt;b&gt; &ldquo;q&rdquo;", '<b> "q"'),
        ("<b>&quot;x&quot;</b>", '<b>"x"</b>'),
        ("ﬁne ﬂow ﬅ Ǆ ŉ ĳ", "fine flow ſt DŽ 'n ij"),
        ("ｗｉｄｅ １２ ﾊﾝｶｸ", "wide 12 ハンカク"),
        ("cafe\u0301", "caf\u00e9"),
        ("\ufeffa\x00b\x1b[31mred\x7f", "abred"),
        ("line\r\nline\u2028line\x85line", "line line line line"),
        ("狐 🦊 in_the_snow", "狐 🦊 in_the_snow"),
        ("", ""),
    ],
)
def test_prompts_are_cleaned_as_published(written: str, cleaned: str) -> None:
    """What Wan's own tokenizer with ftfy 6 makes of them."""
    assert clean(written) == cleaned


@given(st.text(alphabet=st.characters(exclude_characters="&", exclude_categories=["Cs"])))
def test_cleaning_twice_is_cleaning_once(written: str) -> None:
    once = clean(written)
    assert clean(once) == once
    assert once == " ".join(once.split()) and not set(once) & set(map(chr, text.PLAIN))


def test_tokens_end_with_the_end_and_long_prompts_are_cut(tokenizer: Path) -> None:
    words = Tokenizer(tokenizer)
    assert words.ids("a fox in deep snow") == [3, 4, 5, 2, 6, 1]
    assert words.ids("a fox in snow", 3) == [3, 4, 1]
    assert words.ids("") == [1]
    assert words.ids("a " * 700) == [3] * 511 + [1]
    assert Tokenizer(tokenizer / "tokenizer.json").digest() == words.digest()


def test_rows_are_those_of_the_encoder_and_zeros_behind(
    tmp_path: Path, encoder: Path, tokenizer: Path
) -> None:
    prompts = Prompts(encoder, tokenizer, tmp_path / "cache", length=16, dtype=torch.float32)
    assert prompts.config == EncoderConfig(
        vocab=64, dim=32, ffn_dim=48, num_heads=4, head_dim=8, num_layers=2, buckets=32
    )
    rows = prompts.encode(["a fox", "", "a\nfox"])
    model = load_encoder(open_source(encoder), dtype=torch.float32)
    assert rows.shape == (3, 16, 32)
    assert torch.equal(rows[0, :3], model(torch.tensor([[3, 4, 1]])).last_hidden_state[0])
    assert torch.equal(rows[1, :1], model(torch.tensor([[1]])).last_hidden_state[0])
    assert torch.equal(rows[2], rows[0])
    assert not rows[0, 3:].any() and not rows[1, 1:].any()


def test_what_was_encoded_is_read_from_disk_without_the_encoder(
    tmp_path: Path, encoder: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = list[int]()
    monkeypatch.setattr(
        text, "load_encoder", lambda *args, **named: loads.append(1) or load_encoder(*args, **named)
    )
    prompts = Prompts(encoder, tokenizer, tmp_path / "cache", length=16)
    with peak() as found:
        first = prompts.encode(["a fox", "snow"])
    assert len(loads) == 1 and first.dtype == torch.bfloat16
    assert found.left == first.nbytes  # the encoder is gone
    again = Prompts(encoder, tokenizer, tmp_path / "cache", length=16)
    assert torch.equal(again.encode([" snow", "a fox"]), first.flip(0)) and len(loads) == 1
    again.encode(["a fox", "in snow"])
    assert len(loads) == 2 and len(list((tmp_path / "cache").iterdir())) == 3


def test_another_encoder_type_length_or_tokenizer_has_its_own_rows(
    tmp_path: Path, encoder: Path, tokenizer: Path, weights: dict[str, Tensor]
) -> None:
    cache = tmp_path / "cache"
    other = tmp_path / "other.pth"
    torch.save(weights | {"norm.weight": torch.full((32,), 0.5)}, other)
    words = write_tokenizer(tmp_path / "words", [*WORDS[:3], "fox", "a"])
    ways = [
        Prompts(encoder, tokenizer, cache, length=16),
        Prompts(other, tokenizer, cache, length=16),
        Prompts(encoder, tokenizer, cache, length=17),
        Prompts(encoder, tokenizer, cache, length=16, dtype=torch.float32),
        Prompts(encoder, words, cache, length=16),
    ]
    for way in ways:
        way.encode(["a fox"])
    assert len(list(cache.iterdir())) == len(ways)


@pytest.mark.parametrize("content", [b"", b"half", None])
def test_a_damaged_cache_is_encoded_again(
    tmp_path: Path,
    encoder: Path,
    tokenizer: Path,
    caplog: pytest.LogCaptureFixture,
    content: bytes | None,
) -> None:
    prompts = Prompts(encoder, tokenizer, tmp_path / "cache", length=16)
    rows = prompts.encode(["a fox"])
    (kept,) = (tmp_path / "cache").iterdir()
    if content is None:
        save_file({"rows": torch.ones(3, 31)}, kept)
    else:
        kept.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(prompts.encode(["a fox"]), rows)
    assert torch.equal(read_tensors(kept)["rows"], rows[0, :3])
    assert "It is encoded again" in caplog.text


def test_what_is_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tokenizer.json is missing; it comes with"):
        Tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CorruptFile, match="can't be read"):
        Tokenizer(tmp_path)
    write_tokenizer(tmp_path, ["a", "<unk>"])
    with pytest.raises(CorruptFile, match="2 tokens, and none of them is </s>"):
        Tokenizer(tmp_path)


def test_what_is_no_encoder(tmp_path: Path, encoder: Path, golden: Golden) -> None:
    large = write_tokenizer(tmp_path / "large", [*WORDS, *map(str, range(60))])
    with pytest.raises(InputError, match="has 67 tokens, the encoder knows 64; take the token"):
        Prompts(encoder, large, tmp_path / "cache")
    save_file(original(golden("weights")), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"num_heads": 4}')
    with pytest.raises(InputError, match="is a transformer of 96 tensors; name the text encoder"):
        Prompts(tmp_path / "model.safetensors", large, tmp_path / "cache")
