# ruff: noqa: S104 (addresses to refuse, bound by nobody)
"""Which hosts and addresses an allow-list lets through: decisions only, no sockets."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.core.errors import ConfigurationError
from podium.tools.sandbox.destinations import Allowance, not_public, parse_address, parse_host


def allowed(patterns: bool | list[str], host: str, port: int = 443, *answers: str) -> bool:
    allowance = Allowance.of(patterns)
    parsed = parse_host(host)
    if allowance.refuses_host(parsed, port) is not None:
        return False
    found = [parsed] if not isinstance(parsed, str) else [ipaddress.ip_address(answer) for answer in answers]
    return bool(allowance.choose(parsed, found, port)[0])


@pytest.mark.parametrize(
    ("patterns", "host", "port", "answer"),
    [
        (["example.com"], "example.com", 443, "1.1.1.1"),
        (["example.com"], "EXAMPLE.com.", 80, "1.1.1.1"),
        (["*.example.com"], "a.b.example.com", 443, "1.1.1.1"),
        (["example.com:8443"], "example.com", 8443, "1.1.1.1"),
        (["bücher.example"], "xn--bcher-kva.example", 443, "1.1.1.1"),
        (["db.internal:5432", "10.0.0.0/8:5432"], "db.internal", 5432, "10.1.2.3"),
        (["10.0.0.5"], "10.0.0.5", 80, ""),
        (["[fd00::5]:8080"], "[fd00::5]", 8080, ""),
        (["localhost:8000"], "localhost", 8000, "127.0.0.1"),
        (["::ffff:10.0.0.0/104"], "10.9.9.9", 80, ""),
        (["10.0.0.5"], "::ffff:10.0.0.5", 80, ""),
        (True, "example.com", 443, "1.1.1.1"),
        (True, "1.1.1.1", 80, ""),
        (["*:8080"], "example.com", 8080, "2606:4700::1"),
    ],
)
def test_what_is_listed_is_reached(patterns: bool | list[str], host: str, port: int, answer: str) -> None:
    assert allowed(patterns, host, port, answer or "1.1.1.1")


@pytest.mark.parametrize(
    ("patterns", "host", "port", "answer"),
    [
        ([], "example.com", 443, "1.1.1.1"),
        (False, "example.com", 443, "1.1.1.1"),
        (["example.com"], "example.com.evil.org", 443, "1.1.1.1"),
        (["example.com"], "notexample.com", 443, "1.1.1.1"),
        (["*.example.com"], "example.com", 443, "1.1.1.1"),
        (["*.example.com"], "evilexample.com", 443, "1.1.1.1"),
        (["example.com"], "example.com", 22, "1.1.1.1"),
        (["example.com"], "1.1.1.1", 443, ""),
        (["db.internal:5432"], "db.internal", 5432, "10.1.2.3"),
        (["db.internal:5432", "10.0.0.0/8"], "db.internal", 5432, "10.1.2.3"),
        (["1.1.1.0/24"], "one.example", 443, "1.1.1.1"),
        (True, "example.com", 8080, "1.1.1.1"),
        (True, "example.com", 443, "127.0.0.1"),
        (True, "localhost", 80, "127.0.0.1"),
        (True, "169.254.169.254", 80, ""),
    ],
)
def test_what_is_not_listed_is_refused(patterns: bool | list[str], host: str, port: int, answer: str) -> None:
    assert not allowed(patterns, host, port, answer or "1.1.1.1")


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001::1",
        "2001:db8::1",
        "fec0::1",
        "100::1",
        "5f00::1",
    ],
)
def test_no_address_of_a_private_kind_counts_as_public(address: str) -> None:
    assert not_public(ipaddress.ip_address(address)) is not None


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_do(address: str) -> None:
    assert not_public(ipaddress.ip_address(address)) is None


@given(st.ip_addresses())
def test_the_library_and_we_agree_that_what_it_calls_private_is_not_public(address: ipaddress.IPv4Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert not_public(address) is not None


@pytest.mark.parametrize(
    "spelling",
    ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "127.0.0.1.", "1.2.3.4.5", "127.0.0.0x1", "0"],
)
def test_odd_spellings_of_an_address_are_nobody_s_name(spelling: str) -> None:
    with pytest.raises(ValueError, match="spelling"):
        parse_host(spelling)


@pytest.mark.parametrize(
    "host", ["", ".", "a..b", "-a.com", "a b", "a/b", "a\\b", "a@b", "fe80::1%eth0", "x" * 64, "é\0"]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_host(host)


@given(st.text(max_size=30))
def test_any_text_is_a_normal_host_or_a_value_error(text: str) -> None:
    try:
        host = parse_host(text)
    except ValueError:
        return
    assert parse_host(str(host)) == host  # normal forms stay
    if isinstance(host, str):
        assert parse_address(host) is None


@pytest.mark.parametrize(
    "pattern",
    [
        "http://example.com",
        "",
        "example.com:0",
        "example.com:99999",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "*.1.2.3.4",
        "a*.com",
        "*.*",
    ],
)
def test_a_pattern_nobody_can_read_says_what_to_write(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="write "):
        Allowance.of([pattern])


def test_one_text_instead_of_a_list_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match=r"network=\['example.com'\]"):
        Allowance.of("example.com")


def test_a_refusal_says_what_to_add() -> None:
    allowance = Allowance.of(["example.com", "db.internal:5432"])
    assert 'add "other.com:8443" to network' in (allowance.refuses_host("other.com", 8443) or "")
    private = allowance.refuses_address("db.internal", ipaddress.ip_address("10.0.0.7"), 5432)
    assert private is not None
    assert "db.internal:5432 is 10.0.0.7" in private
    assert 'add "10.0.0.7:5432" to network' in private


def test_an_address_of_this_machine_is_not_public_even_when_it_looks_so() -> None:
    one = ipaddress.ip_address("1.1.1.1")
    kept, refusal = Allowance.of(True).choose("example.com", [one], 443, own=[one])
    assert kept == []
    assert "of this machine" in (refusal or "")
