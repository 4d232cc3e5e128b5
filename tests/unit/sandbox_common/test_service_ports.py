"""Which service ports a sandbox has: the class's word, then the sandbox's own, and what a client's environment says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.service_ports import VARIABLES, named_in, of_class, of_sandbox
from sandbox_crds.models import SandboxClassSpec, SandboxSpec
from sandbox_crds.names import SERVICES

DEFAULTS = {"vscode": 60001, "work-1": 12000, "work-2": 12001}
PORTS = st.dictionaries(st.sampled_from(SERVICES), st.integers(0, 65535))


def class_(ports: dict[str, int]) -> SandboxClassSpec:
    return SandboxClassSpec.model_validate({"servicePorts": ports})


def sandbox(ports: dict[str, int]) -> SandboxSpec:
    return SandboxSpec.model_validate({"image": "i", "servicePorts": ports})


@pytest.mark.parametrize(
    ("of_its_class", "own", "expected"),
    [
        ({}, {}, DEFAULTS),
        ({"work-1": 3000}, {}, DEFAULTS | {"work-1": 3000}),
        ({"work-1": 3000}, {"work-1": 4000, "vscode": 8001}, {"vscode": 8001, "work-1": 4000, "work-2": 12001}),
        ({}, {"vscode": 0}, {"work-1": 12000, "work-2": 12001}),
        ({"vscode": 0, "work-2": 0}, {"vscode": 60001, "work-2": 0}, {"work-1": 12000}),
    ],
)
def test_the_class_has_the_first_word(
    of_its_class: dict[str, int], own: dict[str, int], expected: dict[str, int]
) -> None:
    assert of_sandbox(sandbox(own), class_(of_its_class)) == expected


@given(PORTS, PORTS)
def test_a_sandbox_changes_ports_and_adds_none(of_its_class: dict[str, int], own: dict[str, int]) -> None:
    offered, ports = of_class(class_(of_its_class)), of_sandbox(sandbox(own), class_(of_its_class))
    assert ports == {name: port for name in offered if (port := own.get(name, offered[name]))}
    assert offered == {name: port for name in DEFAULTS if (port := of_its_class.get(name, DEFAULTS[name]))}


@pytest.mark.parametrize(
    ("value", "port"),
    [("60001", 60001), ("1", 1), ("65535", 65535), ("08080", 8080)]
    + [(text, None) for text in ("", "0", "65536", "-1", "8080 ", "80.0", "0x50", "1" * 5000, "٣", "http", "\n80")],
)
def test_a_variable_is_heeded_if_it_is_a_port_number(value: str, port: int | None) -> None:
    for service, variable in VARIABLES.items():
        assert named_in({variable: value, "OTHER": "5"}) == ({} if port is None else {service: port})


@given(st.dictionaries(st.sampled_from([*VARIABLES.values(), "PATH"]), st.text()))
def test_whatever_an_environment_says_a_sandbox_can_have_it(environment: dict[str, str]) -> None:
    ports = named_in(environment)
    assert sandbox(ports).service_ports.model_dump(by_alias=True, exclude_none=True) == ports
