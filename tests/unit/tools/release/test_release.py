"""What is kept of a release: its chart and all that its image is made from, as they were committed."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

import releases
from images.recipes import copied_paths
from local_cluster.errors import ClusterError
from release.__main__ import main

DOCKERFILE = "FROM base\nCOPY lock.txt code /build/\n"
CHART = {"apiVersion": "v2", "name": "openhands-sandbox", "version": "1.2.3"}
FORMER = ("openhands-sandbox-1.2.2.tgz", "controller-image-1.2.2.tar.gz")


def git(repository: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    subprocess.run(["git", "-C", repository, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with a single commit."""
    root = tmp_path / "repository"
    files = {
        "pyproject.toml": '[project]\nversion = "1.2.3"\n',
        "Dockerfile": DOCKERFILE,
        "lock.txt": "a==1\n",
        "code/a.py": "A = 1\n",
        "README.md": "Words\n",
        "helm/openhands-sandbox/Chart.yaml": yaml.safe_dump(CHART),
        "helm/openhands-sandbox/crds/things.yaml": "kind: CustomResourceDefinition\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message=Release")
    return root


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A directory with the release before."""
    directory = tmp_path / "kept"
    directory.mkdir()
    for name in (*FORMER, "README.md"):
        (directory / name).touch()
    return directory


def contents(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as opened:
        return {one.name: file.read().decode() for one in opened if (file := opened.extractfile(one))}


def test_it_takes_the_place_of_the_one_before(repository: Path, kept: Path) -> None:
    (repository / "code" / "a.py").write_text("A = 2 # not committed\n")
    (repository / "helm" / "openhands-sandbox" / "notes.txt").touch()
    main("HEAD", repository, kept)
    chart, image = "openhands-sandbox-1.2.3.tgz", "controller-image-1.2.3.tar.gz"
    assert {file.name for file in kept.iterdir()} == {chart, image, "README.md"}
    assert contents(kept / image) == {"Dockerfile": DOCKERFILE, "lock.txt": "a==1\n", "code/a.py": "A = 1\n"}
    packaged = contents(kept / chart)
    assert packaged.keys() == {f"openhands-sandbox/{name}" for name in ("Chart.yaml", "crds/things.yaml")}
    assert yaml.safe_load(packaged["openhands-sandbox/Chart.yaml"])["version"] == "1.2.3"


@pytest.mark.parametrize(("project", "chart"), [("1.2.4", "1.2.3"), ("1.2.3-dev.0", "1.2.3-dev.0")])
def test_what_is_no_release_is_refused(repository: Path, kept: Path, project: str, chart: str) -> None:
    (repository / "pyproject.toml").write_text(f'[project]\nversion = "{project}"\n')
    (repository / "helm/openhands-sandbox/Chart.yaml").write_text(yaml.safe_dump({**CHART, "version": chart}))
    git(repository, "commit", "--quiet", "--all", "--message=Go on")
    with pytest.raises(ClusterError, match=f"{project} in pyproject.toml of HEAD is no release"):
        main("HEAD", repository, kept)
    assert {file.name for file in kept.iterdir()} == {*FORMER, "README.md"}


def test_the_release_that_is_kept_is_whole(tmp_path: Path) -> None:
    recipe = releases.unpack(tmp_path)
    inputs = set(recipe.inputs())
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == inputs
    assert set(copied_paths(recipe.dockerfile.read_text())) >= {"pyproject.toml", "requirements.lock.txt"}
    assert f'version = "{releases.VERSION}"' in (tmp_path / "pyproject.toml").read_text()
    assert len(releases.definitions()) >= 5
    assert {one["kind"] for one in releases.definitions()} == {"CustomResourceDefinition"}


def test_its_processes_have_its_packages(tmp_path: Path) -> None:
    recipe = releases.unpack(tmp_path)
    names = ("sandbox_crds", "sandbox_common", "sandbox_operator", "sandbox_gateway", "kubectl_ohsb")
    program = f"from importlib.util import find_spec; print(*(find_spec(name).origin for name in {names}), sep='\\n')"
    environment = releases.environment(recipe.context)
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert [Path(file).is_relative_to(tmp_path) for file in found] == [True] * len(names)
