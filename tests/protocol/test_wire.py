import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.messages import structs
from worldrt.errors import ProtocolError
from worldrt.protocol.replies import FromServer, Queue
from worldrt.protocol.requests import Clock, FromClient, Hello, Input, Prompt, Settings
from worldrt.protocol.terms import MAX_MESSAGE, Message
from worldrt.protocol.wire import read_from_client, read_from_server, write

REQUESTS: tuple[type[Message], ...] = get_args(FromClient)
REPLIES: tuple[type[Message], ...] = get_args(FromServer)
INPUT = {"t": "input", "seq": 3, "t_us": 99, "keys": 5}


def tag(kind: type[Message]) -> str:
    return str(kind.__struct_config__.tag)


@pytest.mark.parametrize("kind", REQUESTS, ids=tag)
@given(data=st.data())
def test_a_request_comes_as_it_went(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(structs(kind))
    assert read_from_client(write(message)) == message
    assert read_from_client(write(message).encode()) == message


@pytest.mark.parametrize("kind", REPLIES, ids=tag)
@given(data=st.data())
def test_a_reply_comes_as_it_went(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(structs(kind))
    assert read_from_server(write(message)) == message


@pytest.mark.parametrize("kind", [*REQUESTS, *REPLIES], ids=tag)
def test_a_message_says_its_kind_first(kind: type[Message]) -> None:
    fields = {field.name for field in msgspec.structs.fields(kind)}
    assert "t" not in fields
    assert tag(kind) in ("error", "clock", kind.__name__.lower())


def test_each_side_tells_its_kinds_apart() -> None:
    assert len({tag(kind) for kind in REQUESTS}) == len(REQUESTS)
    assert len({tag(kind) for kind in REPLIES}) == len(REPLIES)


def test_what_a_client_need_not_say() -> None:
    """The least that a client of today sends must be understood as long as there is a v1."""
    assert read_from_client('{"t":"hello","versions":["worldrt.v1"]}') == Hello(
        versions=("worldrt.v1",), token="", resume="", watch="", codecs=("jpeg",)
    )
    assert read_from_client('{"t":"input","seq":1,"t_us":2}') == Input(
        seq=1, t_us=2, keys=0, axes=(0, 0, 0, 0), look=(0, 0)
    )
    assert read_from_client('{"t":"settings"}') == Settings()
    for text in ["start", "step", "bye"]:
        assert read_from_client(json.dumps({"t": text})) is not None


def test_what_is_newer_than_this_version_is_passed_over() -> None:
    assert read_from_client('{"t":"teleport","where":[1,2]}') is None
    assert read_from_server('{"t":"weather"}') is None
    assert read_from_client('{"colour":[{}],"t":"clock","t0_us":7,"more":null}') == Clock(t0_us=7)


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "Input data was truncated"),
        ("{", "Input data was truncated"),
        ("W", "JSON is malformed: invalid character (byte 0)"),
        ("[]", "Expected `object`, got `array`"),
        ("null", "Expected `object`, got `null`"),
        ("{}", "Object missing required field `t`"),
        ('{"t":1}', "Expected `str`, got `int` - at `$.t`"),
        ('{"t":"hello"}', "Object missing required field `versions`"),
        ('{"t":"bye"}x', "JSON is malformed: trailing characters (byte 12)"),
        ('{"t":"clock","t0_us":-1}', "Expected `int` >= 0 - at `$.t0_us`"),
        ('{"t":"clock","t0_us":1.5}', "Expected `int`, got `float` - at `$.t0_us`"),
        ('{"t":"clock","t0_us":"1"}', "Expected `int`, got `str` - at `$.t0_us`"),
        ('{"t":"pause","paused":1}', "Expected `bool`, got `int` - at `$.paused`"),
        (
            '{"t":"settings","codec":"gif"}',
            "Invalid enum value 'gif' - at `$.codec`",
        ),
        (
            '{"t":"settings","max_lead_ms":1}',
            "Expected `int` >= 50 - at `$.max_lead_ms`",
        ),
        (
            '{"t":"start","seed":9007199254740992}',
            "Expected `int` <= 9007199254740991 - at `$.seed`",
        ),
    ],
)
def test_what_makes_no_sense(text: str, why: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_from_client(text)
    assert str(caught.value) == f"A message makes no sense ({why})."


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": -1},
        {"seq": 2**32},
        {"seq": 1e400},
        {"seq": None},
        {"t_us": 2**53 + 1},
        {"keys": 2**16},
        {"keys": "W"},
        {"axes": [0, 0, 0]},
        {"axes": [0, 0, 0, 0, 0]},
        {"axes": [0, 0, 0, 1.01]},
        {"axes": [0, 0, 0, float("nan")]},
        {"axes": [0, 0, 0, float("inf")]},
        {"look": [1e7, 0]},
        {"look": {"0": 0, "1": 0}},
    ],
    ids=str,
)
def test_an_input_out_of_range(changes: dict[str, Any]) -> None:
    assert isinstance(read_from_client(json.dumps(INPUT)), Input)
    with pytest.raises(ProtocolError, match=r"A message makes no sense \(.+\)\."):
        read_from_client(json.dumps(INPUT | changes))


