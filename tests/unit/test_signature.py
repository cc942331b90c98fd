"""Signatures: their one form, as the vectors beside the contract have it, and which are believed, and how often."""

from __future__ import annotations

import hmac
import json
import random
from typing import Any

import pytest

from interaction.core.signature import (
    MOST,
    WINDOW,
    BadSignature,
    Call,
    Checker,
    Claim,
    Flaw,
    Key,
    canonical,
    is_answer,
    sign,
)
from tests.installing import ROOT

VECTORS = json.loads((ROOT / "protos" / "vectors" / "signature.json").read_text(encoding="utf-8"))
KEY, OTHER = b"k" * 32, b"o" * 32
SLAVE = "00112233445566778899aabbccddeeff"
TOKEN = "t" * 43
CALL = Call("/interaction.v1.SlaveService/NewTask", "7", TOKEN)
NOW = 1_764_170_000.25


def claim(time: float = NOW, nonce: str = "n" * 22, slave: str = SLAVE) -> Claim:
    return Claim(int(time), nonce, slave)


def checker(*keys: bytes) -> Checker:
    return Checker(keys or (KEY,), "slave", SLAVE)


def flaw(
    entry: str | None, *, call: Call = CALL, now: float = NOW, by: Checker | None = None
) -> tuple[Flaw, str] | None:
    try:
        (by or checker()).check(call, entry, now)
    except BadSignature as bad:
        return bad.flaw, bad.message
    return None


def call_of(vector: dict[str, Any]) -> Call:
    return Call(vector["path"], vector["channel"], vector["token"], vector["previous_token"])


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_a_signature_is_written_and_read_as_the_vectors_say(vector: dict[str, Any]) -> None:
    made = Claim(vector["time"], vector["nonce"], vector["slave"], vector.get("lease"), vector.get("address"))
    key = vector["secret"].encode()
    assert canonical(call_of(vector), str(made)) == vector["canonical"]
    assert hmac.new(key, vector["canonical"].encode(), "sha256").hexdigest() == vector["mac"]
    assert sign(Key(key), call_of(vector), made) == vector["signature"]
    assert hmac.new(key, f"answer\n{vector['mac']}".encode(), "sha256").hexdigest() == vector["answer"]
    answers: list[str] = []
    checker(key, OTHER).check(call_of(vector), vector["signature"], vector["time"], answers.append)
    checker(OTHER, key).check(call_of(vector), vector["signature"], vector["time"], answers.append)
    assert [is_answer([Key(key)], vector["signature"], answer) for answer in answers] == [True, False]
    assert answers[0] == vector["answer"]
    assert is_answer([Key(OTHER), Key(key)], vector["signature"], answers[0])
    read = checker(key).check(call_of(vector), vector["signature"], vector["time"])
    assert read == made._replace(lease=made.lease or 0, address=made.address or "")


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda vector: vector["name"])
def test_what_is_not_known_yet_is_accepted(vector: dict[str, Any]) -> None:
    call = VECTORS["call"]
    assert flaw(vector["signature"], call=call_of(call), now=1764170000, by=checker(call["secret"].encode())) is None


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_what_is_malformed_or_of_another_call_is_refused(vector: dict[str, Any]) -> None:
    call = VECTORS["call"]
    found = flaw(vector["signature"], call=call_of(call), now=1764170000, by=checker(call["secret"].encode()))
    assert found is not None
    assert found[0] is Flaw.INVALID


@pytest.mark.parametrize("length", [1, 32, 43, 63, 64, 65, 128, 1024])
def test_an_hmac_is_that_of_the_standard_library(length: int) -> None:
    secret, text = bytes(range(33, 98)) * 16, canonical(CALL, str(claim()))
    assert (
        Key(secret[:length]).mac(CALL, str(claim())) == hmac.new(secret[:length], text.encode(), "sha256").hexdigest()
    )


@pytest.mark.parametrize("field", CALL._fields)
def test_each_thing_that_a_call_is_is_signed(field: str) -> None:
    entry = sign(Key(KEY), CALL, claim())
    assert flaw(entry) is None
    found = flaw(entry, call=CALL._replace(**{field: "another"}))
    assert found is not None
    assert found[0] is Flaw.INVALID


@pytest.mark.parametrize("position", range(0, 150, 7))
def test_no_character_of_a_signature_can_be_changed(position: int) -> None:
    entry = sign(Key(KEY), CALL, claim())
    changed = entry[:position] + chr(ord(entry[position]) ^ 1) + entry[position + 1 :]
    found = flaw(changed)
    assert found is not None
    assert found[0] is Flaw.INVALID


