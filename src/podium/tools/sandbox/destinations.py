"""Where a sandbox (or a tool that fetches) may connect: patterns of hosts, and which addresses are nobody's but ours.

Pure decisions: nothing here resolves a name or opens a connection. The shell is `network`, the proxy of a sandbox.

A pattern is one of

    example.com            this host                    *.example.com     its subdomains, not the host itself
    example.com:8443       this host on one port        *                 any host with a public address
    10.0.0.5, [fd00::5]    this address                 10.0.0.0/8:5432   the addresses of a network, on one port
    localhost:8000         this machine (127.0.0.1 and ::1)

Ports are 80 and 443 unless a pattern names one. A name that resolves to an address that is not public is refused
unless an address pattern covers it too: listing a name trusts the name, not whatever its owner makes it point to.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import msgspec

from podium.core.errors import ConfigurationError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

WEB_PORTS = (80, 443)
"""The ports a pattern without a port allows."""

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_PORT = re.compile(r"[0-9]{1,5}")

# IANA IPv4 Special-Purpose Address Registry (RFC 6890 and successors), multicast, and the address in public space at
# which Azure answers every virtual machine about itself.
_RESERVED_4 = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this machine"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "metadata of a cloud"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarks"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
# IANA IPv6 Special-Purpose Address Registry: outside 2000::/3 nothing is global unicast, inside it these are not.
_RESERVED_6 = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")


def embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to `address` may end at: mapped (RFC 4291), NAT64 (RFC 6052) or 6to4 (RFC 3056)."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return None


def not_public(address: Address) -> str | None:
    """Why `address` is not one of the public internet (`"loopback"`, `"private"`, ...), or None when it is."""
    if isinstance(address, IPv6Address):
        inner = embedded(address)
        if inner is not None:
            return not_public(inner)
        for network, why in _RESERVED_6:
            if address in network:
                return why
        return None if address in _GLOBAL_6 else "reserved"
    return next((why for network, why in _RESERVED_4 if address in network), None)


def parse_address(text: str) -> Address | None:
    """The address that `text` spells in its one usual form (brackets allowed), or None.

    An IPv4-mapped IPv6 address is the IPv4 address. A zone (`fe80::1%eth0`) is no address here.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if "%" in bare:
        return None
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_host(text: str) -> str | Address:
    """A host as a normal name (lower case, no final dot, IDNA in its ASCII form) or an address.

    Raises ValueError with one line on anything else: above all on the spellings of an address that some libraries
    read and others do not (`2130706433`, `0177.0.0.1`, `0x7f.1`, `127.1`), with which checks are passed by.
    """
    address = parse_address(text)
    if address is not None:
        return address
    try:
        name = text.encode("ascii").decode() if text.isascii() else text.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"{text!r} is not a host name") from None
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{text!r} is not a host name")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        raise ValueError(f"{text!r} is an unusual spelling of an address; write it as 192.0.2.1")
    return name


