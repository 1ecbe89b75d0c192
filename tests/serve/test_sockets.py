"""Listening: what the words mean, and what an operator reads when it cannot be."""

import os
import socket

import pytest

from atoll.errors import StartError
from atoll.serve.sockets import listen, port_of, url_of


@pytest.fixture
def taken() -> socket.socket:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def test_localhost_is_both_families_on_one_port() -> None:
    """A browser that takes ::1 for localhost finds the server too; port 0 finds a port free on both."""
    sockets = listen("localhost", 0)
    assert {sock.getsockname()[0] for sock in sockets} <= {"127.0.0.1", "::1"}
    assert len({port_of(sock) for sock in sockets}) == 1
    assert sockets[0].getsockname()[0] == "127.0.0.1"
    close(sockets)


def test_a_port_in_use_names_the_holder_and_the_way_out(taken: socket.socket) -> None:
    """The message names address, port, pid and command of who holds it, and the option that helps."""
    with pytest.raises(StartError) as caught:
        listen("127.0.0.1", port_of(taken))
    text = str(caught.value)
    assert f"127.0.0.1:{port_of(taken)}" in text
    assert f"process {os.getpid()} (" in text
    assert "--port" in text


def test_localhost_with_one_family_taken_leaves_the_other_free(taken: socket.socket) -> None:
    """A failed start keeps no half of a pair."""
    with pytest.raises(StartError, match="in use"):
        listen("localhost", port_of(taken))
    with socket.socket(socket.AF_INET6) as other:
        try:
            other.bind(("::1", port_of(taken)))
        except OSError as error:
            pytest.skip(f"this machine has no ::1 ({error.strerror})")


@pytest.mark.parametrize("ip", ["example.com", "127.0.0.256", "", "127.0.0.1:80"])
def test_what_is_no_address_says_what_one_is(ip: str) -> None:
    """Names and misspelt numbers are refused before any resolver is asked."""
    with pytest.raises(StartError, match="is not an IP address"):
        listen(ip, 0)


def test_an_address_of_another_machine_is_told() -> None:
    """192.0.2.1 is reserved for documentation, so that no machine has it."""
    with pytest.raises(StartError, match=r"no such address.*--ip"):
        listen("192.0.2.1", 0)


def test_a_privileged_port_says_what_is_missing() -> None:
    """Without the capability, ports below 1024 are refused with words rather than with an errno."""
    if os.geteuid() == 0:
        pytest.skip("root may bind any port")
    with pytest.raises(StartError, match="CAP_NET_BIND_SERVICE"):
        listen("127.0.0.1", 80)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_told(port: int) -> None:
    """Not an OverflowError."""
    with pytest.raises(StartError, match="65535"):
        listen("127.0.0.1", port)


def test_urls_put_ipv6_into_brackets() -> None:
    """RFC 3986, section 3.2.2."""
    assert url_of("::1", 80) == "http://[::1]:80"
    assert url_of("localhost", 8787) == "http://localhost:8787"
