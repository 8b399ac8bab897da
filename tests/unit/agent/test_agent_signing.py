"""What counts as signed, over the pure functions."""

import pytest

from resilientslice.agent.signing import (
    MAX_SKEW_MS,
    SIGNATURE_HEADER,
    TIME_HEADER,
    Asked,
    Nonces,
    Refused,
    SigningKeys,
    Standing,
    UnusableKeyError,
    body_digest,
    judge,
    matches,
    read_request,
    request_headers,
    signatures,
    standing,
)

ONE, TWO = (SigningKeys.of(character * 32) for character in (b"1", b"2"))
OLDER, OLD, NEW = (SigningKeys.of(character * 32) for character in (b"3", b"4", b"5"))
NOW = 1_700_000_000_000
ASKED = Asked("PUT", "/config", "uid", NOW, "0" * 32, body_digest(b"body"))


def test_what_is_read_is_what_was_signed():
    headers = request_headers(ONE, ASKED)
    assert read_request("PUT", "/config", "uid", headers) == ASKED
    assert judge(ONE, ASKED, headers[SIGNATURE_HEADER], Nonces(), NOW) is None


@pytest.mark.parametrize(
    "other",
    [
        Asked("GET", "/config", "uid", NOW, "0" * 32, ASKED.digest),
        Asked("PUT", "/config?x", "uid", NOW, "0" * 32, ASKED.digest),
        Asked("PUT", "/config", "uid2", NOW, "0" * 32, ASKED.digest),
        Asked("PUT", "/config", "uid", NOW + 1, "0" * 32, ASKED.digest),
        Asked("PUT", "/config", "uid", NOW, "1" * 32, ASKED.digest),
        Asked("PUT", "/config", "uid", NOW, "0" * 32, body_digest(b"other")),
    ],
)
def test_each_part_is_signed(other):
    assert judge(ONE, other, signatures(ONE, ASKED.signed), Nonces(), NOW) is Refused.SIGNATURE


@pytest.mark.parametrize(("off", "refused"), [(MAX_SKEW_MS, None), (MAX_SKEW_MS + 1, Refused.CLOCK)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_minute_either_way(off, refused, sign):
    assert judge(ONE, ASKED, signatures(ONE, ASKED.signed), Nonces(), NOW + sign * off) is refused


def test_a_key_of_either_side_is_enough_while_it_is_replaced():
    old, both, new = ONE, SigningKeys(TWO.current, ONE.current), TWO
    for mine, theirs, count in [(both, old, True), (old, both, True), (both, new, True), (old, new, False)]:
        assert matches(theirs, ASKED.signed, signatures(mine, ASKED.signed)) is count


@pytest.mark.parametrize(
    ("agent", "found"),
    [
        (NEW, Standing.CURRENT),
        (SigningKeys(NEW.current, OLD.current), Standing.CURRENT),
        (OLD, Standing.FORMER),
        (SigningKeys(OLD.current, OLDER.current), Standing.FORMER),
        (SigningKeys(OLDER.current, NEW.current), Standing.NEWER),
        (SigningKeys(OLDER.current, OLD.current), Standing.NEWER),
        (OLDER, Standing.STRANGE),
    ],
)
def test_an_answer_tells_what_its_agent_knows_of_the_keys(agent, found):
    ours = SigningKeys(NEW.current, OLD.current)
    assert standing(ours, ASKED.signed, signatures(agent, ASKED.signed)) is found
    assert standing(ours, ASKED.signed, "") is Standing.STRANGE


def test_an_answer_belongs_to_one_request_and_is_no_request():
    answer = signatures(ONE, ASKED.answer(200, b"{}"))
    other = Asked("PUT", "/config", "uid", NOW, "1" * 32, ASKED.digest)
    assert matches(ONE, ASKED.answer(200, b"{}"), answer)
    for signed in (ASKED.answer(201, b"{}"), ASKED.answer(200, b"[]"), other.answer(200, b"{}"), ASKED.signed):
        assert not matches(ONE, signed, answer)


def test_nonces_count_once_and_are_bounded():
    nonces = Nonces(limit=2)
    assert [nonces.take(nonce, NOW, NOW) for nonce in "aabc"] == [None, Refused.REPLAYED, None, Refused.BUSY]
    later = NOW + MAX_SKEW_MS + 1
    assert nonces.take("c", later, later) is None, "those that are too old to count anyway make room"
    assert nonces.take("d", later, later) is None
    assert nonces.take("e", later, later) is Refused.BUSY


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({SIGNATURE_HEADER: ""}, Refused.UNSIGNED),
        ({SIGNATURE_HEADER: "0" * 63}, Refused.MALFORMED),
        ({SIGNATURE_HEADER: ",".join(["0" * 64] * 3)}, Refused.MALFORMED),
        ({TIME_HEADER: "-1"}, Refused.MALFORMED),
        ({TIME_HEADER: "1e9"}, Refused.MALFORMED),
        ({TIME_HEADER: "9" * 5000}, Refused.MALFORMED),
        ({TIME_HEADER: "\u0661"}, Refused.MALFORMED),
    ],
)
def test_malformed_headers(change, refused):
    assert read_request("PUT", "/config", "uid", request_headers(ONE, ASKED) | change) is refused


@pytest.mark.parametrize("key", [b"", b"short", b" " * 40, b"x" * 1025])
def test_keys_that_are_no_keys_say_why_without_saying_what(key):
    with pytest.raises(UnusableKeyError, match=r"the key has \d+ bytes") as error:
        SigningKeys.of(key)
    assert "short" not in str(error.value)
    assert "1111" not in repr(ONE)