def split_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address, as host and port. Raises ValueError."""
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not host:port")
        host, port = host[1:], rest[1:] if rest else None
        if ":" not in host:
            raise ValueError(f"{text!r} has brackets around something that is not IPv6")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, None
    if port is None:
        return host, None
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} has no port between 1 and 65535")
    return host, int(port)


class Pattern(msgspec.Struct, frozen=True):
    """One entry of an allow-list: `name` (`"*"`, `"*.example.com"`, `"example.com"`) or `network`, and its ports."""

    name: str | None
    network: Network | None
    ports: tuple[int, ...]

    def names(self, host: str, port: int) -> bool:
        """Does this entry list the name `host`?"""
        if self.name is None or port not in self.ports:
            return False
        if self.name == "*":
            return True
        return host.endswith(self.name[1:]) if self.name.startswith("*.") else host == self.name

    def covers(self, address: Address, port: int) -> bool:
        """Does this entry list `address` as an address?"""
        return self.network is not None and port in self.ports and address in self.network


def parse_pattern(text: str) -> list[Pattern]:
    """The entries that one pattern stands for. Raises ConfigurationError with what to write instead."""
    hint = 'write "example.com", "*.example.com", "example.com:8443", "10.0.0.5" or "10.0.0.0/8:5432"'
    if "://" in text:
        raise ConfigurationError(f"network: {text!r} is an address of a page, not of a host; {hint}")
    try:
        host, port = split_port(text.strip())
        ports = WEB_PORTS if port is None else (port,)
        if "/" in host:
            return [Pattern(None, _unmapped(ipaddress.ip_network(host)), ports)]
        if host == "*":
            return [Pattern("*", None, ports)]
        parsed = parse_host(host.removeprefix("*."))
        if not isinstance(parsed, str):
            if host.startswith("*."):
                parsed = parse_host(host)  # raises: a star is no part of an address
            return [Pattern(None, ipaddress.ip_network(parsed), ports)]
    except ValueError as error:
        raise ConfigurationError(f"network: {text!r} cannot be read ({error}); {hint}") from None
    if host.startswith("*."):
        return [Pattern(f"*.{parsed}", None, ports)]
    entries = [Pattern(parsed, None, ports)]
    if parsed == "localhost":
        entries += [Pattern(None, ipaddress.ip_network(own), ports) for own in ("127.0.0.1", "::1")]
    return entries


def _unmapped(network: Network) -> Network:
    """Addresses are compared without their IPv4 mapping, and so are networks."""
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= 96:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


class Allowance(msgspec.Struct, frozen=True):
    """An allow-list of destinations. `Allowance.of(True)` is any public host on the ports of the web."""

    entries: tuple[Pattern, ...]

    @classmethod
    def of(cls, allow: bool | Sequence[str]) -> Allowance:
        """Read `allow`: True, False (nothing) or patterns. Raises ConfigurationError on a pattern nobody can read."""
        if isinstance(allow, bool):
            return cls((Pattern("*", None, WEB_PORTS),) if allow else ())
        if isinstance(allow, str):
            raise ConfigurationError(f"network: give a list of hosts: network=[{allow!r}]")
        return cls(tuple(entry for text in allow for entry in parse_pattern(text)))

    def refuses_host(self, host: str | Address, port: int) -> str | None:
        """Why (host, port) is refused before any name is resolved, or None when addresses may be looked at.

        Names that are not listed are never looked up: a question to a name server is a message to its owner.
        """
        if isinstance(host, str):
            listed = any(entry.names(host, port) for entry in self.entries)
        else:
            listed = any(
                entry.covers(host, port) or (entry.name == "*" and port in entry.ports) for entry in self.entries
            )
        if listed:
            return None
        there = spelled(host, port)
        return f"{there} is not on this sandbox's list of hosts; to allow it add {_entry(host, port)} to network"

    def refuses_address(self, host: str | Address, address: Address, port: int, *, own: bool = False) -> str | None:
        """Why `address`, to which `host` resolved, is refused, or None. `own`: it is an address of this machine."""
        if any(entry.covers(address, port) for entry in self.entries):
            return None
        why = not_public(address) or ("of this machine" if own else None)
        if why is None:
            return None
        which = "" if host == address else f" is {address},"
        subject = spelled(host, port) if which else spelled(address, port)
        link = f"{which} an address that is not public" if which else " is not a public address"
        return f"{subject}{link} ({why}); to allow it add {_entry(address, port)} to network"

    def choose(
        self, host: str | Address, addresses: Iterable[Address], port: int, *, own: Iterable[Address] = ()
    ) -> tuple[list[Address], str | None]:
        """The addresses that may be connected to, in order, and why the first of the others is refused."""
        mine = set(own)
        kept: list[Address] = []
        refusal: str | None = None
        for address in addresses:
            reason = self.refuses_address(host, address, port, own=address in mine)
            if reason is None:
                kept.append(address)
            else:
                refusal = refusal or reason
        return kept, refusal


def spelled(host: str | Address, port: int | None = None) -> str:
    """`host:port` as it stands in a URL."""
    name = f"[{host}]" if isinstance(host, IPv6Address) else str(host)
    return name if port is None else f"{name}:{port}"


def _entry(host: str | Address, port: int) -> str:
    return f'"{spelled(host, None if port in WEB_PORTS else port)}"'
