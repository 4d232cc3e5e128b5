"""Which key a text is."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.api_keys import ApiKey, Hash, Policy
from sandbox_common.keys import api_key_hash
from sandbox_gateway.sandboxes.api_keys import find, index

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
SOON = NOON + timedelta(seconds=1)


def key(name: str, *hashes: tuple[str, datetime | None]) -> ApiKey:
    return ApiKey(name, "a", tuple(Hash(api_key_hash(text), expires) for text, expires in hashes), Policy())


def test_each_key_is_found_by_its_text() -> None:
    keys = [key(f"key-{number}", (f"text-{number}", None)) for number in range(300)]
    known = index(keys)
    assert [find(known, f"text-{number}", NOON) for number in range(300)] == keys
    assert find(known, "text-300", NOON) is None
    assert find(known, api_key_hash("text-1"), NOON) is None, "the stored digest opens nothing"


def test_of_a_rotated_key_both_are_found_until_the_old_one_ends() -> None:
    rotated = key("a", ("new", None), ("old", SOON))
    known = index([rotated])
    assert find(known, "new", NOON) == find(known, "old", NOON) == rotated
    assert find(known, "old", SOON) is None
    assert find(known, "new", SOON) == rotated


def test_the_expiry_needs_no_change_of_the_index() -> None:
    known = index([key("a", ("text", SOON))])
    assert find(known, "text", NOON)
    assert find(known, "text", SOON) is None


def test_a_digest_that_begins_like_a_known_one_opens_nothing() -> None:
    digest = api_key_hash("text")
    other = "0" if digest[-1] != "0" else "1"
    known = index([ApiKey("a", "a", (Hash(digest[:-1] + other),), Policy())])
    assert find(known, "text", NOON) is None


def test_of_two_secrets_with_one_key_all_replicas_take_the_same() -> None:
    first, second = key("a", ("text", None)), key("b", ("text", None))
    assert find(index([first, second]), "text", NOON) == find(index([second, first]), "text", NOON) == first
    expired = key("a", ("text", NOON))
    assert find(index([expired, second]), "text", NOON) == second


TEXTS = st.sampled_from([f"text-{number}" for number in range(5)])
ENDS = st.none() | st.integers(-2, 2).map(lambda seconds: NOON + timedelta(seconds=seconds))


@given(
    st.lists(st.tuples(TEXTS, ENDS), max_size=6).map(
        lambda pairs: [key(f"key-{number}", pair) for number, pair in enumerate(pairs)]
    ),
    TEXTS,
)
def test_it_finds_what_a_look_at_each_key_finds(keys: list[ApiKey], text: str) -> None:
    digest = api_key_hash(text)
    expected = [key for key in keys for known in key.hashes if known.sha256 == digest and known.valid_at(NOON)]
    assert find(index(keys), text, NOON) == (expected[0] if expected else None)
