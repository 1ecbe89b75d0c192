"""What kind of place an IP address is: pure answers for the address rules.

An IPv6 address may carry an IPv4 one inside (mapped, 6to4, NAT64, Teredo); each is judged, for the packet may end
at either. Source: the IANA special-purpose address registries; RFC 4291, 3056, 6052, 8215, 4380; the metadata
addresses are those that the cloud providers publish.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE: Final = IPv6Network("::/96")

_NEVER: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("169.254.0.0/16", "link-local, where cloud metadata is served"),
        ("fe80::/10", "link-local"),
        ("fd00:ec2::254/128", "a cloud metadata address"),
        ("fd20:ce::254/128", "a cloud metadata address"),
        ("100.100.100.200/32", "a cloud metadata address"),
        ("168.63.129.16/32", "a cloud metadata address"),
        ("192.0.0.192/32", "a cloud metadata address"),
        ("0.0.0.0/8", "unspecified"),
        ("::/128", "unspecified"),
        ("224.0.0.0/4", "multicast"),
        ("ff00::/8", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
    )
)


@lru_cache(maxsize=1024)
def forms_of(text: str) -> tuple[Address, ...]:
    """The address and every IPv4 address that it carries; `ValueError` for what is no address."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        return (address,)
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in _NAT64):
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    if address in _COMPATIBLE and int(address) > 0xFFFF:
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return (address, *(found for found in inner if found is not None))


def is_literal(hostname: str) -> bool:
    """Whether the host of a URL is an address and no name."""
    if not (hostname[-1:].isdigit() or ":" in hostname):
        return False
    try:
        forms_of(hostname)
    except ValueError:
        return False
    return True


def forbidden_kind(forms: tuple[Address, ...]) -> str | None:
    """Why nothing may connect to it unless it was allowed by name; None when there is no reason."""
    for address in forms:
        for network, kind in _NEVER:
            if address in network:
                return kind
    return None


def is_public(forms: tuple[Address, ...]) -> bool:
    """Whether every form of it is on the public internet: not loopback, private, shared, or for documentation."""
    inner = forms[1:]
    return all(address.is_global for address in inner) if inner else forms[0].is_global
