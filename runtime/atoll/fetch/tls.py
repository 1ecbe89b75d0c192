"""TLS towards upstreams: whom to trust, and sessions that are taken up again.

No loop lets its caller hand over a session, but each makes its TLS objects by `wrap_bio` of the settings that it is
given, and there a session can be put in.
Invariants: a session is taken up only under the very settings and on the very route on which its server was proven
good, and not beyond its lifetime; nothing is kept of an upstream that never answered.
Source: RFC 8446, section 2.2; RFC 5077.
"""

import ssl
import time
from pathlib import Path
from typing import Final, cast

from atoll.errors import ConfigError

SESSIONS_MAX: Final = 512


class _Resumed:
    """Settings as a loop uses them: all that it ever asks of a context is `wrap_bio`."""

    __slots__ = ("_context", "_session")

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession) -> None:
        self._context = context
        self._session = session

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
    ) -> ssl.SSLObject:
        return self._context.wrap_bio(incoming, outgoing, server_side, server_hostname, self._session)


class Sessions:
    """The last session of each route, the routes used last."""

    def __init__(self) -> None:
        self._sessions: dict[str, ssl.SSLSession] = {}

    def resuming(self, context: ssl.SSLContext, key: str) -> ssl.SSLContext:
        """The settings for the next connection on a route: those given, and the session of the last one."""
        session = self._sessions.get(key)
        if session is None:
            return context
        if time.time() >= session.time + session.timeout:
            del self._sessions[key]
            return context
        # A context of its own for each session would load the authorities again, and could not resume this one's.
        return cast(ssl.SSLContext, _Resumed(context, session))

    def keep(self, key: str, tls: ssl.SSLObject) -> None:
        """Keep the session of a connection that has carried an exchange; in TLS 1.3 its tickets have come by then."""
        session = tls.session
        if session is None:
            return
        self._sessions.pop(key, None)
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]  # The oldest, as a dictionary keeps its order.
        self._sessions[key] = session

    def __len__(self) -> int:
        return len(self._sessions)


def trust(ca_file: Path | None = None) -> ssl.SSLContext:
    """The TLS client settings: the system's authorities and those of `fetch.ca_file`; names are always checked."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"fetch.ca_file = {str(ca_file)!r} cannot be used: {error}; expected a file of PEM certificates"
            ) from None
    return context