def test_whatever_comes_as_a_signature_is_refused_as_one() -> None:
    """Nothing else is raised, whatever a peer writes, also where it knows the secret and signs nonsense."""
    chance = random.Random(11)
    good = sign(Key(KEY), CALL, claim()._replace(lease=1, address="10.0.0.1:7235"))
    letters = "".join(map(chr, range(32, 127))) + ";=;=0123456789é\u202e"
    for _ in range(3000):
        told = list(good.rpartition(";mac=")[0])
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(told))
            told[place : place + chance.randrange(3)] = chance.choice(letters) * chance.randrange(3)
        text = "".join(told)
        for entry in (text, f"{text};mac={Key(KEY).mac(CALL, text)}", text[: chance.randrange(200)] + good[-69:]):
            found = flaw(entry)
            assert found is None or found[0] in (Flaw.INVALID, Flaw.STALE)
            if found is not None:
                assert len(found[1]) < 200


def test_the_signed_text_has_one_reading() -> None:
    """Nothing that one part may hold ends it: what stands before a line's end can't move behind it."""
    one = canonical(Call("/a", "1", "2", ""), "c")
    assert one.split("\n") == ["/a", "1", "2", "", "c"]


def test_without_a_secret_a_call_that_brings_nothing_is_believed_and_a_signature_is_a_mistake_that_is_told() -> None:
    open_to_all = Checker((), "slave", SLAVE)
    assert open_to_all.check(CALL, None, NOW) is None
    found = flaw(sign(Key(KEY), CALL, claim()), by=open_to_all)
    assert found is not None
    assert found[0] is Flaw.INVALID
    assert "this slave has no secret" in found[1]
    assert "INTERACTION_SECRET" in found[1]


def test_with_a_secret_a_call_that_brings_none_is_told_so() -> None:
    found = flaw(None)
    assert found is not None
    assert found[0] is Flaw.MISSING
    assert "this slave has a secret" in found[1]
    assert "INTERACTION_SECRET" in found[1]


@pytest.mark.parametrize("keys", [(KEY, OTHER), (OTHER, KEY)])
def test_each_of_several_secrets_is_accepted(keys: tuple[bytes, ...]) -> None:
    both = checker(*keys)
    assert flaw(sign(Key(KEY), CALL, claim()), by=both) is None
    assert flaw(sign(Key(OTHER), CALL, claim()), by=both) is None
    assert flaw(sign(Key(b"x" * 32), CALL, claim()), by=both) is not None


