"""`kubectl ohsb images`: files that people write, and what they are shown."""

import pytest
from click.testing import CliRunner

from kubectl_ohsb.connection import refused
from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.images import document, page, progress, row, size
from kubectl_ohsb.lists import decoded, is_settled, joined, read
from kubectl_ohsb.main import ohsb
from sandbox_common.kube import ApiError
from sandbox_crds.models import SandboxImages
from sandbox_crds.models.sandbox_images import MOST_IMAGES

STATUS = {
    "observedGeneration": 1,
    "conditions": [
        {"type": "Ready", "status": "False", "reason": "PullsFailing", "message": "m", "lastTransitionTime": "t"}
    ],
    "images": 3,
    "nodes": 1,
    "wanted": 3,
    "ready": 2,
    "failed": 1,
    "bytes": 1_500_000_000,
    "byNode": [{"name": "node-1", "ready": 2, "failed": 1, "bytes": 1_500_000_000}],
    "failures": [{"image": "c", "reason": "ImageNotFound", "message": "not\x1b found", "nodes": 1}],
}


def item(**status: object) -> SandboxImages:
    return SandboxImages.model_validate(
        {
            "metadata": {"name": "tasks", "generation": 1},
            "spec": {"images": ["a", "b", "c"]},
            "status": {**STATUS, **status},
        }
    )


def test_a_file_has_an_image_in_each_line() -> None:
    assert read("# tasks\n\n python:3 # the first\r\nghcr.io/a/b@sha256:" + "0a" * 32 + "\n") == [
        "python:3",
        "ghcr.io/a/b@sha256:" + "0a" * 32,
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no images"),
        ("# nothing\n", "no images"),
        ("a\nB//c\nhttps://ghcr.io/a", "line 2: 'B//c' is no image reference"),
        ("\n".join(["A"] * 9), "and 4 more"),
        ("a/" + "b" * 600, "has more than 512 characters"),
        ("a\x1b[2J", r"line 1: 'a\x1b[2J'"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_line(text: str, named: str) -> None:
    with pytest.raises(Refusal) as refusal:
        read(text)
    assert named in refusal.value.message


@pytest.mark.parametrize("content", [b"a:1\nb\xff:2\n", "a:1\n\u00fc".encode("latin-1")])
def test_a_file_in_another_encoding_is_refused_with_its_line(content: bytes) -> None:
    result = CliRunner().invoke(ohsb, ["images", "add", "-f", "-"], input=content)
    assert result.exit_code == 1
    assert "line 2 is not in UTF-8" in result.output


def test_a_byte_order_mark_is_no_part_of_an_image() -> None:
    assert read(decoded(b"\xef\xbb\xbfa:1\r\n")) == ["a:1"]


@pytest.mark.parametrize(
    ("resource", "message", "remedy"),
    [
        ("sandboximages", "404 page not found", "sandboximages.sandbox.openhands.dev is not installed"),
        ("sandboximages", 'namespaces "absent" not found', "check --namespace"),
        ("secrets", 'namespaces "absent" not found', "check --namespace"),
    ],
)
def test_what_the_cluster_has_not_is_named(resource: str, message: str, remedy: str) -> None:
    assert remedy in refused(ApiError(404, "NotFound", message), resource)


def test_a_list_keeps_its_order_and_each_image_once() -> None:
    assert joined(["b", "a:1"], ["docker.io/library/b:latest", "c", "c"]) == ["b", "a:1", "c"]


def test_a_list_that_is_too_long_is_refused_with_what_to_do() -> None:
    assert len(joined([], [f"a:{number}" for number in range(MOST_IMAGES)])) == MOST_IMAGES
    with pytest.raises(Refusal, match=r"a list can have 2500 images, and this one would have 10000: .* --name"):
        joined([], [f"a:{number}" for number in range(10_000)])


def test_what_people_are_shown() -> None:
    found = item()
    assert row(found) == ("tasks", "3", "1", "2/3", "0", "1", "1.5 GB", "PullsFailing")
    assert progress(found) == "2 of 3 ready, 0 pulling, 1 failed"
    text = page(found)
    assert "Ready: m" in text
    assert "ImageNotFound" in text
    assert "\x1b" not in text
    assert document(found)["failures"][0]["image"] == "c"
    assert row(SandboxImages.model_validate({"spec": {"images": ["a"]}}))[-1] == "-"


def test_a_list_is_settled_when_nothing_is_on_its_way() -> None:
    assert is_settled(item())
    assert not is_settled(item(ready=1, pulling=1))
    assert not is_settled(item(observedGeneration=0))
    assert not is_settled(item(wanted=0, ready=0, failed=0))


@pytest.mark.parametrize(
    ("bytes_", "text"), [(0, "0 B"), (999, "999 B"), (52_400_000, "52 MB"), (2 * 10**12, "2.0 TB")]
)
def test_sizes(bytes_: int, text: str) -> None:
    assert size(bytes_) == text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["images", "add"], "--filename"),
        (["images", "add", "-f", "-", "--node-selector", "disk"], "--node-selector"),
        (["images", "add", "-f", "-", "--parallelism", "0"], "--parallelism"),
        (["images", "add", "-f", "-", "--name", "1st"], "a letter first"),
        (["images", "add", "-f", "-", "--name", "a" * 51], "1 to 50"),
        (["images", "show"], "NAME"),
        (["images", "show", "tasks", "--timeout", "soon"], "--timeout"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(ohsb, arguments, input="a\n")
    assert result.exit_code == 2
    assert named in result.output
