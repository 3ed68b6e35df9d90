"""Who may come in: tokens, origins, hosts, versions and rates.

Sans I/O: headers are arguments, and `now` is seconds of a monotonic clock.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from worldrt.errors import ServerError
from worldrt.protocol.terms import VERSION, Close

TOKEN_BYTES = 16
"""Random bytes of a token: 128 bits can't be guessed."""
UNSETTLED = 8
"""Former secrets of a session that may still be good."""


class Refusal(NamedTuple):
    """Why a connection ends: a code of the protocol and a sentence of at most 123 bytes."""

    code: Close
    why: str


class Bucket:
    """Lets through `rate` a second in the long run, and as many at once.

    Args:
        rate: a second, above 0.
    """

    def __init__(self, rate: float) -> None:
        self._rate = self._left = float(rate)
        self._seen = 0.0

    def take(self, now: float) -> bool:
        """Whether one more may pass."""
        gained = max(now - self._seen, 0.0) * self._rate
        self._left = min(self._left + gained, self._rate)
        self._seen = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Tickets:
    """Secrets that stand for sessions.

    One that is good for a single use is issued anew with each, and voided once its successor is
    known to have come: a connection may break in between. Only digests are kept and looked up, so
    that neither a dump nor the time that a look-up takes tells anything of a secret.
    """

    def __init__(self) -> None:
        self._session: dict[bytes, str] = {}
        self._digests: dict[str, list[bytes]] = {}

    def __len__(self) -> int:
        return len(self._session)

    def issue(self, session: str) -> str:
        """A new secret for `session`; the former ones stay good until `settle`, UNSETTLED of
        them."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        digest = _digest(token)
        self._session[digest] = session
        self._digests.setdefault(session, []).append(digest)
        self._keep(session, 1 + UNSETTLED)
        return token

    def settle(self, session: str) -> None:
        """The newest secret of `session` has come: the former ones are worth nothing now."""
        self._keep(session, 1)

    def find(self, token: str) -> str | None:
        """The session that `token` stands for."""
        return self._session.get(_digest(token))

    def revoke(self, session: str) -> None:
        """Forget the secrets of `session`, if it has some."""
        self._keep(session, 0)
        self._digests.pop(session, None)

    def _keep(self, session: str, most: int) -> None:
        digests = self._digests.get(session, [])
        while len(digests) > most:
            del self._session[digests.pop(0)]


class Door:
    """What is asked of a connection before a message of it is heeded.

    Args:
        host: address or name that the server listens at.
        token: what each `Hello` must bring; empty: nothing.
        origins: pages of other hosts that may connect, such as `https://example.org`.
        insecure: True: others than this machine may come without a token.

    Raises:
        ServerError: a host that others reach, without a token; an origin that is none.
    """

    def __init__(
        self,
        host: str,
        *,
        token: str = "",
        origins: Sequence[str] = (),
        insecure: bool = False,
    ) -> None:
        if not (token or insecure or is_loopback(host)):
            raise ServerError(
                f"{host} can be reached from other machines; give --token SECRET, or --insecure to "
                f"let in whoever comes."
            )
        for origin in origins:
            if _origin(origin) is None:
                raise ServerError(
                    f"{origin!r} is no origin of a page; write one such as https://example.org."
                )
        self._token = token
        self._origins = {_origin(origin) for origin in origins}
        self._names = {"localhost", host.lower()}
        self._names |= {urlsplit(origin).hostname for origin in origins}

    def refuses(self, host: str | None, origin: str | None) -> str | None:
        """Why a request must not be answered; None: it may.

        A page of another site can make a browser connect here: then `Origin` names that site. It
        can do so under a name of its own that leads to this machine: then `Host` has that name.

        Args:
            host: the header `Host`.
            origin: the header `Origin`; None: no browser sent it.
        """
        name = _host_name(host or "")
        if name is None or not (name in self._names or _is_address(name)):
            return f"This server does not go by the name {_quote(host)}; allow it with --origin."
        if origin is None or _origin(origin) in self._origins:
            return None
        # The port as well, since another program may serve pages on this machine.
        if urlsplit(_origin(origin) or "").netloc != (host or "").lower():
            return f"Pages of {_quote(origin)} may not connect here; allow them with --origin."
        return None

    def admits(self, token: str) -> bool:
        """Whether a `Hello` with `token` may come in; takes equally long for any wrong one."""
        return not self._token or hmac.compare_digest(_digest(token), _digest(self._token))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    name = host.lower().strip("[]")
    return name == "localhost" or (_is_address(name) and ip_address(name).is_loopback)


def subprotocol(offered: Sequence[str]) -> str | None:
    """Which of the subprotocols that a client offers is spoken; None: it offers none of ours.

    To one of another version its own is answered: a browser drops a connection whose offer is not
    taken up without a word, and the sentence that refuses it would never be read.
    """
    ours = [name for name in offered if name.startswith("worldrt.")]
    return VERSION if VERSION in ours else ours[0] if ours else None


def refuses_version(versions: Sequence[str]) -> Refusal | None:
    """Why a client that speaks `versions` can't be served; None: it can."""
    if VERSION in versions:
        return None
    theirs = ", ".join(versions)[:40] or "none"
    return Refusal(
        Close.VERSION, f"This server speaks {VERSION}, the client {theirs}: reload or update it."
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _quote(text: str | None) -> str:
    return repr((text or "")[:60])


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _host_name(host: str) -> str | None:
    """The name in a header `Host`, in small letters; None: it is none."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018  (raises where it is no number)
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


def _origin(text: str) -> str | None:
    """An origin in its one spelling; None: it is none, such as `null`."""
    try:
        parts = urlsplit(text.lower())
        port = parts.port
    except ValueError:
        return None
    plain = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in ("http", "https") or not parts.hostname or plain != text.lower():
        return None
    standard = port == {"http": 80, "https": 443}[parts.scheme]
    return plain.rpartition(":")[0] if standard else plain
