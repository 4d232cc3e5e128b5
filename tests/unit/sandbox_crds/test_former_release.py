"""What the release before this version has stored, this version's definitions keep and accept."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

import releases
from sandbox_crds.manifests import Schema, schemas

FORMER: dict[str, Schema] = {
    manifest["spec"]["names"]["kind"]: manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for manifest in releases.definitions()
}
_RULES = "x-kubernetes-validations"
_WORDS = frozenset({"description", "title", "example", "default"})
"""What decides nothing about what is stored."""


def narrowed(before: Schema, after: Schema, path: str) -> Iterator[str]:
    """Where `after` does not take what `before` takes, or takes it in another way."""
    others: dict[str, Schema] = after.get("properties", {})
    for field, part in before.get("properties", {}).items():
        if field in others:
            yield from narrowed(part, others[field], f"{path}.{field}")
        else:
            yield f"{path}.{field} is gone"
    for field in sorted(set(after.get("required", ())) - set(before.get("required", ()))):
        yield f"{path}.{field} is required"
    rules = [rule["rule"] for rule in before.get(_RULES, ())]
    yield from (f"{path}: {rule['rule']}" for rule in after.get(_RULES, ()) if rule["rule"] not in rules)
    for name in sorted({*before, *after} - {"properties", "required", _RULES} - _WORDS):
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from narrowed(cast("Schema", old), cast("Schema", new), f"{path}.{name}")
        elif not _allows(name, old, new):
            yield f"{path}.{name}: {old}, then {new}"


def _allows(name: str, old: Any, new: Any) -> bool:
    if old == new or (new is None and (name in {"enum", "pattern"} or name.startswith(("min", "max")))):
        return True
    if old is None:
        return False
    if name == "enum":
        return set(old) <= set(new or ())
    return old >= new if name.startswith("min") else name.startswith("max") and old <= new


@pytest.mark.parametrize("kind", FORMER)
def test_nothing_is_removed_or_narrowed(kind: str) -> None:
    assert [*narrowed(FORMER[kind], schemas()[kind], kind)] == []


CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "a field is gone": (lambda spec: spec["properties"].pop("owner"), ".owner is gone"),
    "a field is required": (lambda spec: spec["required"].append("owner"), ".owner is required"),
    "another type": (lambda spec: spec["properties"]["owner"].update(type="integer"), ".owner.type: string"),
    "less room": (lambda spec: spec["properties"]["image"].update(maxLength=1), ".image.maxLength: "),
    "a new limit": (lambda spec: spec["properties"]["image"].update(minLength=400), ".image.minLength: "),
    "a value is gone": (lambda spec: spec["properties"]["service"]["enum"].pop(), ".service.enum: "),
    "only some values": (lambda spec: spec["properties"]["owner"].update(enum=["a"]), ".owner.enum: None"),
    "a new rule": (
        lambda spec: spec["properties"]["owner"].update({"x-kubernetes-validations": [{"rule": "false"}]}),
        ".owner: false",
    ),
    "a pattern": (lambda spec: spec["properties"]["owner"].update(pattern="^a$"), ".owner.pattern: "),
    "in a list": (lambda spec: spec["properties"]["command"]["items"].update(maxLength=1), ".command.items.maxLength"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_narrower_is_found(change: str) -> None:
    alter, words = CHANGES[change]
    changed = copy.deepcopy(FORMER["Sandbox"])
    alter(changed["properties"]["spec"])
    [found] = narrowed(FORMER["Sandbox"], changed, "")
    assert words in found


def test_what_is_wider_is_fine() -> None:
    changed = copy.deepcopy(FORMER["Sandbox"])
    spec = changed["properties"]["spec"]
    spec["properties"]["new"] = {"type": "string", "maxLength": 3}
    spec["properties"]["service"]["enum"].append("More")
    del spec["properties"]["image"]["maxLength"]
    spec["required"] = []
    assert [*narrowed(FORMER["Sandbox"], changed, "")] == []
