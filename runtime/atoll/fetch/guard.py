"""Where subrequests may go: scheme, host and address rules, judged for every hop and inside every connect.

`fetch.deny` wins over `fetch.allow`, and `fetch.allow` over the rules that are built in: loopback and private networks
may be reached; link-local, cloud metadata, unspecified, multicast and reserved addresses may not; and a redirect that
comes from a public address must not lead to one that is not public.
The address that was judged is the one that is connected to; a name is not resolved a second time in between.
Through `fetch.proxy` it is the proxy that resolves the target's name: its address is not known here and cannot be
judged, so that of these rules only those about schemes, names and addresses written into the URL hold; the rest is
the proxy's duty. The proxy's own address, like a Unix socket, was chosen by the operator and is always allowed.
Source: OWASP's cheat sheet on server-side request forgery.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from atoll.errors import AddressDenied
from atoll.fetch.address import Address, Network, forbidden_kind, forms_of, is_literal, is_public
from atoll.fetch.resolve import AddressInfo
from atoll.http.url import URL

_HOW_TO_ALLOW = "to permit it name the host or the network in fetch.allow (wrangler-like.toml)"


class Guard:
    """The rules of one process."""

    def __init__(self, allow: Sequence[str] = (), deny: Sequence[str] = ()) -> None:
        self._allow = Rules(allow)
        self._deny = Rules(deny)

    def check_url(self, url: URL) -> None:
        """Refuse a URL for what stands in it; `AddressDenied`."""
        if url.scheme not in ("http", "https"):
            raise AddressDenied(f"fetch cannot go to {url.scheme!r} URLs; expected http or https")
        if url.has_credentials:
            raise AddressDenied(
                f"the URL for {url.origin} holds a user name or password, which would leak into logs and redirects; "
                "send an Authorization header"
            )
        if self._deny.names and (rule := self._deny.host_rule(url.hostname)) is not None:
            raise AddressDenied(f"the host {url.hostname} is denied by the rule {rule!r} of fetch.deny")

    def check_address(self, hostname: str, address: str, *, redirected: bool) -> bool:
        """Judge one address of a host; `AddressDenied`, or whether the address is on the public internet.

        `redirected`: an answer from a public address led here.
        """
        forms = forms_of(address)
        public = is_public(forms)
        what = f"{hostname} is at {address}, which" if hostname != address else f"the address {address}"
        if (rule := self._deny.network_rule(forms)) is not None:
            raise AddressDenied(f"{what} is denied by the rule {rule!r} of fetch.deny")
        kind = forbidden_kind(forms)
        if kind is None and (public or not redirected):
            return public
        if self._allow.host_rule(hostname) is not None or self._allow.network_rule(forms) is not None:
            return public
        if kind is not None:
            raise AddressDenied(f"{what} is {kind}; {_HOW_TO_ALLOW}")
        raise AddressDenied(f"{what} is not public, and a public server redirected there; {_HOW_TO_ALLOW}")

    def allowed(self, hostname: str, infos: list[AddressInfo], *, redirected: bool) -> list[AddressInfo]:
        """Those of a host's addresses that may be connected to; `AddressDenied` if there are none."""
        allowed: list[AddressInfo] = []
        denied: AddressDenied | None = None
        for info in infos:
            try:
                self.check_address(hostname, info[4][0], redirected=redirected)
            except AddressDenied as denial:
                denied = denial
            else:
                allowed.append(info)
        if denied is not None and not allowed:
            raise denied
        return allowed

    def check_proxied(self, hostname: str, *, redirected: bool) -> None:
        """Judge a host that a proxy will connect to: only an address in its place can be; `AddressDenied`."""
        if is_literal(hostname):
            self.check_address(hostname, hostname, redirected=redirected)

    def check_socket(self, origin: str, hostname: str, *, redirected: bool) -> None:
        """Refuse to let a public server redirect to a Unix socket; `AddressDenied`."""
        if redirected and self._allow.host_rule(hostname) is None:
            raise AddressDenied(
                f"{origin} is a Unix socket (fetch.unix), and a public server redirected there; {_HOW_TO_ALLOW}"
            )


class Rules:
    """One list of host names ("example.com", "*.example.com") and networks ("10.0.0.0/8")."""

    def __init__(self, rules: Iterable[str]) -> None:
        self.names: frozenset[str]
        names: set[str] = set()
        self._networks: list[tuple[Network, str]] = []
        for rule in rules:
            try:
                self._networks.append((ip_network(rule), rule))
            except ValueError:
                names.add(rule.lower().removesuffix("."))
        self.names = frozenset(names)

    def covers(self, hostname: str) -> bool:
        """Whether a rule names the host, or holds the address that stands in its place; nothing is resolved."""
        if self.names and self.host_rule(hostname) is not None:
            return True
        return bool(self._networks) and is_literal(hostname) and self.network_rule(forms_of(hostname)) is not None

    def host_rule(self, hostname: str) -> str | None:
        """The rule that covers a host name."""
        name = hostname.removesuffix(".")
        if name in self.names:
            return name
        while "." in name:
            name = name.partition(".")[2]
            if f"*.{name}" in self.names:
                return f"*.{name}"
        return None

    def network_rule(self, forms: tuple[Address, ...]) -> str | None:
        """The rule that covers an address in any of its forms."""
        for network, rule in self._networks:
            for address in forms:
                if address.version == network.version and address in network:
                    return rule
        return None
