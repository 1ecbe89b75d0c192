"""`fetch.proxy`, `fetch.no_proxy` and `fetch.unix`."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from atoll.config import Config, ProxyConfig
from atoll.errors import ConfigError

Reads: TypeAlias = Callable[..., Config]
ONE = 'name = "one"\nmain = "main.py"\n[fetch]\n'


def test_proxy(reads: Reads) -> None:
    """Credentials of the URL become Proxy-Authorization, and nothing that is printed shows them."""
    text = 'proxy = "http://us%40er:p%3Ass@Proxy.example:3128"\nno_proxy = ["*.Internal", "10.0.0.0/8"]'
    fetch = reads(ONE + text).fetch
    assert fetch.proxy == ProxyConfig(
        hostname="proxy.example", port=3128, origin="http://proxy.example:3128", authorization="Basic dXNAZXI6cDpzcw=="
    )
    assert fetch.no_proxy == ("*.internal", "10.0.0.0/8")
    assert "dXN" not in repr(fetch)
    plain = reads(ONE + 'proxy = "http://[::1]"').fetch.proxy
    assert plain == ProxyConfig(hostname="::1", port=80, origin="http://[::1]")


@pytest.mark.parametrize("text", ["proxy.example:3128", "https://p:1", "socks5://p:1", "http://s3cret:x@p/path", ""])
def test_proxy_refused(reads: Reads, text: str) -> None:
    """Anything but an HTTP proxy is refused with examples, and without what was read."""
    with pytest.raises(
        ConfigError, match=r"fetch\.proxy: cannot be used, expected the URL of an HTTP proxy"
    ) as refused:
        reads(f'{ONE}proxy = "{text}"')
    assert "s3cret" not in str(refused.value)


def test_unix(reads: Reads, folder: Path) -> None:
    """Origins in their normal form; paths are seen from the configuration's folder."""
    sockets = reads(ONE + 'unix = { "http://Docker/" = "/run/docker.sock", "https://a:8443" = "a.sock" }').fetch.unix
    assert sockets == {"http://docker": Path("/run/docker.sock"), "https://a:8443": folder / "a.sock"}


@pytest.mark.parametrize("key", ["docker", "ftp://docker", "http://docker/v1", "http://u:p@docker", "http://d?x"])
def test_unix_refused(reads: Reads, key: str) -> None:
    """A key that is no origin, and a path the kernel has no room for, are refused with their place."""
    with pytest.raises(ConfigError, match=r'fetch\.unix\."[^"]+": expected an origin as the key'):
        reads(f'{ONE}unix = {{ "{key}" = "/run/x" }}')
    with pytest.raises(ConfigError, match=r"the path of a Unix socket, at most 107 bytes"):
        reads(f'{ONE}unix = {{ "http://docker" = "/{"x" * 120}" }}')


def test_http2(reads: Reads) -> None:
    """Hosts in their normal form, without the port that https has anyway; anything else is refused."""
    assert reads(ONE + 'http2 = ["API.example:443", "127.0.0.1:9443"]').fetch.http2 == ("api.example", "127.0.0.1:9443")
    with pytest.raises(ConfigError, match=r'fetch\.http2\[0\]: read "https://a", expected a host such as'):
        reads(ONE + 'http2 = ["https://a"]')
