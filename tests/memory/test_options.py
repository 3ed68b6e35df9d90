"""Options in words: every type, and what is wrong with one."""

from typing import Literal

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.options import read

HINTS = {
    "count": int,
    "share": float | None,
    "loud": bool,
    "side": Literal["left", "right"],
}


@pytest.mark.parametrize(
    "text, values",
    [
        ("", {}),
        ("count=7", {"count": 7}),
        ("share=0.5,count=-3", {"share": 0.5, "count": -3}),
        ("loud=true,side=left", {"loud": True, "side": "left"}),
        ("share=2", {"share": 2.0}),
        ("count=1000000", {"count": 1_000_000}),
    ],
)
def test_options_have_their_types(text: str, values: dict[str, object]) -> None:
    assert read("it", text, HINTS) == values


@pytest.mark.parametrize(
    "text, sentence",
    [
        (
            "coun=7",
            "Unknown option of it 'coun': did you mean 'count'? choose one of count, loud, ",
        ),
        ("count=7,count=7", "Option 'count' of it was said twice; say it once."),
        ("count", "Option 'count' of it needs a whole number, got ''."),
        ("count=1.5", "Option 'count' of it needs a whole number, got '1.5'."),
        ("count=1000001", "Option 'count' of it goes up to 1000000, got 1000001."),
        ("share=nan", "Option 'share' of it needs a number, got 'nan'."),
        ("share=inf", "Option 'share' of it needs a number, got 'inf'."),
        ("loud=maybe", "Option 'loud' of it needs true or false, got 'maybe'."),
        ("side=top", "Option 'side' of it needs one of left, right, got 'top'."),
    ],
)
def test_what_is_no_option_is_said(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        read("it", text, HINTS)
    assert str(error.value).startswith(sentence)