@pytest.mark.parametrize("signed_by", range(4))
def test_each_secret_is_compared_in_constant_time_whichever_it_is(
    signed_by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the first one has it: how long it takes doesn't tell which."""
    keys = [bytes([65 + number]) * 32 for number in range(3)]
    compared: list[bool] = []
    real = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append(real(one, other))
        return compared[-1]

    monkeypatch.setattr(hmac, "compare_digest", watched)
    found = flaw(sign(Key(bytes([65 + signed_by]) * 32), CALL, claim()), by=checker(*keys))
    assert (found is None) == (signed_by < 3)
    assert compared == [number == signed_by for number in range(3)]


@pytest.mark.parametrize("apart", [0, WINDOW, -WINDOW])
def test_clocks_may_differ_by_the_window(apart: int) -> None:
    assert flaw(sign(Key(KEY), CALL, claim(int(NOW) - apart)), now=int(NOW)) is None


@pytest.mark.parametrize(
    ("apart", "told"), [(WINDOW + 100, "400 s behind this slave's"), (-WINDOW - 1, "301 s ahead of this slave's")]
)
def test_a_stale_signature_says_by_how_much_the_clocks_differ(apart: int, told: str) -> None:
    found = flaw(sign(Key(KEY), CALL, claim(int(NOW) - apart)), now=int(NOW))
    assert found is not None
    assert found[0] is Flaw.STALE
    assert told in found[1]
    assert "300 s are allowed" in found[1]


def test_only_who_knows_the_secret_learns_what_the_clock_shows() -> None:
    found = flaw(sign(Key(OTHER), CALL, claim(NOW - 10_000)))
    assert found is not None
    assert found[0] is Flaw.INVALID


def used(by: Checker, it: Claim, now: float = NOW, token: str = TOKEN) -> bool:
    """Whether it is refused as used."""
    try:
        by.once(token, it, now)
    except BadSignature as bad:
        return bad.flaw is Flaw.STALE
    return False


def test_a_signature_is_good_for_one_call() -> None:
    by = checker()
    assert not used(by, claim())
    assert used(by, claim())
    assert not used(by, claim(nonce="m" * 22))
    assert not used(by, claim(NOW + 1))
    assert not used(by, claim(), token="another" + TOKEN)  # which has a signature of its own
    assert used(by, claim(), NOW + WINDOW), "for as long as it would be believed"


def test_what_is_for_another_slave_is_for_none_here_and_uses_up_nothing() -> None:
    by = checker()
    assert used(by, claim(slave="f" * 32))
    assert used(by, claim(slave=""))
    assert not used(by, claim())


def test_a_master_is_told_of_no_slave() -> None:
    assert not used(Checker((KEY,), "master"), claim(slave=""))
    assert not used(Checker((KEY,), "master"), claim())


def test_who_fills_the_memory_gets_no_old_signature_in_and_locks_nobody_else_out() -> None:
    by, first = checker(), claim(NOW - 10)
    assert not used(by, first)
    for number in range(MOST):
        assert not used(by, claim(NOW, f"nonce-of-filling-{number}"))
    assert used(by, first), "it has been forgotten, and is too old to tell"
    assert used(by, claim(NOW - 10, "x" * 22)), "so is what was never used"
    assert used(by, claim(NOW, f"nonce-of-filling-{MOST - 1}")), "what is younger is remembered"
    assert not used(by, claim(NOW, "y" * 22)), "who signs now is taken"
    assert not used(by, claim(NOW - 10), token="another" + TOKEN), "and others don't notice"


def test_memory_is_given_back_when_signatures_are_too_old_to_be_believed() -> None:
    by = checker()
    for number in range(1000):
        assert not used(by, claim(NOW, f"nonce-of-filling-{number}"), token=f"token-{number}")
    assert len(by._used) == 1000
    assert not used(by, claim(NOW + 2 * WINDOW), NOW + 2 * WINDOW)
    assert set(by._used) == {TOKEN}


def test_a_clock_that_is_set_forward_and_back_gets_no_old_signature_in() -> None:
    by, first = checker(), claim()
    assert not used(by, first)
    assert not used(by, claim(NOW + 86400), NOW + 86400, token="another" + TOKEN)  # all is forgotten
    assert used(by, first, NOW + 1)


def test_of_a_token_of_an_earlier_life_nothing_is_believed_that_is_as_old() -> None:
    by = checker()
    by.refuse_before(TOKEN, NOW)
    for age in (WINDOW - 1, 1, 0, -1, -WINDOW):
        assert used(by, claim(NOW - age)), "it may have come before: the clock of whoever signed may be ahead"
    assert not used(by, claim(NOW + WINDOW + 1)), "which nobody had taken then"
    for age in (WINDOW - 1, 0, -WINDOW):
        assert not used(by, claim(NOW - age), token="another" + TOKEN), "new tokens are of this life"


def test_who_calls_by_a_token_of_an_earlier_life_is_told_what_it_waits_for() -> None:
    by = checker()
    by.refuse_before(TOKEN, NOW)
    with pytest.raises(BadSignature, match="was restarted, and comes back") as caught:
        by.once(TOKEN, claim(), NOW)
    assert caught.value.flaw is Flaw.STALE


@pytest.mark.parametrize("address", ["a;b:1", "a b:1", "a\nb:1", "ä:1", "", "x" * 513])
def test_an_address_that_would_be_read_as_something_else_is_not_signed(address: str) -> None:
    with pytest.raises(ValueError, match="can't be signed"):
        sign(Key(KEY), CALL, claim()._replace(lease=1, address=address))


@pytest.mark.parametrize("answer", [None, "", b"x", "ä" * 64, "0" * 64, "a" * 63])
def test_what_is_no_answer_by_the_secret_is_none(answer: object) -> None:
    assert not is_answer([Key(KEY)], sign(Key(KEY), CALL, claim()), answer)


def test_a_call_that_is_signed_and_comes_too_late_is_answered_by_the_secret_and_another_is_not() -> None:
    """The one is told what is wrong with its clock by somebody whom it believes; the other may be anybody's."""
    answers: list[str] = []
    good = sign(Key(KEY), CALL, claim())
    assert flaw_with(answers, good, NOW + WINDOW + 9) is Flaw.STALE
    assert len(answers) == 1
    for bad in (good[:-1] + "g", sign(Key(OTHER), CALL, claim()), good.replace("v=1", "v=2"), "", None):
        assert flaw_with(answers, bad, NOW) in (Flaw.INVALID, Flaw.MISSING)
    assert len(answers) == 1


def flaw_with(answers: list[str], entry: str | None, now: float) -> Flaw:
    with pytest.raises(BadSignature) as caught:
        checker().check(CALL, entry, now, answers.append)
    return caught.value.flaw
