"""What kind of place an address is, in every form in which it can be written."""

import pytest

from atoll.fetch.address import forbidden_kind, forms_of, is_public


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("169.254.169.254", "link-local"),
        ("169.254.0.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("febf::1", "link-local"),
        ("fd00:ec2::254", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("240.0.0.1", "reserved"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::ffff:a9fe:a9fe", "link-local"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("::169.254.169.254", "link-local"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("64:ff9b:1::a9fe:a9fe", "link-local"),
        ("64:ff9b::6464:64c8", "metadata"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("2002:0:1::", "unspecified"),
        ("2001:0:a9fe:a9fe::", "link-local"),
        ("127.0.0.1", None),
        ("::1", None),
        ("10.0.0.1", None),
        ("192.168.1.1", None),
        ("fd00::1", None),
        ("8.8.8.8", None),
        ("2606:4700::1111", None),
        ("::ffff:127.0.0.1", None),
    ],
)
def test_kinds(address: str, kind: str | None) -> None:
    """Link-local, metadata, unspecified, multicast and reserved addresses are known, plain or inside another."""
    found = forbidden_kind(forms_of(address))
    assert (found is None) == (kind is None)
    assert kind is None or kind in (found or "")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("::1", False),
        ("fd12::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("::127.0.0.1", False),
    ],
)
def test_public(address: str, public: bool) -> None:
    """An address is public only if every form of it is."""
    assert is_public(forms_of(address)) is public


def test_what_is_no_address() -> None:
    """A name is not an address."""
    with pytest.raises(ValueError, match="localhost"):
        forms_of("localhost")
