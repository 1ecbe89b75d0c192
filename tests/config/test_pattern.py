"""Route patterns: how each is read, and what is refused."""

import pytest

from atoll.config import RoutePattern, parse_pattern


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/", ("", True, "/", False)),
        ("/*", ("", True, "/", True)),
        ("/path/*", ("", True, "/path/", True)),
        ("/pa*", ("", True, "/pa", True)),
        ("/exact", ("", True, "/exact", False)),
        ("example.com", ("example.com", False, "/", False)),
        ("example.com/", ("example.com", False, "/", False)),
        ("example.com/path/*", ("example.com", False, "/path/", True)),
        ("*.example.com/*", (".example.com", True, "/", True)),
        ("*example.com/x", ("example.com", True, "/x", False)),
        ("*-dev.example.com/*", ("-dev.example.com", True, "/", True)),
        ("*/*", ("", True, "/", True)),
        ("HTTPS://Example.COM./*", ("example.com", False, "/", True)),
        ("http://example.com/*", ("example.com", False, "/", True)),
        ("*.bücher.example/ü*", (".xn--bcher-kva.example", True, "/%C3%BC", True)),
        ("[::1]/*", ("::1", False, "/", True)),
        ("127.0.0.1/*", ("127.0.0.1", False, "/", True)),
        ("/a/../b", ("", True, "/b", False)),
        ("/.*", ("", True, "/.", True)),
        ("/a/..*", ("", True, "/a/..", True)),
        ("/a b/*", ("", True, "/a%20b/", True)),
    ],
)
def test_read(text: str, expected: tuple[str, bool, str, bool]) -> None:
    """Host and path are taken apart into their normal forms."""
    assert parse_pattern(text) == RoutePattern(*expected)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "a host, a path or both"),
        ("a.*.example/x", "a * only at the start"),
        ("example.*/x", "a * only at the start"),
        ("/a/*/b", "a * only at the start"),
        ("/a**", "a * only at the start"),
        ("**.example/", "a * only at the start"),
        ("example.com/x?y=1", "no query"),
        ("example.com/x#y", "no query"),
        ("example.com:8080/*", "a host without port"),
        ("me@example.com/*", "a host without port and user"),
        ("ftp://example.com/*", "http:// or https://"),
        ("https:///x", "a host after the scheme"),
        ("https://", "a host, a path or both"),
        ("*.1.2.3/*", "a host name or an address"),
        ("exa mple.com/", "a host name or an address"),
        ("./x", "a host name"),
        ("*./x", "a host name"),
        ("*bücher.example/", "a * that stands before a dot"),
        ("example.com\\x/y", "/ between host and path"),
        ("*[::1]/", "a host name or an address"),
    ],
)
def test_refused(text: str, fault: str) -> None:
    """What is no pattern is refused with what is expected instead."""
    with pytest.raises(ValueError, match="^" + fault.replace("*", r"\*")):
        parse_pattern(text)