@pytest.mark.parametrize(
    "message",
    [
        {"t": "hello", "versions": ["v"] * 17},
        {"t": "hello", "versions": ["v" * 201]},
        {"t": "hello", "versions": ["v"], "codecs": ["c"] * 9},
        {"t": "hello", "versions": ["v"], "token": "x" * 201},
        {"t": "prompt", "id": 1, "text": "x" * 2001},
        {"t": "policy", "id": 1, "name": "x" * 201},
    ],
    ids=str,
)
def test_more_text_than_is_allowed(message: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="Expected `(str|array)` of length <= "):
        read_from_client(json.dumps(message))


@pytest.mark.parametrize("character", ["x", "ü", "✓", "🜁"])
def test_the_limit_counts_bytes(character: str) -> None:
    size = len(character.encode())
    fits = json.dumps({"t": "later", "more": ""}, ensure_ascii=False)
    room = (MAX_MESSAGE - len(fits)) // size
    assert read_from_client(fits[:-2] + character * room + fits[-2:]) is None
    beyond = fits[:-2] + character * (room + 1) + fits[-2:]
    with pytest.raises(ProtocolError) as caught:
        read_from_client(beyond)
    assert str(caught.value) == (
        f"A message of {len(beyond.encode())} bytes was sent; at most 16384 are allowed."
    )


def test_a_prompt_of_full_length_fits_in_any_script() -> None:
    prompt = Prompt(id=2**32 - 1, text="🜁" * 2000)
    assert read_from_client(write(prompt)) == prompt


def test_a_reply_may_be_longer_than_a_request() -> None:
    queue = Queue(position=1, waiting=1, eta_s=None)
    assert read_from_server(write(queue) + " " * MAX_MESSAGE) == queue


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        b'{"t":"\xff"}',
        b'{"t":"hello","versions":["\xc3"]}',
        b'{"t":"prompt","id":1,"text":"\xed\xa0\x80"}',
        '{"t":"\ud800"}',
        '{"t":"prompt","id":1,"text":"\\ud800"}',
        "[" * MAX_MESSAGE,
        '{"a":' * (MAX_MESSAGE // 5),
        '{"t":"later","a":' + "[" * 9000 + "]" * 5000 + "}",
        "9" * MAX_MESSAGE,
        '{"t":"clock","t0_us":' + "9" * 9000 + "}",
        '{"t":"settings","codec":"' + "x" * 9000 + '"}',
        b"\0" * 99,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_hostile_text(text: str | bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_from_client(text)
    assert len(str(caught.value)) < 250


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_only_one_error_comes_of_anything(data: bytes | str) -> None:
    for read in (read_from_client, read_from_server):
        try:
            assert read(data) is None or data
        except ProtocolError:
            pass


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=9,
)


@given(st.sampled_from(REQUESTS), st.data())
def test_only_one_error_comes_of_any_field(kind: type[Message], data: st.DataObject) -> None:
    """A message is understood, or refused; and what is understood can be told again."""
    fields = msgspec.to_builtins(data.draw(structs(kind)))
    for name in data.draw(st.lists(st.sampled_from([*fields]), max_size=3)):
        fields[name] = data.draw(JSON)
    try:
        message = read_from_client(json.dumps(fields))
    except ProtocolError:
        return
    assert message is None or read_from_client(write(message)) == message
