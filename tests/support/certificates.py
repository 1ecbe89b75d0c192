"""Throw-away certificates for tests over TLS."""

import ssl
from pathlib import Path

import trustme


class Authority:
    """A certificate authority of one test: makes servers' contexts, and is what a client has to trust."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def server(self, *names: str) -> ssl.SSLContext:
        """A server's context with a certificate for these names (localhost and 127.0.0.1 if none are given)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*(names or ("localhost", "127.0.0.1"))).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        """A client's context that trusts this authority and no other."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._authority.configure_trust(context)
        return context

    def write(self, folder: Path) -> Path:
        """Write the authority's own certificate as a PEM file; its path."""
        path = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(path))
        return path
