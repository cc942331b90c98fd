"""Addresses: what is read as one, what is refused, and who may be dialled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interaction.address import AllowList, Endpoint, check_host, is_any, is_loopback, parse_address


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("host", Endpoint("host", 7235)),
        ("host:", Endpoint("host", 7235)),  # as in a URL
        ("host:1", Endpoint("host", 1)),
        ("HOST.example.:65535", Endpoint("host.example.", 65535)),
        ("10.0.0.1:80", Endpoint("10.0.0.1", 80)),
        ("[::1]:80", Endpoint("::1", 80)),
        ("[fe80::1]", Endpoint("fe80::1", 7235)),
        ("grpc://host:1", Endpoint("host", 1)),
        ("http://host:1/", Endpoint("host", 1)),
        ("https://host:1", Endpoint("host", 1, tls=True)),
        ("https://[::1]/", Endpoint("::1", 7235, tls=True)),
    ],
)
def test_an_address_is_read(text: str, endpoint: Endpoint) -> None:
    assert parse_address(text, 7235) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "host:0",
        "host:65536",
        "host:-1",
        "host:x",
        "host:1:2",
        " host:1",
        "host:1 ",
        "ho st:1",
        "host:1/path",
        "host:1?query",
        "host:1#fragment",
        "user@host:1",
        "http://user:secret@host:1",
        "unix:/tmp/socket",
        "unix:///tmp/socket",
        "dns:///host:1",
        "ftp://host:1",
        "file:///etc/passwd",
        "xds:///host",
        "://host",
        "[::1",
        "::1]:1",
        "[::zz]:1",
        "-host:1",
        "host\n:1",
        "h" * 513,
    ],
)
def test_what_is_no_address_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|host|characters"):
        parse_address(text, 7235)


@given(st.text(max_size=40) | st.from_regex(r"(\w+://)?[a-z.\[\]:@/-]{0,20}(:\d{0,6})?", fullmatch=True))
def test_any_text_is_an_address_or_a_valueerror(text: str) -> None:
    try:
        endpoint = parse_address(text, 7235)
    except ValueError:
        return
    assert 1 <= endpoint.port <= 65535
    assert parse_address(str(endpoint), 1) == endpoint, "what is shown can be read again"


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        (Endpoint("host", 1), "dns:///host:1"),
        (Endpoint("10.0.0.1", 1), "ipv4:10.0.0.1:1"),
        (Endpoint("::1", 1), "ipv6:[::1]:1"),
        (Endpoint("0.0.0.0", 1), "ipv4:127.0.0.1:1"),
        (Endpoint("::", 1), "ipv6:[::1]:1"),
    ],
)
def test_what_is_dialled_names_its_resolver(endpoint: Endpoint, target: str) -> None:
    assert endpoint.target == target


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "LocalHost.", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
)
def test_loopback_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "::ffff:0.0.0.0", "localhost.example", "example", "localhost.."],
)
def test_what_is_not_loopback_is_known(host: str) -> None:
    assert not is_loopback(host)
    assert is_any(host) is (host in ("0.0.0.0", "::"))


def test_a_bracketed_host_loses_its_brackets() -> None:
    assert check_host("[::1]") == "::1"


@pytest.mark.parametrize("host", ["", "a/b", "a b", "a:1", "-a", "a@b", "a" * 300])
def test_what_is_no_host_is_refused_by_its_name(host: str) -> None:
    with pytest.raises(ValueError, match="no host"):
        check_host(host)


@pytest.mark.parametrize(
    ("host", "permitted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("192.168.0.7", True),
        ("192.168.0.8", False),
        ("fd00::5", True),
        ("fe80::5", False),
        ("Master.Example", True),
        ("other.example", False),
        ("sub.master.example", False),
    ],
)
def test_an_allow_list_permits_names_addresses_and_networks(host: str, permitted: bool) -> None:
    allowed = AllowList(["10.0.0.0/8", "192.168.0.7", "fd00::/8", "master.example"])
    assert allowed.permits(Endpoint(host, 1)) is permitted


def test_an_empty_allow_list_permits_nobody() -> None:
    assert not AllowList([]).permits(Endpoint("127.0.0.1", 1))


def test_an_allow_list_refuses_what_is_neither() -> None:
    with pytest.raises(ValueError, match="no host"):
        AllowList(["10.0.0.0/99"])
