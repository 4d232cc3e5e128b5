"""The Dockerfiles, their locks and the project agree with each other."""

import re
import tomllib

import pytest

from images.recipes import RECIPES, ImageName, copied_paths
from local_cluster.paths import ROOT

CONTROLLER = RECIPES[ImageName.CONTROLLER]
AGENT_SERVER = RECIPES[ImageName.AGENT_SERVER]
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z0-9,-]+\])?==(\S+)", re.MULTILINE)


def instructions(name: ImageName, word: str) -> list[str]:
    """The arguments of every instruction of one kind, in their order."""
    text = RECIPES[name].dockerfile.read_text().replace("\\\n", " ")
    return [line.removeprefix(word).strip() for line in text.splitlines() if line.startswith(f"{word} ")]


def pins(lock: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / lock).read_text()))


@pytest.mark.parametrize("name", list(ImageName))
def test_inputs_exist(name: ImageName) -> None:
    assert all((RECIPES[name].context / path).exists() for path in copied_paths(RECIPES[name].dockerfile.read_text()))


def test_docker_sees_exactly_what_the_controller_image_copies() -> None:
    """`.dockerignore` lets through what the Dockerfile copies: less breaks `docker build`, more slows it."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    assert allowed == set(copied_paths(CONTROLLER.dockerfile.read_text()))


def test_the_controller_image_has_every_package_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert packages <= set(copied_paths(CONTROLLER.dockerfile.read_text()))
    assert instructions(ImageName.CONTROLLER, "CMD") == ['["sandbox-operator"]']
    assert "sandbox-operator" in project["project"]["scripts"]


def test_the_project_is_the_last_layer_of_the_controller_image() -> None:
    last = CONTROLLER.dockerfile.read_text().strip().splitlines()[-1]
    assert last.startswith("COPY --from=project ")


@pytest.mark.parametrize("name", list(ImageName))
def test_images_run_as_a_numbered_user(name: ImageName) -> None:
    """Kubernetes checks `runAsNonRoot` by number only."""
    user = instructions(name, "USER")[-1]
    assert user == ("65532:65532" if name is ImageName.CONTROLLER else "10001:10001")


@pytest.mark.parametrize("name", list(ImageName))
def test_what_is_installed_is_checked_by_hash(name: ImageName) -> None:
    installs = [
        step.split("&&") for step in instructions(name, "RUN") if re.search(r"\b(pip install|pip sync)\b", step)
    ]
    commands = [command for step in installs for command in step if re.search(r"\b(pip install|pip sync)\b", command)]
    assert len(commands) >= 2
    assert all("--require-hashes" in command or "--offline" in command for command in commands)


@pytest.mark.parametrize("name", list(ImageName))
def test_byte_code_is_compiled_as_never_changing(name: ImageName) -> None:
    compiled = [step for step in instructions(name, "RUN") if "compileall" in step]
    assert compiled
    assert all("--invalidation-mode unchecked-hash" in step for step in compiled)


@pytest.mark.parametrize(
    "lock",
    ["requirements.lock.txt", "agent_server_image/requirements.lock.txt", "agent_server_image/build-tools.lock.txt"],
)
def test_locks_have_hashes_and_no_addresses(lock: str) -> None:
    text = (ROOT / lock).read_text()
    requirements = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert len(requirements) == len(pins(lock)) >= 5
    assert all("--hash=sha256:" in requirement for requirement in requirements)
    assert not re.search(r"://|--index|--find-links", text)


def test_the_agent_servers_lock_follows_its_requirements() -> None:
    wanted = pins("agent_server_image/requirements.in")
    assert set(wanted) >= {"openhands-agent-server", "openhands-tools", "openhands-sdk", "openhands-workspace"}
    assert len(set(wanted.values())) == 1
    assert wanted.items() <= pins("agent_server_image/requirements.lock.txt").items()


def test_build_tools_are_what_the_builds_need() -> None:
    assert {"uv", "hatchling", "setuptools"} <= set(pins("agent_server_image/build-tools.lock.txt"))


def test_the_agent_server_starts_under_an_init_by_the_path_that_clients_name() -> None:
    path = "/usr/local/bin/openhands-agent-server"
    assert instructions(ImageName.AGENT_SERVER, "ENTRYPOINT") == [f'["/usr/bin/tini", "--", "{path}"]']
    assert any(path in step.split() for step in instructions(ImageName.AGENT_SERVER, "RUN"))


def test_the_paths_that_clients_and_agents_name_are_links() -> None:
    """`/agent-server/.venv/bin/python` is what the SDK's `target_type="source"` starts."""
    words = " ".join(instructions(ImageName.AGENT_SERVER, "RUN")).split()
    assert {"/agent-server/.venv", "/opt/agent-server/bin/uvx", '"$node/bin/node"', "npx", "ripgrep"} <= set(words)


@pytest.mark.parametrize("name", list(ImageName))
def test_all_images_can_be_built_from_a_given_base(name: ImageName) -> None:
    text = RECIPES[name].dockerfile.read_text()
    first = next(line for line in text.splitlines() if line and not line.startswith("#"))
    assert first.startswith("ARG BASE_IMAGE=")
    stages = {words[2] for source in instructions(name, "FROM") if len(words := source.split()) == 3}
    outside = {source.split()[0] for source in instructions(name, "FROM")} - stages
    assert outside == {"${BASE_IMAGE}"}


def test_without_a_target_the_image_is_the_plain_one() -> None:
    stages = instructions(ImageName.AGENT_SERVER, "FROM")
    assert stages[-1] == "plain"
    assert RECIPES[ImageName.AGENT_SERVER_FULL].target in [stage.split()[-1] for stage in stages]
