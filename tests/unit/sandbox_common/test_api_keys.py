"""What the Secret of an API key holds."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.api_keys import ApiKey, Hash, Limits, Policy, decode, encode, limits_by_owner
from sandbox_common.keys import api_key_hash

DIGEST = api_key_hash("key")
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def secret(name: str = "a-key", **data: str) -> dict[str, Any]:
    entries = {entry: base64.b64encode(value.encode()).decode() for entry, value in data.items()}
    return {"metadata": {"name": name}, "data": entries}


def test_a_key() -> None:
    key = decode(secret(sha256=DIGEST, owner="team a"))
    assert key == ApiKey("a-key", "team a", (Hash(DIGEST),), Policy())
    assert DIGEST not in repr(key)


def test_case_and_white_space_around_do_not_matter() -> None:
    assert decode(secret(sha256=f" {DIGEST.upper()}\n", owner="a\n")).hashes == (Hash(DIGEST),)


def test_a_key_ends_when_it_expires() -> None:
    [known] = decode(secret(sha256=DIGEST, owner="a", expires="2026-11-27T13:00:00+01:00")).hashes
    assert known.expires == NOON
    assert known.valid_at(NOON - timedelta(seconds=1))
    assert not known.valid_at(NOON)


def test_a_rotated_key_has_two_hashes() -> None:
    old = api_key_hash("old")
    rotated = secret(sha256=DIGEST, owner="a", previousSha256=old, previousExpires="2026-11-27T12:00:00Z")
    assert decode(rotated).hashes == (Hash(DIGEST), Hash(old, NOON))


def test_a_policy() -> None:
    text = '{"limits": {"running": 5, "startsPerMinute": 10}, "images": ["ghcr.io/openhands/*"], "classes": ["small"]}'
    policy = decode(secret(sha256=DIGEST, owner="a", policy=text)).policy
    assert policy.limits == Limits(running=5, starts_per_minute=10)
    assert (policy.images, policy.classes) == (("ghcr.io/openhands/*",), ("small",))
    assert not policy.admin


def test_the_permission_of_administrators() -> None:
    assert decode(secret(sha256=DIGEST, owner="a", policy='{"admin": true}')).policy == Policy(admin=True)


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({}, "owner"),
        ({"data": None}, "owner"),
        (secret(owner="a"), "sha256"),
        (secret(sha256=DIGEST), "owner"),
        (secret(sha256="", owner="a"), "sha256"),
        (secret(sha256=DIGEST[:-1], owner="a"), "sha256"),
        (secret(sha256="the-key-itself", owner="a"), "sha256"),
        (secret(sha256=DIGEST, owner=" "), "owner"),
        (secret(sha256=DIGEST, owner="a\nb"), "owner"),
        (secret(sha256=DIGEST, owner="a" * 254), "owner"),
        ({"data": {"sha256": "***", "owner": "YQ=="}}, "sha256"),
        ({"data": {"sha256": "/w==", "owner": "YQ=="}}, "sha256"),
        (secret(sha256=DIGEST, owner="a", expires="tomorrow"), "expires"),
        (secret(sha256=DIGEST, owner="a", expires="2026-11-27T12:00:00"), "expires"),
        (secret(sha256=DIGEST, owner="a", expires="9999-12-31T23:59:59-23:59"), "expires"),
        (secret(sha256=DIGEST, owner="a", expires=""), "expires"),
        (secret(sha256=DIGEST, owner="a", policy=""), "policy"),
        (secret(sha256=DIGEST, owner="a", previousSha256=DIGEST), "previousExpires"),
        (secret(sha256=DIGEST, owner="a", previousSha256="x", previousExpires="2026-11-27T12:00:00Z"), "previousSha"),
        (secret(sha256=DIGEST, owner="a", policy="{"), r"data\.policy: "),
        (secret(sha256=DIGEST, owner="a", policy="[]"), r"data\.policy: "),
        (secret(sha256=DIGEST, owner="a", policy='{"limit": {}}'), r"data\.policy\.limit: "),
        (secret(sha256=DIGEST, owner="a", policy='{"limits": {"running": -1}}'), r"data\.policy\.limits\.running: "),
        (secret(sha256=DIGEST, owner="a", policy='{"limits": {"running": "5"}}'), r"data\.policy\.limits\.running: "),
        (secret(sha256=DIGEST, owner="a", policy='{"limits": {"resourceFactor": 3}}'), "resourceFactor: "),
        (secret(sha256=DIGEST, owner="a", policy='{"admin": "false"}'), r"data\.policy\.admin: "),
        (secret(sha256=DIGEST, owner="a", policy='{"images": [""]}'), r"data\.policy\.images\.0: "),
        (secret(sha256=DIGEST, owner="a", policy='{"images": ["*"]}'), r"data\.policy\.images\.0: .*registry/\*"),
    ],
)
def test_a_malformed_one_is_refused_without_its_values(item: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field) as refusal:
        decode(item)
    assert "the-key-itself" not in str(refusal.value)


def test_more_than_one_previous_hash_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="one previous"):
        encode(ApiKey("a", "a", (Hash(DIGEST), Hash(DIGEST, NOON), Hash(DIGEST, NOON)), Policy()))
    with pytest.raises(ValueError, match="expires"):
        encode(ApiKey("a", "a", (Hash(DIGEST), Hash(DIGEST)), Policy()))


TIMES = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
HASHES = st.text().map(api_key_hash)
LIMITS = st.builds(
    Limits,
    running=st.none() | st.integers(0, 100_000),
    sandboxes=st.none() | st.integers(0, 1_000_000),
    starts_per_minute=st.none() | st.integers(0, 6000),
    requests_per_minute=st.none() | st.integers(1, 1_000_000),
    resource_factor=st.sampled_from([None, 1, 2, 4, 8]),
    life_seconds=st.none() | st.integers(60, 315_360_000),
)
NAMES = st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), max_size=4).map(tuple)
IMAGES = st.lists(st.sampled_from(["ghcr.io/*", "docker.io/a/b:1", "host:5000/a@sha256:*"]), max_size=4).map(tuple)
KEYS = st.builds(
    ApiKey,
    name=st.just("a-key"),
    owner=st.from_regex(r"[!-~]([ -~]{0,251}[!-~])?", fullmatch=True),
    hashes=st.tuples(st.builds(Hash, HASHES, st.none() | TIMES))
    | st.tuples(st.builds(Hash, HASHES, st.none() | TIMES), st.builds(Hash, HASHES, TIMES)),
    policy=st.builds(Policy, limits=LIMITS, images=IMAGES, classes=NAMES, admin=st.booleans()),
)


@given(KEYS)
def test_what_is_written_is_read_again(key: ApiKey) -> None:
    assert decode({"metadata": {"name": "a-key"}, "data": encode(key)}) == key


def limited(owner: str, *, expires: datetime | None = None, **limits: int) -> ApiKey:
    return ApiKey("a-key", owner, (Hash(DIGEST, expires),), Policy(limits=Limits.model_validate(limits)))


@pytest.mark.parametrize(
    ("keys", "limits"),
    [
        ([], {}),
        ([limited("a")], {"a": Limits()}),
        ([limited("a", running=5), limited("b", running=7)], {"a": Limits(running=5), "b": Limits(running=7)}),
        ([limited("a", running=5), limited("a", running=3)], {"a": Limits(running=3)}),
        ([limited("a", running=0), limited("a", running=3)], {"a": Limits(running=0)}),
        ([limited("a", running=5), limited("a")], {"a": Limits(running=5)}),
        ([limited("a", running=5), limited("a", sandboxes=9)], {"a": Limits(running=5, sandboxes=9)}),
        (
            [limited("a", running=5, life_seconds=60), limited("a", running=3, life_seconds=90), limited("a")],
            {"a": Limits(running=3, life_seconds=60)},
        ),
        ([limited("a", running=3, expires=NOON - timedelta(days=900)), limited("a")], {"a": Limits(running=3)}),
    ],
)
def test_the_strictest_limit_of_an_owner_s_keys_holds(keys: list[ApiKey], limits: dict[str, Limits]) -> None:
    assert limits_by_owner(keys) == limits
    assert limits_by_owner(reversed(keys)) == limits


@given(st.lists(KEYS, max_size=4))
def test_no_key_of_an_owner_allows_more_than_any_other(keys: list[ApiKey]) -> None:
    limits = limits_by_owner(keys)
    assert set(limits) == {key.owner for key in keys}
    for key in keys:
        for name, own in key.policy.limits:
            holding = getattr(limits[key.owner], name)
            assert own is None or holding <= own
