"""The chart's values for the demo, and what is said of pods that hold it up."""

import json
from pathlib import Path
from typing import Any

import pytest

from demo.local_target import LocalTarget
from demo.release import installed, read_values, unready, values
from demo.targets import Images
from local_cluster.errors import ClusterError


def test_the_image_reference_is_taken_apart_at_its_tag() -> None:
    made = values(Images("registry.example:5000/team/sandbox:abc", "agent:1"))
    assert made["image"] == {"repository": "registry.example:5000/team/sandbox", "tag": "abc"}
    assert made["test"] == {"agentServerImage": "agent:1"}


def test_the_installed_images_are_those_of_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    images = Images("registry.example:5000/team/sandbox:abc", "agent:1")
    target = LocalTarget(egress=False)

    def helm(*_arguments: str) -> str:
        return json.dumps(values(images))

    monkeypatch.setattr(target, "helm", helm)
    assert installed(target, "any").images == images


def test_without_an_installation_the_remedy_is_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    target = LocalTarget(egress=False)

    def helm(*_arguments: str) -> str:
        raise ClusterError("helm get values failed: release: not found")

    monkeypatch.setattr(target, "helm", helm)
    with pytest.raises(ClusterError, match="make demo"):
        installed(target, "any")


RUNNING: dict[str, Any] = {"ready": True, "state": {"running": {}}}


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ([], ""),
        ([RUNNING], ""),
        ([{"ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}], "pod-0: CrashLoopBackOff"),
        ([{"ready": False, "state": {"terminated": {"reason": "Error"}}}], "pod-0: Error"),
        ([{"ready": False, "state": {"running": {"startedAt": "now"}}}], "pod-0: not ready yet"),
    ],
)
def test_unready_pods_are_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, statuses: list[dict[str, Any]], said: str
) -> None:
    pods = {"items": [{"metadata": {"name": "pod-0"}, "status": {"containerStatuses": statuses}}]}
    target = LocalTarget(egress=False)

    def kubectl(*_arguments: str) -> str:
        return json.dumps(pods)

    monkeypatch.setattr(target, "kubectl", kubectl)
    assert unready(target, "any") == said


@pytest.mark.parametrize(
    ("text", "words"), [("a: [", "is no YAML"), ("- a", "holds no values"), ("", "holds no values")]
)
def test_a_file_that_holds_no_values_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(text)
    with pytest.raises(ClusterError, match=words) as refusal:
        read_values(file)
    assert str(file) in str(refusal.value)


def test_values_are_read(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("gateway: {replicas: 1}")
    assert read_values(file) == {"gateway": {"replicas": 1}}
