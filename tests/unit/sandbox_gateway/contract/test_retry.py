"""The table of causes that pass by themselves."""

import ast
from pathlib import Path

import sandbox_gateway
from sandbox_gateway.contract.retry import RETRY, Passing

EXPECTED = {
    "STARTING": (503, 2),
    "UNREACHABLE": (503, 5),
    "MOVED": (503, 5),
    "NOT_WOKEN": (503, 5),
    "NOT_KNOWN": (503, 1),
    "BEING_DELETED": (503, 5),
    "SERVICE_STARTING": (503, 5),
    "TOO_MANY_HELD": (503, 5),
    "TOO_MANY_BODIES": (503, 5),
    "TOO_MANY_CONNECTIONS": (503, 5),
    "API_SERVER": (503, 5),
    "ENDING": (503, 1),
    "TOO_MANY_STREAMS": (429, 5),
    "TOO_MANY_OF_SANDBOX": (429, 5),
    "TOO_MANY_OF_OWNER": (429, 5),
    "LIMIT": (429, 30),
    "QUOTA": (429, 30),
    "NAMESPACE": (503, 30),
}


def test_each_cause_has_its_status_and_seconds() -> None:
    assert {why.name: RETRY[why] for why in Passing} == EXPECTED


def test_each_cause_is_one_of_a_refusal() -> None:
    package = Path(sandbox_gateway.__path__[0])
    used = {
        node.attr
        for path in package.rglob("*.py")
        if path.name != "retry.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Passing"
    }
    assert used == set(EXPECTED)
