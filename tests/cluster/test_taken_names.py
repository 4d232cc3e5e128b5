"""What a sandbox is to have, and what has its names already."""

from typing import Any

from cluster.support import Kubectl, eventually
from demo.targets import Images
from sandbox_crds.names import pod_name
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION

NAME = "names-taken"


def sandbox_body(name: str, image: str, **spec: object) -> dict[str, Any]:
    """One that is suspended, so that it has nothing yet."""
    return {
        "apiVersion": "sandbox.openhands.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": {"name": name},
        "spec": {"image": image, "command": ["sleep", "600"], "suspend": True, **spec},
    }


def restricted(image: str) -> dict[str, Any]:
    """Spec of a pod that the namespace takes."""
    security = {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "main", "image": image, "command": ["sleep", "600"], "securityContext": security}
    return {"containers": [container], "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}


def test_a_key_of_before_is_replaced_and_a_strangers_pod_waited_for(kubectl: Kubectl, images: Images) -> None:
    kubectl("apply", "--filename", "-", body=sandbox_body(NAME, images.agent_server))
    metadata = kubectl("get", "ohsb", NAME, "--output", "json")["metadata"]
    name = pod_name(NAME, metadata["uid"])
    owner = {"apiVersion": "sandbox.openhands.dev/v1alpha1", "kind": "Sandbox", "name": NAME, "uid": metadata["uid"]}
    # As a start leaves it that has lost against a claim.
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "annotations": {KEY_ID_ANNOTATION: f"v1-{'a' * 26}"},
            "ownerReferences": [{**owner, "controller": True}],
        },
        "immutable": True,
        "stringData": {"OH_SESSION_API_KEYS_0": "of-another-pod-of-before"},
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": restricted(images.agent_server)}
    kubectl("apply", "--filename", "-", body={"apiVersion": "v1", "kind": "List", "items": [secret, pod]})
    before = kubectl("get", "secret", name, "--output", "json")
    kubectl("patch", "ohsb", NAME, "--type=merge", '--patch={"spec": {"suspend": false}}')

    def message() -> str:
        conditions = kubectl("get", "ohsb", NAME, "--output", "json").get("status", {}).get("conditions", [])
        return " ".join(condition["message"] for condition in conditions)

    eventually(message, lambda text: f"There is a Pod {name} that does not belong to this sandbox" in text)
    after = kubectl("get", "secret", name, "--output", "json")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["metadata"]["annotations"] != before["metadata"]["annotations"]

    kubectl("delete", "pod", name)
    owners = ("get", "pods", name, "--ignore-not-found", "--output=jsonpath={.metadata.ownerReferences[*].uid}")
    eventually(lambda: kubectl(*owners), lambda uid: uid == metadata["uid"])

    services = ("get", "services", NAME, "--ignore-not-found", "--output=name")
    assert NAME in kubectl(*services)
    kubectl("patch", "ohsb", NAME, "--type=merge", '--patch={"spec": {"service": "None"}}')
    eventually(lambda: kubectl(*services), lambda found: NAME not in found)
    kubectl("create", "service", "clusterip", NAME, "--clusterip=None")
    kubectl("patch", "ohsb", NAME, "--type=merge", '--patch={"spec": {"service": "Headless"}}')
    events = ("get", "events", "--output=jsonpath={.items[*].reason}")
    eventually(lambda: kubectl(*events), lambda reasons: "ServiceRefused" in reasons)
    kubectl("delete", "service", NAME)
    kubectl("delete", "ohsb", NAME)


def test_a_sandbox_is_deleted_at_the_end_of_its_life(kubectl: Kubectl, images: Images) -> None:
    kubectl("apply", "--filename", "-", body=sandbox_body("short-lived", images.agent_server, maximumLifeSeconds=1))
    names = ("get", "ohsb", "--output", "name")
    eventually(lambda: kubectl(*names), lambda found: "short-lived" not in found)
    events = kubectl("get", "events", "--output", "json")["items"]
    assert "short-lived" in {event["involvedObject"]["name"] for event in events}
