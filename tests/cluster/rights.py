"""Rights that Roles grant to service accounts, compared with what the accounts asked of the API server. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

_PREFIX = "system:serviceaccount:"
_EVERYBODYS = frozenset({"selfsubjectreviews"})
"""Resources of authentication.k8s.io that the ClusterRole system:basic-user opens to whoever is known."""


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource (`pods`, `sandboxes/status`) of an API group; with `name`, on this object alone."""

    account: str
    group: str
    resource: str
    verb: str
    name: str = ""
    everywhere: bool = False
    """Outside of namespaces, by a ClusterRole."""

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}".strip(".")
        return " ".join(filter(None, (self.account, self.verb, what, self.name, "everywhere" * self.everywhere)))


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a service account in its own namespace, or in `elsewhere`."""

    right: Right
    """What it needed, with the object's name, if there was one."""
    allowed: bool
    elsewhere: str = ""

    def allowed_by(self) -> set[Right]:
        """The rights any of which allows it."""
        return set() if self.elsewhere else {self.right, replace(self.right, name="")}

    def __str__(self) -> str:
        return f"{self.right} in {self.elsewhere}" if self.elsewhere else str(self.right)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What does not fit, sorted."""

    refused: list[str]
    """Asked for, forbidden, and granted by none of the rights.

    An API server that has just been started forbids for some 0.1 s what is granted, since it does not know the Roles.
    """
    unused: list[Right]
    """Granted, and never asked for and allowed."""
    not_granted: list[str]
    """Asked for and allowed, though by none of the rights: somebody else has granted it."""


def granted(bindings: Iterable[Mapping[str, Any]], roles: Iterable[Mapping[str, Any]]) -> set[Right]:
    """What RoleBindings give to service accounts, of the Roles of the same namespace, and ClusterRoleBindings.

    Raises KeyError when a Role is missing, ValueError when a right is not an exact one.
    """
    rules: dict[str, list[dict[str, Any]]] = {role["metadata"]["name"]: role["rules"] for role in roles}
    return {
        right
        for binding in bindings
        for subject in binding["subjects"]
        for rule in rules[binding["roleRef"]["name"]]
        for right in _of_rule(subject["name"], rule, everywhere=binding["kind"] == "ClusterRoleBinding")
    }


def _of_rule(account: str, rule: Mapping[str, Any], *, everywhere: bool) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                if "*" in {group, resource, verb}:
                    raise ValueError(f"{account} has a right with a wildcard: {rule}")
                for name in rule.get("resourceNames") or [""]:
                    yield Right(account, group, resource, verb, name, everywhere)


def requests(events: Iterable[Mapping[str, Any]], accounts: set[str], namespaces: str) -> Iterator[Request]:
    """The requests of these service accounts in namespaces whose names begin so, from an audit log in its order.

    Left out are those for no resource (discovery), those that everybody may send, and refusals after a namespace has
    been deleted: the rights of what still runs there go before it does.
    """
    ended: set[str] = set()
    for event in events:
        target: dict[str, str] = event.get("objectRef") or {}
        if target.get("resource") == "namespaces" and "subresource" not in target:
            _follow(ended, event["verb"], target.get("name", ""), event)
        user: str = event["user"].get("username", "")
        namespace, _, account = user.removeprefix(_PREFIX).partition(":")
        if not user.startswith(_PREFIX + namespaces) or account not in accounts or "resource" not in target:
            continue
        if target["resource"] in _EVERYBODYS:
            continue
        decision = event.get("annotations", {}).get("authorization.k8s.io/decision")
        if decision is None:
            # Turned away before anybody asked what the account may do.
            continue
        allowed = decision == "allow"
        if not allowed and namespace in ended:
            continue
        resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
        where = target.get("namespace", "")
        group, name = target.get("apiGroup", ""), target.get("name", "")
        right = Right(account, group, resource, event["verb"], name, everywhere=not where)
        yield Request(right, allowed, "" if where in {"", namespace} else where)


def _follow(ended: set[str], verb: str, name: str, event: Mapping[str, Any]) -> None:
    if event.get("responseStatus", {}).get("code", 0) >= 300:
        return
    if verb == "delete":
        ended.add(name)
    elif verb in {"create", "patch"}:
        ended.discard(name)


def compare(rights: set[Right], asked: Iterable[Request]) -> Comparison:
    """Both ways."""
    used: set[Right] = set()
    refused: set[str] = set()
    not_granted: set[str] = set()
    for request in asked:
        if covering := rights & request.allowed_by():
            used.update(covering if request.allowed else ())
        else:
            (not_granted if request.allowed else refused).add(str(request))
    return Comparison(sorted(refused), sorted(rights - used), sorted(not_granted))
