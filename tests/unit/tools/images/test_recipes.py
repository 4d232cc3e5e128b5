"""What changes the name of a build, and what does not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from images.recipes import RECIPES, ImageName, Recipe, copied_paths

BASE = "0123456789ab"
DOCKERFILE = """\
FROM base AS build
COPY --chown=1:1 lock.txt \\
    code /build/
FROM base
COPY --from=build /opt /opt
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    context = tmp_path / "context"
    (context / "code" / "inner").mkdir(parents=True)
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "lock.txt").write_text("a==1\n")
    (context / "code" / "a.py").write_text("A = 1\n")
    (context / "code" / "inner" / "b.py").write_text("B = 1\n")
    return Recipe("localhost/thing", context)


CHANGES: dict[str, Callable[[Path], object]] = {
    "code": lambda at: (at / "code" / "inner" / "b.py").write_text("B = 2\n"),
    "moved": lambda at: (at / "code" / "inner" / "b.py").rename(at / "code" / "b.py"),
    "new empty file": lambda at: (at / "code" / "new").write_text(""),
    "deleted": lambda at: (at / "code" / "a.py").unlink(),
    "executable": lambda at: (at / "code" / "a.py").chmod(0o755),
    "lock": lambda at: (at / "lock.txt").write_text("a==2\n"),
    "Dockerfile": lambda at: (at / "Dockerfile").write_text(DOCKERFILE + "USER 1\n"),
}
NO_CHANGES: dict[str, Callable[[Path], object]] = {
    "a file that is not copied": lambda at: (at / "README.md").write_text("Words\n"),
    "time": lambda at: os.utime(at / "code" / "a.py", (1, 1)),
    "readable by whom": lambda at: (at / "code" / "a.py").chmod(0o600),
    "empty directory": lambda at: (at / "code" / "empty").mkdir(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_key_follows_whatever_goes_into_the_image(recipe: Recipe, change: Callable[[Path], object]) -> None:
    before = recipe.key(BASE)
    change(recipe.context)
    assert recipe.key(BASE) != before


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_key_ignores_what_does_not(recipe: Recipe, change: Callable[[Path], object]) -> None:
    before = recipe.key(BASE)
    change(recipe.context)
    assert recipe.key(BASE) == before


def test_key_ignores_byte_code(recipe: Recipe) -> None:
    before = recipe.key(BASE)
    cache = recipe.context / "code" / "inner" / "__pycache__"
    cache.mkdir()
    (cache / "b.cpython-313.pyc").write_bytes(b"\0")
    assert recipe.key(BASE) == before


def test_key_follows_the_base(recipe: Recipe) -> None:
    assert recipe.key(BASE) != recipe.key("ba9876543210")


def test_content_that_moves_between_files_changes_the_key(recipe: Recipe) -> None:
    """Two files' contents are told apart although they are hashed one after the other."""
    first, second = recipe.context / "code" / "a.py", recipe.context / "code" / "inner" / "b.py"
    first.write_text("xy")
    second.write_text("z")
    before = recipe.key(BASE)
    first.write_text("x")
    second.write_text("yz")
    assert recipe.key(BASE) != before


def test_a_copied_path_that_is_missing_is_named(recipe: Recipe) -> None:
    (recipe.context / "lock.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"lock\.txt"):
        recipe.key(BASE)


def test_snapshot_has_the_same_key_and_only_the_inputs(recipe: Recipe, tmp_path: Path) -> None:
    (recipe.context / "secret.env").write_text("TOKEN=1\n")
    copy = recipe.snapshot(tmp_path / "copy")
    assert copy.key(BASE) == recipe.key(BASE)
    assert sorted(str(file.relative_to(copy.context)) for file in copy.context.rglob("*") if file.is_file()) == [
        "Dockerfile",
        "code/a.py",
        "code/inner/b.py",
        "lock.txt",
    ]


def test_snapshot_stays_when_the_source_changes(recipe: Recipe, tmp_path: Path) -> None:
    copy = recipe.snapshot(tmp_path / "copy")
    before = copy.key(BASE)
    (recipe.context / "code" / "a.py").write_text("A = 2\n")
    assert copy.key(BASE) == before


@pytest.mark.parametrize(
    ("dockerfile", "paths"),
    [
        ("FROM a\n", []),
        ("COPY a b /x/\n", ["a", "b"]),
        ("copy a /x\n# COPY c /x\n", ["a"]),
        ("COPY --chmod=755 --from=build a /x\nCOPY --chmod=755 a /x\n", ["a"]),
        ("COPY a \\\n  b \\\n  /x/\nRUN cp COPY x\n", ["a", "b"]),
    ],
)
def test_copied_paths(dockerfile: str, paths: list[str]) -> None:
    assert copied_paths(dockerfile) == paths


@pytest.mark.parametrize(
    "line", ["ADD a /x", "COPY *.py /x/", "COPY $SOURCE /x", 'COPY ["a", "/x"]', "COPY <<END /x", "COPY a[12] /x"]
)
def test_forms_that_hide_what_is_copied_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="support"):
        copied_paths(f"FROM a\n{line}\n")


def test_reference_and_title() -> None:
    recipe = RECIPES[ImageName.AGENT_SERVER]
    assert recipe.reference("abc") == "localhost/openhands-agent-server:abc"
    assert recipe.title == "openhands-agent-server"
