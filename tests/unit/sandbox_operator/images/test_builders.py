"""Pods that keep images."""

import re

import pytest

from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.names import SANDBOX_NAME
from sandbox_operator.images.builders import build_keeper, new_name
from unit.sandbox_operator.images.golden import CASES, DIRECTORY, text
from unit.sandbox_operator.images.samples import NODE, images, listed


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    assert (DIRECTORY / f"{name}.yaml").read_text() == text(name)


def test_no_part_of_the_project_takes_it_for_a_sandbox() -> None:
    pod = build_keeper(listed("a"), NODE, ["a"], "pause:1", "tasks-a")
    assert SANDBOX_LABEL not in pod["metadata"]["labels"]


def test_it_runs_only_the_pause_program() -> None:
    [container] = build_keeper(listed("a"), NODE, images(32), "pause:1", "tasks-a")["spec"]["containers"]
    assert (container["image"], container.get("command"), container.get("args")) == ("pause:1", None, None)
    assert all(mount["readOnly"] for mount in container["volumeMounts"])


def test_names_are_labels_and_new() -> None:
    item = listed("a")
    made = {new_name(item) for _ in range(50)}
    assert len(made) == 50
    assert all(re.match(SANDBOX_NAME, name) for name in made)
