"""What is said about fields of a /start that have no effect."""

from typing import Any, cast

from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_gateway.sandboxes.notices import Notices, ignored_message
from unit.sandbox_gateway.support import NOW, sandbox


class Recorder:
    """A KubeClient that takes Events, or fails with this status code."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.events: list[KubeObject] = []

    async def create(self, _resource: Any, _namespace: str, body: KubeObject) -> KubeObject:
        self.events.append(body)
        if self.code:
            raise ApiError(self.code, "AlreadyExists", "")
        return body


def notices(recorder: Recorder) -> Notices:
    return Notices(cast("KubeClient", recorder), "n", lambda: NOW)


def test_the_message_names_fields_and_what_to_do() -> None:
    assert ignored_message(["image", "environment"]) == (
        "Not applied: image, environment. The sandbox has a pod already, and these fields take effect when its pod is "
        "made: pause it, then send them with /start."
    )
    assert ignored_message(["sandbox_class"]) == (
        "Not applied: sandbox_class. The class of a session can change only while it is paused or has failed, and only "
        "to one that keeps /workspace in the same way; else stop the session and start it anew."
    )


async def test_an_event_is_posted_once_for_a_pod_and_fields() -> None:
    recorder = Recorder()
    posting = notices(recorder)
    one, other = (sandbox(status={"podUID": uid}) for uid in ("pod-1", "pod-2"))
    for known, names in ((one, ["image"]), (one, ["image"]), (one, ["image", "command"]), (other, ["image"])):
        await posting.fields_ignored(known, names)
    assert len({event["metadata"]["name"] for event in recorder.events}) == len(recorder.events) == 3
    event = recorder.events[0]
    assert (event["reason"], event["type"], event["regarding"]["name"]) == ("StartFieldsIgnored", "Warning", "sb-a")
    assert event["note"] == ignored_message(["image"])
    # Another replica gives it the same name.
    again = Recorder()
    await notices(again).fields_ignored(one, ["image"])
    assert again.events == [event]


async def test_an_event_that_cannot_be_posted_does_no_harm() -> None:
    for code in (409, 403):
        await notices(Recorder(code)).fields_ignored(sandbox(), ["image"])
