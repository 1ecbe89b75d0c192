"""Where subrequests may go: by scheme, host and address, first and after a redirect."""

import pytest

from atoll.errors import AddressDenied
from atoll.fetch.guard import Guard
from atoll.http.url import parse
from support.subrequests import bytes_of, subrequests
from support.upstream import ScriptedUpstream, answer


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ftp://example.com/", "expected http or https"),
        ("file:///etc/passwd", "expected http or https"),
        ("ws://example.com/", "expected http or https"),
        ("http://user:secret@example.com/", "user name or password"),
        ("http://user@example.com/", "user name or password"),
        ("http://evil.test/", "rule 'evil.test' of fetch.deny"),
        ("http://EVIL.test./", "rule 'evil.test' of fetch.deny"),
        ("http://a.b.wild.test/", r"rule '\*.wild.test' of fetch.deny"),
    ],
)
def test_urls_that_are_refused(url: str, text: str) -> None:
    """The error names what was wrong and where, and never repeats a password."""
    guard = Guard(deny=("evil.test", "*.wild.test"))
    with pytest.raises(AddressDenied, match=text) as denial:
        guard.check_url(parse(url))
    assert "secret" not in str(denial.value)


@pytest.mark.parametrize(
    "url", ["http://wild.test/", "http://notevil.test/", "https://evil.test.example/", "http://[::1]/"]
)
def test_urls_that_are_not(url: str) -> None:
    """A host rule covers its host, a starred one its subdomains, and neither what merely looks alike."""
    Guard(deny=("evil.test", "*.wild.test")).check_url(parse(url))


ADDRESSES = [
    # allow, deny, host, address, redirected, denied by
    ((), (), "a.test", "8.8.8.8", False, None),
    ((), (), "a.test", "127.0.0.1", False, None),
    ((), (), "a.test", "10.0.0.1", False, None),
    ((), (), "a.test", "127.0.0.1", True, "fetch.allow"),
    ((), (), "a.test", "10.0.0.1", True, "fetch.allow"),
    ((), (), "a.test", "8.8.8.8", True, None),
    (("a.test",), (), "a.test", "10.0.0.1", True, None),
    (("*.test",), (), "a.test", "10.0.0.1", True, None),
    (("b.test",), (), "a.test", "10.0.0.1", True, "fetch.allow"),
    (("10.0.0.0/8",), (), "a.test", "10.0.0.1", True, None),
    (("10.0.0.0/8",), (), "a.test", "::ffff:10.0.0.1", True, None),
    (("10.0.0.0/8",), (), "a.test", "192.168.0.1", True, "fetch.allow"),
    ((), (), "a.test", "169.254.169.254", False, "cloud metadata"),
    (("169.254.169.254/32",), (), "a.test", "169.254.169.254", False, None),
    (("a.test",), (), "a.test", "169.254.169.254", False, None),
    (("a.test",), ("169.254.0.0/16",), "a.test", "169.254.169.254", False, "fetch.deny"),
    ((), ("10.0.0.0/8",), "a.test", "10.0.0.1", False, "rule '10.0.0.0/8' of fetch.deny"),
    ((), ("10.0.0.0/8",), "a.test", "::ffff:10.0.0.1", False, "fetch.deny"),
    ((), ("fd00::/8",), "a.test", "fd00::1", False, "fetch.deny"),
    ((), ("10.0.0.0/8",), "a.test", "fd00::1", False, None),
]


@pytest.mark.parametrize(("allow", "deny", "host", "address", "redirected", "denied"), ADDRESSES)
def test_addresses(
    allow: tuple[str, ...], deny: tuple[str, ...], host: str, address: str, redirected: bool, denied: str | None
) -> None:
    """Deny wins over allow, and allow over what is built in; the error names host, address and rule."""
    guard = Guard(allow, deny)
    if denied is None:
        guard.check_address(host, address, redirected=redirected)
        return
    with pytest.raises(AddressDenied, match=denied) as denial:
        guard.check_address(host, address, redirected=redirected)
    assert host in str(denial.value)
    assert address in str(denial.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0.0.0.0:1/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
    ],
)
async def test_metadata_is_out_of_reach_however_it_is_written(url: str) -> None:
    """The address is judged in the form in which it would be connected to."""
    async with subrequests() as engine:
        with pytest.raises(AddressDenied, match=r"fetch\.allow"):
            await engine.get(url)
        assert engine.budget.subrequests == 1


async def test_a_denied_network_is_not_connected_to() -> None:
    """A name that leads into a denied network is refused when it is resolved, and nothing is connected to."""
    async with ScriptedUpstream([answer()]) as upstream:
        async with subrequests(deny=("127.0.0.0/8", "::1/128")) as engine:
            for url in (upstream.url(), f"http://localhost:{upstream.port}/"):
                with pytest.raises(AddressDenied, match=r"127\.0\.0\.0/8|::1/128"):
                    await engine.get(url)
        async with subrequests(deny=("127.0.0.0/30",), allow=("127.0.0.1/32",)) as engine:
            with pytest.raises(AddressDenied):
                await engine.get(upstream.url())
        assert upstream.connections_ever == 0
        async with subrequests(deny=("10.0.0.0/8",)) as engine:
            assert await bytes_of(await engine.get(upstream.url())) == b""
