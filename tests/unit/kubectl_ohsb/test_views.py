"""What is printed."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubectl_ohsb import views
from kubectl_ohsb.key_secrets import StoredKey
from sandbox_common.api_keys import ApiKey, Hash, Limits, Policy, encode
from sandbox_common.keys import api_key_hash
from sandbox_crds.api import API_KEY_LABEL, MANAGED_BY_LABEL

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BORN = "2026-11-20T08:00:00Z"
NEW, OLD = api_key_hash("new"), api_key_hash("old")
LIMITED = Policy(limits=Limits(running=5, requests_per_minute=60), images=("ghcr.io/openhands/*",), classes=("small",))
ADMIN = Policy(admin=True)


def key(name: str = "ci", policy: Policy = LIMITED, *hashes: Hash) -> ApiKey:
    return ApiKey(name, "team-a", hashes or (Hash(NEW, NOW + 9 * DAY), Hash(OLD, NOW + DAY)), policy)


def secret(data: dict[str, str], name: str = "ci", **metadata: Any) -> dict[str, Any]:
    fixed = {"uid": f"uid-of-{name}", "resourceVersion": "7", "creationTimestamp": BORN}
    return {"metadata": {"name": name, "labels": {API_KEY_LABEL: "true"}, **fixed, **metadata}, "data": data}


def stored(key: ApiKey, **metadata: Any) -> StoredKey:
    return StoredKey.of(secret(encode(key), key.name, **metadata))


BROKEN = StoredKey.of(secret({"sha256": "eA=="}, "broken"))


def test_a_document() -> None:
    assert views.document(stored(key()), "team", NOW) == {
        "name": "ci",
        "namespace": "team",
        "created": BORN,
        "owner": "team-a",
        "status": "Valid",
        "expires": "2026-12-06T12:00:00Z",
        "olderKeyValidUntil": "2026-11-28T12:00:00Z",
        "limits": {"running": 5, "requestsPerMinute": 60},
        "images": ["ghcr.io/openhands/*"],
        "classes": ["small"],
        "admin": False,
    }
    assert views.document(stored(key(policy=ADMIN)), "team", NOW)["admin"] is True


def test_a_document_of_what_has_ended() -> None:
    document = views.document(stored(key()), "team", NOW + 9 * DAY)
    assert (document["status"], document["olderKeyValidUntil"]) == ("Expired", None)


def test_a_document_of_what_cannot_be_read() -> None:
    document = views.document(BROKEN, "team", NOW)
    assert document["status"] == "Unreadable"
    assert document["error"] == "data.owner is missing"


def test_a_table() -> None:
    keys = [stored(key()), stored(key("laptop", ADMIN, Hash(NEW)))]
    lines = views.table([*keys, BROKEN], NOW).splitlines()
    assert [[cell.strip() for cell in line.split("   ") if cell] for line in lines] == [
        ["NAME", "OWNER", "ADMIN", "STATUS", "LIMITS", "CREATED", "EXPIRES", "OLDER KEY UNTIL"],
        [
            "ci",
            "team-a",
            "no",
            "Valid",
            "running=5, requestsPerMinute=60",
            BORN,
            "2026-12-06T12:00:00Z",
            "2026-11-28T12:00:00Z",
        ],
        ["laptop", "team-a", "yes", "Valid", "none", BORN, "never", "-"],
        ["broken", "-", "-", "Unreadable", "data.owner is missing", BORN, "-", "-"],
    ]
    assert {line.find("20T08") for line in lines[1:]} == {lines[0].find("CREATED") + len("2026-11-")}


def test_a_page_tells_what_holds_for_the_owner() -> None:
    shared = key("laptop", Policy(limits=Limits(running=2, sandboxes=9)))
    lines = views.page(stored(key()), key(), [key(), shared], ["a", "b"], NOW).splitlines()
    rows = dict(line.split(":", 1) for line in lines)
    assert rows["Keys of the owner"].strip() == "ci, laptop"
    # Requests are counted for each key by itself.
    assert rows["Limits of the owner"].strip() == "running=2, sandboxes=9"
    assert rows["Limits"].strip() == "running=5, requestsPerMinute=60"
    assert rows["Sandboxes of the owner"].strip() == "2"
    assert rows["Administrator"].strip() == "no"
    assert "Helm release" not in rows
    assert views.document_of_owner([key(), shared], None) == {
        "keys": ["ci", "laptop"],
        "limits": {"running": 2, "sandboxes": 9},
        "sandboxes": None,
    }


def by_helm(key: ApiKey) -> StoredKey:
    labels = {API_KEY_LABEL: "true", MANAGED_BY_LABEL: "Helm"}
    return stored(key, labels=labels, annotations={"meta.helm.sh/release-name": "agents"})


def test_a_key_of_the_chart_says_so() -> None:
    assert views.page(by_helm(key()), key(), [key()], None, NOW).splitlines()[-1].split() == [
        "Helm",
        "release:",
        "agents",
    ]
    assert any("apiKey.create" in line for line in views.after_revocation(by_helm(key()), "team", [], []))


def test_what_a_revoked_key_leaves_behind() -> None:
    lines = views.after_revocation(stored(key()), "team", ["laptop"], ["sb-1", "sb-2"])
    assert lines == [
        "Owner team-a still has other keys: laptop.",
        "Sandboxes of owner team-a that still exist: 2. To end them: kubectl delete ohsb --namespace team sb-1 sb-2",
    ]
    assert views.after_revocation(stored(key()), "team", [], []) == ["No sandbox of owner team-a exists."]
    assert views.after_revocation(stored(key()), "team", [], None) == [
        "Sandboxes of owner team-a may still exist: kubectl get ohsb --namespace team"
    ]
    assert views.after_revocation(BROKEN, "team", [], None)
    assert views.revoked(BROKEN, "team", [], None)["owner"] is None


def test_only_other_keys_of_the_owner_are_named() -> None:
    other = StoredKey.of(secret(encode(ApiKey("x", "team-b", (Hash(NEW),), Policy())), "x"))
    assert views.others_of_owner(stored(key()), [stored(key()), stored(key("laptop")), other, BROKEN]) == ["laptop"]
    assert views.others_of_owner(BROKEN, [stored(key()), BROKEN]) == []


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4))
def test_nothing_that_is_stored_can_steer_the_terminal(rows: list[tuple[str, str]]) -> None:
    printed = views.columns(rows)
    assert len(printed.split("\n")) == len(rows)
    assert all(line.isprintable() for line in printed.split("\n"))


def test_no_hash_is_ever_printed() -> None:
    item = stored(key())
    printed = [
        json.dumps(views.document(item, "team", NOW)),
        views.table([item], NOW),
        views.page(item, key(), [key()], [], NOW),
        json.dumps(views.revoked(item, "team", [], [])),
        repr(item),
    ]
    for text in printed:
        assert NEW not in text
        assert OLD not in text
