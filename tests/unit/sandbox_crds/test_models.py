"""Models read what the API server stores."""

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
