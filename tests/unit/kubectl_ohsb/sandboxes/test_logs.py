"""Which part of a log is asked for, and why there is none."""

from datetime import timedelta

import pytest
from click.testing import CliRunner

from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.main import ohsb
from kubectl_ohsb.sandboxes.logs import no_log, pod_of, query
from sandbox_common.kube import ApiError
from unit.sandbox_gateway.support import sandbox


def test_what_is_asked_of_the_api_server() -> None:
    assert query(follow=False, since=None, tail=None, previous=False, timestamps=False) == {"container": "agent-server"}
    assert query(follow=True, since=timedelta(minutes=2), tail=0, previous=True, timestamps=True) == {
        "container": "agent-server",
        "follow": "true",
        "previous": "true",
        "timestamps": "true",
        "sinceSeconds": "120",
        "tailLines": "0",
    }


def test_one_without_a_pod_says_what_to_do() -> None:
    with pytest.raises(Refusal, match="kubectl ohsb resume sb-a"):
        pod_of(sandbox(spec={"suspend": True}))
    with pytest.raises(Refusal, match="kubectl ohsb explain sb-a"):
        pod_of(sandbox())
    with pytest.raises(Refusal, match="no name of a pod"):
        pod_of(sandbox(status={"podName": "../secrets/x"}))


@pytest.mark.parametrize(
    ("code", "previous", "said"),
    [
        (400, True, "without --previous"),
        (400, False, "no log yet"),
        (404, False, "no log yet"),
        (502, True, "the node"),
    ],
)
def test_a_log_that_is_not_there(code: int, previous: bool, said: str) -> None:
    text = no_log("sb-a", "pod", ApiError(code, "BadRequest", "container is waiting"), previous=previous)
    assert said in text


@pytest.mark.parametrize("arguments", [["--tail", "-1"], ["--since", "soon"], ["../x"]])
def test_wrong_options_are_named(arguments: list[str]) -> None:
    result = CliRunner().invoke(ohsb, ["logs", "sb-a", *arguments])
    assert result.exit_code == 2
