"""Models read what the API server stores."""

import subprocess
import sys

import pytest

from sandbox_crds.models import Sandbox


def test_a_minimal_sandbox_has_sensible_defaults() -> None:
    sandbox = Sandbox.model_validate({"metadata": {"name": "a", "uid": "u"}, "spec": {"image": "i"}})
    assert sandbox.spec.class_name == "default"
    assert not sandbox.spec.suspend
    assert sandbox.spec.service == "Headless"
    assert sandbox.status.condition("Ready") is None


def test_names_on_the_wire_follow_the_conventions() -> None:
    sandbox = Sandbox.model_validate(
        {
            "metadata": {"name": "a"},
            "spec": {"image": "i", "sessionID": "s", "runAsUser": 5, "futureField": 1},
            "status": {"podIP": "10.0.0.1", "keyID": "k"},
        }
    )
    assert (sandbox.spec.session_id, sandbox.spec.run_as_user) == ("s", 5)
    assert (sandbox.status.pod_ip, sandbox.status.key_id) == ("10.0.0.1", "k")
    dumped = sandbox.status.model_dump(by_alias=True)
    assert {"podIP", "keyID", "observedGeneration", "restartCount"} <= dumped.keys()


def test_an_error_does_not_repeat_the_values() -> None:
    body = {"spec": {"image": "x", "env": [{"name": "TOKEN", "value": ["hunter2"]}]}}
    with pytest.raises(ValueError, match=r"spec\.env\.0\.value") as caught:
        Sandbox.model_validate(body)
    assert "hunter2" not in str(caught.value)


def test_others_annotations_are_not_kept() -> None:
    annotations = {"sandbox.openhands.dev/suspend-note": "n", "kubectl.kubernetes.io/last-applied": "x" * 200_000}
    sandbox = Sandbox.model_validate({"metadata": {"name": "a", "annotations": annotations}, "spec": {"image": "i"}})
    assert sandbox.metadata.annotations == {"sandbox.openhands.dev/suspend-note": "n"}


def test_short_words_are_kept_once() -> None:
    one, other = (
        Sandbox.model_validate({"spec": {"image": "i", "command": ["".join(["a-", "word"])]}}) for _ in range(2)
    )
    assert one.spec.command[0] is other.spec.command[0]


_READ_MANY = """
from sandbox_crds.models import Sandbox
import tracemalloc, os
tracemalloc.start()
for _ in range(40):
    Sandbox.model_validate({"spec": {"image": "i", "command": [os.urandom(4000).hex() for _ in range(128)]}})
print(tracemalloc.get_traced_memory()[0])
"""


def test_words_of_a_sandbox_that_has_gone_are_not_kept() -> None:
    # In a process of its own: whatever kept them would do so for ever.
    read = subprocess.run([sys.executable, "-c", _READ_MANY], check=True, capture_output=True, text=True)
    assert int(read.stdout) < 10_000_000, "of 40 MB"
