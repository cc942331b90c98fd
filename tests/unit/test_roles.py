"""Who somebody is by the names in their certificate."""

from __future__ import annotations

from typing import Any

import pytest
import trustme

from interaction import TLS
from interaction.core.session import Session
from interaction.roles import Member, Peer, all_of, identity, matching, member, member_of, patterns
from interaction.rpc.certificates import peer_of

CA = trustme.CA()
ISSUED = CA.issue_cert("127.0.0.1")
PEMS: dict[str, Any] = {
    "certificate": ISSUED.cert_chain_pems[0].bytes(),
    "key": ISSUED.private_key_pem.bytes(),
    "authority": CA.cert_pem.bytes(),
}


def test_a_member_is_named_by_its_uri() -> None:
    trainer = member("lab.example", "master", "trainer")
    assert trainer.uri == "spiffe://lab.example/master/trainer"
    assert trainer.host == "master.lab.example"
    assert member_of([trainer.uri]) == Member("lab.example", "master", "trainer")


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["spiffe://lab/ns/default/sa/trainer"],
        ["https://lab/master/trainer"],
        ["spiffe://lab/master/"],
        ["spiffe://lab/master/a/b"],
        ["spiffe://lab/owner/a"],
        ["spiffe://LAB/master/a"],
        ["spiffe://lab/master/a\n"],
        ["spiffe://lab/master/a?b"],
        ["spiffe://lab/master/.."],
        ["spiffe://lab/master/.a"],
        ["spiffe://lab/master/../x"],
        ["spiffe://lab/master//a"],
        ["spiffe://lab/master/a", "spiffe://lab/slave/a"],  # who would be two is nobody
        ["spiffe://lab/master/a", "spiffe://lab/ns/default"],
        ["spiffe://lab/master/a", "SPIFFE://LAB/slave/a"],
        ["spiffe://lab/master/a", "spiffe://lab/slave/.."],
    ],
)
def test_what_is_no_member_is_none(uris: list[str]) -> None:
    assert member_of(uris) is None


PEER = Peer(
    ["spiffe://lab/slave/one"], ["one.Nodes.example", "spiffe.lab", "10.0.0.7"], ["spiffe://lab/master/trainer", "boss"]
)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("spiffe://lab/slave/*", {"spiffe://lab/slave/one"}),
        ("spiffe://lab/slave/one", {"spiffe://lab/slave/one"}),
        ("spiffe://lab/master/*", set()),  # what its common name claims to be is no URI
        ("spiffe://LAB/slave/*", set()),
        ("spiffe://lab/*", set()),  # a `*` ends with its segment
        ("spiffe://lab/*/one", {"spiffe://lab/slave/one"}),
        ("*://*", set()),
        ("*://*/*/*", {"spiffe://lab/slave/one"}),
        ("*.nodes.example", {"one.Nodes.example"}),
        ("nodes.example", set()),
        ("10.0.0.?", {"10.0.0.7"}),
        ("BOSS", {"boss"}),
        ("one", set()),
        ("*", {"one.Nodes.example", "spiffe.lab", "10.0.0.7", "boss"}),
        ("spiffe*", {"spiffe.lab"}),
    ],
)
def test_patterns_match_names_of_their_kind(pattern: str, names: set[str]) -> None:
    assert matching(PEER, [pattern]) == names
    assert matching(PEER, ["nothing", pattern]) == names


def test_nobody_without_names_matches() -> None:
    assert matching(Peer(), ["*", "*://*"]) == frozenset()


