import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldrt.errors import ServerError
from worldrt.protocol.terms import VERSION, Close
from worldrt.server.access import (
    UNSETTLED,
    Bucket,
    Door,
    Refusal,
    Tickets,
    is_loopback,
    refuses_version,
    subprotocol,
)


@given(st.floats(0.5, 50), st.lists(st.floats(0, 2), max_size=200))
def test_a_bucket_lets_through_its_rate(rate: float, pauses: list[float]) -> None:
    """In every span of time: what it holds at first, and the rate; and at once what is due."""
    bucket, now, passed = Bucket(rate), 100.0, list[float]()
    for pause in pauses:
        now += pause
        if bucket.take(now):
            passed.append(now)
        else:
            assert sum(then > now - 1 for then in passed) >= rate / 2 - 1
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= rate + rate * (passed[last] - start) + 1e-6


def test_a_bucket_is_full_again_after_a_second() -> None:
    bucket = Bucket(3)
    assert [bucket.take(7.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(8.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(8.4) for _ in range(2)] == [True, False]


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = Bucket(1)
    assert bucket.take(5.0)
    assert not bucket.take(1.0)


def test_a_ticket_may_be_looked_at_often() -> None:
    tickets = Tickets()
    token = tickets.issue("maple")
    assert tickets.find(token) == tickets.find(token) == "maple"


def test_a_new_ticket_voids_the_former_once_it_has_come() -> None:
    tickets = Tickets()
    first, other = tickets.issue("maple"), tickets.issue("oak")
    second = tickets.issue("maple")
    assert len({first, second, other}) == 3
    assert (tickets.find(first), tickets.find(second)) == ("maple", "maple")
    tickets.settle("maple")
    tickets.settle("birch")
    assert tickets.find(first) is None
    assert (tickets.find(second), tickets.find(other)) == ("maple", "oak")


def test_tickets_that_never_come_are_few() -> None:
    tickets = Tickets()
    tokens = [tickets.issue("maple") for _ in range(100)]
    good = [token for token in tokens if tickets.find(token)]
    assert good == tokens[-1 - UNSETTLED :] and len(tickets) == 1 + UNSETTLED


def test_nothing_is_left_of_a_session() -> None:
    tickets = Tickets()
    token = tickets.issue("maple")
    tickets.revoke("maple")
    tickets.revoke("maple")
    assert tickets.find(token) is None
    assert len(tickets) == 0


def test_a_ticket_has_128_bits_and_is_not_kept() -> None:
    tickets = Tickets()
    tokens = {tickets.issue(f"session {n}") for n in range(500)}
    assert len(tokens) == 500
    for token in tokens:
        assert re.fullmatch("[A-Za-z0-9_-]{22}", token)
        assert token not in repr(vars(tickets))


@pytest.mark.parametrize("token", ["", "x" * 200, "ünï", "\ud800", "\0"])
def test_no_ticket_is_found_by_nonsense(token: str) -> None:
    tickets = Tickets()
    tickets.issue("maple")
    assert tickets.find(token) is None


@pytest.mark.parametrize(
    "host, local",
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.7", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "box.lan", ""])
def test_others_come_in_by_token_or_by_the_hosts_word(host: str) -> None:
    with pytest.raises(ServerError) as caught:
        Door(host)
    assert str(caught.value) == (
        f"{host} can be reached from other machines; give --token SECRET, or --insecure to let in "
        f"whoever comes."
    )
    assert Door(host, token="secret").admits("secret")
    assert Door(host, insecure=True).admits("")


@pytest.mark.parametrize("origin", ["example.org", "null", "ftp://a", "https://a/b", "http://a:x"])
def test_an_origin_that_is_none(origin: str) -> None:
    with pytest.raises(ServerError) as caught:
        Door("localhost", origins=[origin])
    assert str(caught.value) == (
        f"{origin!r} is no origin of a page; write one such as https://example.org."
    )


@pytest.mark.parametrize("token", ["", "secre", "secrets", "SECRET", "ünï", "\ud800"])
def test_a_wrong_token(token: str) -> None:
    assert not Door("localhost", token="secret").admits(token)


@pytest.mark.parametrize("token", ["", "anything"])
def test_no_token_is_asked_for(token: str) -> None:
    assert Door("localhost").admits(token)


LAN = Door("0.0.0.0", token="secret", origins=["https://World.example.org", "http://box.lan:8080"])
HOME = Door("localhost")


@pytest.mark.parametrize(
    "door, host, origin",
    [
        (HOME, "localhost:8765", None),
        (HOME, "localhost:8765", "http://localhost:8765"),
        (HOME, "LocalHost:8765", "http://localhost:8765"),
        (HOME, "127.0.0.1:8765", "http://127.0.0.1:8765"),
        (HOME, "[::1]:8765", "http://[::1]:8765"),
        (HOME, "localhost", "http://localhost"),
        (HOME, "localhost", "http://localhost:80"),
        (LAN, "192.168.0.7:8765", "http://192.168.0.7:8765"),
        (LAN, "192.168.0.7:8765", "https://world.example.org"),
        (LAN, "192.168.0.7:8765", "https://world.example.org:443"),
        (LAN, "world.example.org", "https://world.example.org"),
        (LAN, "box.lan:8080", "http://box.lan:8080"),
        (LAN, "box.lan:8080", None),
    ],
)
def test_a_page_that_may_connect(door: Door, host: str, origin: str | None) -> None:
    assert door.refuses(host, origin) is None


@pytest.mark.parametrize(
    "door, host, origin",
    [
        (HOME, "localhost:8765", "https://evil.example"),
        (HOME, "localhost:8765", "http://localhost:9999"),
        (HOME, "localhost:8765", "http://127.0.0.1:8765"),
        (HOME, "localhost:8765", "http://localhost:8765.evil.example"),
        (HOME, "localhost:8765", "http://localhost:8765/"),
        (HOME, "localhost:8765", "null"),
        (HOME, "localhost:8765", ""),
        (HOME, "localhost:8765", "http://[::1"),
        (HOME, "localhost:8765", "file://localhost:8765"),
        (LAN, "192.168.0.7:8765", "http://world.example.org"),
        (LAN, "192.168.0.7:8765", "https://world.example.org.evil.example"),
    ],
)
def test_a_page_of_another_site(door: Door, host: str, origin: str) -> None:
    assert door.refuses(host, origin) == (
        f"Pages of {origin!r} may not connect here; allow them with --origin."
    )


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8765",
        "localhost.evil.example",
        "evil.example",
        "",
        None,
        "localhost:x",
        "a@localhost",
        "localhost/x",
        "[::1",
    ],
)
def test_a_name_that_leads_here_and_is_not_ours(host: str | None) -> None:
    """What a page gets that has bound its own name to this machine."""
    for origin in (None, f"http://{host}"):
        assert HOME.refuses(host, origin) == (
            f"This server does not go by the name {host or ''!r}; allow it with --origin."
        )


@given(st.text(max_size=300), st.none() | st.text(max_size=300))
def test_no_header_breaks_the_door(host: str, origin: str | None) -> None:
    assert len(HOME.refuses(host, origin) or "x") < 1000
    assert HOME.refuses("localhost", origin) is None or origin is not None


@pytest.mark.parametrize(
    "offered, answered",
    [
        ([VERSION], VERSION),
        (["worldrt.v9", VERSION], VERSION),
        (["chat", "worldrt.v9", "worldrt.v8"], "worldrt.v9"),
        (["chat"], None),
        ([], None),
    ],
)
def test_subprotocol(offered: list[str], answered: str | None) -> None:
    assert subprotocol(offered) == answered


@pytest.mark.parametrize(
    "versions, said",
    [
        ((), "none"),
        (("worldrt.v9",), "worldrt.v9"),
        (("worldrt.v9", "worldrt.v8"), "worldrt.v9, worldrt.v8"),
        (("ü" * 200,), "ü" * 40),
    ],
)
def test_another_version(versions: tuple[str, ...], said: str) -> None:
    assert refuses_version(versions) == Refusal(
        Close.VERSION, f"This server speaks worldrt.v1, the client {said}: reload or update it."
    )


def test_our_version() -> None:
    assert refuses_version(("worldrt.v9", VERSION)) is None
