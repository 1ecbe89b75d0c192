"""`[gateway]`, `[fetch]` and `[dev]`: the values that are more than a number."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from atoll.config import Config
from atoll.errors import ConfigError

Reads: TypeAlias = Callable[..., Config]
ONE = 'name = "one"\nmain = "main.py"\n'


@pytest.mark.parametrize(
    ("listen", "ip", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("[::1]:8081", "::1", 8081),
        (":8082", "0.0.0.0", 8082),
        ("localhost:0", "localhost", 0),
    ],
)
def test_listen(reads: Reads, listen: str, ip: str, port: int) -> None:
    """An address and a port; brackets around IPv6, and nothing for every address."""
    gateway = reads(f'{ONE}[gateway]\nlisten = "{listen}"').gateway
    assert (gateway.ip, gateway.port) == (ip, port)


@pytest.mark.parametrize("listen", ["8080", "::1:8080", "127.0.0.1", "a b:1", "x:-1", "x:٣", "[::1]", "[x]:1", ""])
def test_listen_refused(reads: Reads, listen: str) -> None:
    """Anything else is refused with examples."""
    with pytest.raises(ConfigError, match=r'gateway\.listen: read .* expected an address and a port, such as "127'):
        reads(f'{ONE}[gateway]\nlisten = "{listen}"')


def test_port_range(reads: Reads) -> None:
    """A port beyond the last is refused with the range."""
    with pytest.raises(ConfigError, match=r"gateway\.listen: read 65536, expected an integer from 0 to 65,535"):
        reads(f'{ONE}[gateway]\nlisten = ":65536"')
    with pytest.raises(ConfigError, match=r"dev\.port: read -1, expected an integer from 0 to 65,535"):
        reads(f"{ONE}[dev]\nport = -1")


def test_dev(reads: Reads) -> None:
    """The dev server's address can be chosen."""
    dev = reads(f'{ONE}[dev]\nip = "0.0.0.0"\nport = 1').dev
    assert (dev.ip, dev.port) == ("0.0.0.0", 1)


def test_address_rules(reads: Reads) -> None:
    """Hosts and networks are kept in their normal form."""
    text = '[fetch]\nallow = ["Example.COM", "*.bücher.example", "10.0.0.0/8", "::1", "127.0.0.1", "[fe80::]/10"]'
    assert reads(ONE + text.replace("[fe80::]/10", "FE80::/10")).fetch.allow == (
        "example.com", "*.xn--bcher-kva.example", "10.0.0.0/8", "::1/128", "127.0.0.1/32", "fe80::/10",
    )  # fmt: skip


@pytest.mark.parametrize(
    "rule",
    [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "1.2.3",
        "a*b.example",
        "*example.com",
        "*",
        "",
        "a.example:80",
        "a.example/x",
        "http://a.example",
    ],
)
def test_address_rules_refused(reads: Reads, rule: str) -> None:
    """What is neither a host nor a network is refused with its place in the list."""
    with pytest.raises(ConfigError, match=r'fetch\.deny\[1\]: read .* expected a host such as "example\.com"'):
        reads(f'{ONE}[fetch]\ndeny = ["ok.example", "{rule}"]')


def test_ca_file(reads: Reads, folder: Path) -> None:
    """A file of private authorities is found beside the configuration, and must be there."""
    (folder / "ca.pem").write_text("")
    assert reads(f'{ONE}[fetch]\nca_file = "ca.pem"').fetch.ca_file == folder / "ca.pem"
    with pytest.raises(ConfigError, match=r'fetch\.ca_file: read "no\.pem", expected a file that exists'):
        reads(f'{ONE}[fetch]\nca_file = "no.pem"')
