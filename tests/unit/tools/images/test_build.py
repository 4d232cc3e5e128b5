"""What the cache answers, and how a build that cannot be is refused. Nothing is built here."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from images import base
from images.__main__ import app
from images.build import KEPT, Engine, build
from images.recipes import RECIPES, ImageName
from local_cluster.errors import ClusterError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, on a machine that has no tools to build with."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    directory = tmp_path / "cache" / "openhands-sandbox" / "images"
    directory.mkdir(parents=True)
    return directory


def archive_of(name: ImageName, cache: Path) -> Path:
    recipe = RECIPES[name]
    return cache / f"{recipe.title}-{recipe.key(base.key())}.tar"


def test_an_archive_of_the_same_files_is_taken(cache: Path) -> None:
    archive = archive_of(ImageName.AGENT_SERVER, cache)
    archive.touch()
    built = build(ImageName.AGENT_SERVER)
    key = archive.stem.rpartition("-")[2]
    assert built.archive == archive
    assert built.reference == f"localhost/openhands-agent-server:{key}"


def test_a_recipe_is_built_as_the_projects_own_are(cache: Path, tmp_path: Path) -> None:
    recipe = RECIPES[ImageName.CONTROLLER].snapshot(tmp_path / "copy")
    former = replace(recipe, repository="localhost/openhands-sandbox-0.1.0")
    archive = cache / f"openhands-sandbox-0.1.0-{former.key(base.key())}.tar"
    own = archive_of(ImageName.CONTROLLER, cache)
    for path in (archive, own):
        path.touch()
    assert build(former).archive == archive
    assert build(ImageName.CONTROLLER).archive == own


def test_the_archives_used_longest_ago_are_deleted(cache: Path) -> None:
    archive = archive_of(ImageName.CONTROLLER, cache)
    archive.touch()
    os.utime(archive, (0, 0))  # used longest ago until now
    older = [cache / f"openhands-sandbox-{age:012x}.tar" for age in range(1, KEPT + 2)]
    other = cache / "openhands-sandbox-cluster-0123456789ab.tar"
    for path in [*older, other]:
        path.touch()
        path.with_suffix(".log").touch()
    for age, path in enumerate(older, start=1):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    build(ImageName.CONTROLLER)
    kept = {archive, other, *older[: KEPT - 1]}
    assert set(cache.glob("*.tar")) == kept
    assert {log.stem for log in cache.glob("*.log")} == {path.stem for path in kept - {archive}}


def test_docker_without_docker_says_what_to_do(cache: Path) -> None:
    with pytest.raises(ClusterError, match="docker is not installed") as caught:
        build(ImageName.CONTROLLER, Engine.DOCKER)
    assert "--engine buildah" in str(caught.value)
    assert list(cache.glob("*.tar")) == []


def test_buildah_without_root_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match="needs root") as caught:
        build(ImageName.CONTROLLER)
    assert "--engine docker" in str(caught.value)


def test_buildah_without_a_package_manager_names_what_is_missing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ClusterError, match="buildah, mmdebstrap"):
        build(ImageName.CONTROLLER)
    assert list(cache.glob("build-scratch-*")) == []


def test_the_command_prints_json_for_scripts(cache: Path) -> None:
    archive = archive_of(ImageName.CONTROLLER, cache)
    archive.touch()
    result = CliRunner().invoke(app, ["build", "controller", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "controller": {
            "reference": f"localhost/openhands-sandbox:{archive.stem.rpartition('-')[2]}",
            "archive": str(archive),
        }
    }


def test_the_command_fails_with_the_remedy(cache: Path) -> None:
    result = CliRunner().invoke(app, ["build", "controller", "--engine", "docker"])
    assert result.exit_code == 1
    assert "remedy: install a Docker engine" in result.stderr


def test_the_command_refuses_an_unknown_image(cache: Path) -> None:
    result = CliRunner().invoke(app, ["build", "database"])
    assert result.exit_code == 2
    assert "'database' is not one of" in result.stderr