@pytest.mark.parametrize(
    "uris",
    [
        ["spiffe://lab/master/m", "spiffe://lab/slave/s"],
        ["spiffe://lab/slave/s", "spiffe://lab/master/m"],
        ["spiffe://lab/master/m", "spiffe://lab/ns/default"],
        ["spiffe://lab/master/m", "spiffe://LAB/master/m"],
        ["spiffe://lab/master/../x"],
        ["spiffe://lab/slave/../master/m"],
        ["spiffe://lab/master/.."],
        ["spiffe://lab/master/."],
        ["spiffe://lab/master/"],
        ["spiffe://lab/master//"],
        ["spiffe://lab/master"],
        ["spiffe://lab/master/m/"],
        ["spiffe://lab/master/a/b"],
    ],
)
def test_who_would_be_two_or_has_no_plain_name_has_no_role(uris: list[str]) -> None:
    """Before, each of these was a master's."""
    names = Peer(uris, ["master.lab"], ["spiffe://lab/master/m"])
    assert matching(names, all_of("lab", "master")) == frozenset()
    assert identity(names, all_of("lab", "master")) == frozenset()


def test_other_uris_beside_the_one_of_its_role_take_nothing_from_it() -> None:
    peer = Peer(["https://lab.example/about", "spiffe://lab/master/m"])
    assert matching(peer, all_of("lab", "master")) == {"spiffe://lab/master/m"}
    assert member_of(peer.uris) == Member("lab", "master", "m")


def test_who_is_known_again_by_the_name_of_a_role_is_by_that_alone() -> None:
    everything = ["spiffe://lab/slave/*", "*"]
    assert identity(PEER, everything) == {"spiffe://lab/slave/one"}
    assert identity(PEER, ["*.nodes.example", "boss"]) == {"one.nodes.example", "boss"}
    assert identity(Peer((), (), ["spiffe://lab/slave/one"]), everything) == frozenset()
    assert identity(PEER, ["nothing"]) == frozenset()


@pytest.mark.parametrize("given", ["*.example", b"*", 7, {"a"}, [7], [""], [None]])
def test_patterns_that_can_not_be_are_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="TLS masters: "):
        patterns("masters", given)
    with pytest.raises(TypeError, match="TLS masters: "):
        TLS(**PEMS, mutual=True, masters=given)


@pytest.mark.parametrize("role", ["masters", "slaves"])
def test_patterns_need_certificates_to_look_at(role: str) -> None:
    for options, problem in (
        ({role: ["*"]}, "who calls shows a certificate only with mutual=True"),
        ({role: [], "mutual": True}, "0 patterns; leave it out"),
    ):
        with pytest.raises(ValueError, match=f"TLS {role}: {problem}"):
            TLS(**{**PEMS, **options})


def test_certificates_without_such_names_say_nothing_of_roles() -> None:
    tls = TLS(**PEMS, mutual=True)
    assert (tls.member, tls.masters, tls.slaves) == (None, None, None)


def test_what_grpc_tells_of_a_peer_is_read() -> None:
    shown = {
        "peer_uri": [b"spiffe://lab/slave/one"],
        "peer_dns": [b"one.example"],
        "peer_ip": [b"10.0.0.7"],
        "x509_common_name": [b"b\xf6ss"],
        "x509_subject": [b"CN=x"],
    }
    peer = peer_of(shown)
    assert (peer.uris, peer.hosts) == (["spiffe://lab/slave/one"], ["one.example", "10.0.0.7"])
    assert peer.common == ["b\ufffdss"]
    assert str(peer_of({})) == "without a name"


def test_a_session_is_whose_who_calls_first() -> None:
    session = Session(15.0)
    one, other = frozenset({"spiffe://lab/slave/one"}), frozenset({"spiffe://lab/slave/other"})
    assert not session.recognises(frozenset())  # nor is it kept for who has no name
    assert session.recognises(one)
    assert not session.recognises(other)
    assert not session.recognises(frozenset())
    assert session.recognises(one)


def test_who_has_a_name_of_the_session_s_slave_is_that_slave() -> None:
    """Before, a certificate that was renewed with one more host name was another's."""
    session = Session(15.0)
    assert session.recognises(frozenset({"n1.example", "n1"}))
    for renewed in ({"n1.example"}, {"n1"}, {"n1", "n1.example", "n1b.example"}, {"n1b.example", "n1"}):
        assert session.recognises(frozenset(renewed))
    assert not session.recognises(frozenset({"n1b.example"}))  # what counts is by what it was opened
