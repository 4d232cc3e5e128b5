"""What Events explain about a pod, and what they do not."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.reasons import Reason
from sandbox_operator.reporting.findings import examine
from sandbox_operator.reporting.pod_events import find, redacted_events
from sandbox_operator.reporting.redaction import redacted_pod
from sandbox_operator.watching.pods import Obstacle, Pod
from unit.sandbox_operator.samples import (
    KEY_ID,
    KEYS,
    NOW,
    POD_UID,
    condition,
    container,
    on_node,
    pod,
    ready,
    run,
    runs,
    waits,
)

SECOND = timedelta(seconds=1)
NO_CLASS = 'storageclass.storage.k8s.io "nope" not found'
NO_HANDLER = 'rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "nope" is configured'
MULTI_ATTACH = 'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node'
NO_MAP = 'MountVolume.SetUp failed for volume "settings" : configmap "settings" not found'
SECRETS = (KEYS.session_key(KEY_ID), KEYS.secret_key(KEY_ID))


def of_pod(reason: str, message: str = "", *, after: float = 6, uid: str = POD_UID) -> ClusterEvent:
    return ClusterEvent(reason, message, "Pod", uid, NOW + timedelta(seconds=after))


def of_claim(reason: str, message: str = "", *, after: float = 6) -> ClusterEvent:
    return ClusterEvent(reason, message, "PersistentVolumeClaim", "claim-uid", NOW + timedelta(seconds=after))


CREATING = on_node(container())
FULL = pod(scheduled=condition(False, "Unschedulable", "0/1 nodes are available: 1 Insufficient cpu."))
UNBOUND = pod(scheduled=condition(False, "Unschedulable", "pod has unbound immediate PersistentVolumeClaims"))
CANNOT = "The container cannot be made."
UNBOUND_WORDS = "The workspace's volume is not bound."

FOUND: dict[str, tuple[Pod, list[ClusterEvent], Reason, str]] = {
    "no such StorageClass": (
        UNBOUND,
        [of_claim("ProvisioningFailed", NO_CLASS)],
        Reason.STORAGE_CLASS_NOT_FOUND,
        f"{UNBOUND_WORDS} ProvisioningFailed: {NO_CLASS}",
    ),
    "no provisioner": (
        pod(),
        [of_claim("WaitForFirstConsumer"), of_claim("ExternalProvisioning", "Waiting for a volume to be created")],
        Reason.VOLUME_NOT_BOUND,
        f"{UNBOUND_WORDS} ExternalProvisioning: Waiting for a volume to be created",
    ),
    "no default StorageClass, seen before the pod was made": (
        UNBOUND,
        [of_claim("FailedBinding", "no persistent volumes available", after=-1)],
        Reason.VOLUME_NOT_BOUND,
        f"{UNBOUND_WORDS} FailedBinding: no persistent volumes available",
    ),
    "the volume is that of a claim elsewhere": (
        UNBOUND,
        [of_claim("FailedBinding", 'volume "pv-1" already bound to a different claim.', after=1)],
        Reason.VOLUME_NOT_BOUND,
        f'{UNBOUND_WORDS} FailedBinding: volume "pv-1" already bound to a different claim.',
    ),
    "the volume of a restored claim is gone": (
        UNBOUND,
        [of_claim("ClaimLost", "Bound claim has lost its PersistentVolume.", after=1)],
        Reason.VOLUME_NOT_BOUND,
        f"{UNBOUND_WORDS} ClaimLost: Bound claim has lost its PersistentVolume.",
    ),
    "provisioner failed again after another try": (
        pod(),
        [of_claim("ProvisioningFailed", "quota of the cloud", after=9), of_claim("Provisioning", after=8)],
        Reason.VOLUME_NOT_BOUND,
        f"{UNBOUND_WORDS} ProvisioningFailed: quota of the cloud",
    ),
    "missing runtime handler": (
        CREATING,
        [of_pod("Scheduled", after=0), of_pod("FailedCreatePodSandBox", NO_HANDLER)],
        Reason.RUNTIME_HANDLER_NOT_FOUND,
        f"{CANNOT} FailedCreatePodSandBox: {NO_HANDLER}",
    ),
    "not yet reported by the kubelet": (
        replace(CREATING, container=None),
        [of_pod("FailedMount", NO_MAP)],
        Reason.CREATE_CONTAINER_ERROR,
        f"{CANNOT} FailedMount: {NO_MAP}",
    ),
    "the later of two": (
        CREATING,
        [of_pod("FailedAttachVolume", MULTI_ATTACH, after=9), of_pod("FailedMount", NO_MAP, after=8)],
        Reason.CREATE_CONTAINER_ERROR,
        f"{CANNOT} FailedAttachVolume: {MULTI_ATTACH}",
    ),
    "many of a kind": (
        CREATING,
        [of_pod("FailedCreatePodSandBox", f'(combined from similar events): no network for sandbox "{"0a" * 32}"')],
        Reason.CREATE_CONTAINER_ERROR,
        f'{CANNOT} FailedCreatePodSandBox: no network for sandbox "…"',
    ),
    "no network on the node": (
        CREATING,
        [of_pod("NetworkNotReady", "network is not ready: cni plugin not initialized")],
        Reason.CREATE_CONTAINER_ERROR,
        f"{CANNOT} NetworkNotReady: network is not ready: cni plugin not initialized",
    ),
}

NOTHING: dict[str, tuple[Pod, list[ClusterEvent]]] = {
    "no events": (CREATING, []),
    "only good news": (CREATING, [of_pod("Scheduled", after=0), of_pod("SuccessfulAttachVolume")]),
    "an earlier pod of this name": (CREATING, [of_pod("FailedMount", NO_MAP, uid="earlier")]),
    "mounted since, and pulls": (CREATING, [of_pod("FailedMount", NO_MAP), of_pod("Pulling", after=7)]),
    "mounted since, and the kubelet says so": (
        replace(CREATING, has_network=True),
        [of_pod("FailedCreatePodSandBox", NO_HANDLER)],
    ),
    "runs": (runs(), [of_pod("FailedMount", NO_MAP)]),
    "ready": (ready(), [of_pod("FailedMount", NO_MAP)]),
    "ended": (on_node(container(waiting_reason="", last_run=run(1))), [of_pod("FailedMount", NO_MAP)]),
    "speaks for itself": (waits("ErrImagePull", "not found"), [of_pod("FailedMount", NO_MAP)]),
    "fits no node anyway": (FULL, [of_claim("ExternalProvisioning", "Waiting")]),
    "claim of an earlier pod": (pod(), [of_claim("ProvisioningFailed", NO_CLASS, after=-6)]),
    "provisioner is at it": (pod(), [of_claim("ExternalProvisioning"), of_claim("Provisioning")]),
    "bound since": (pod(), [of_claim("ProvisioningFailed", NO_CLASS), of_claim("ProvisioningSucceeded", after=7)]),
    "the claim of a pod that has a node": (CREATING, [of_claim("ProvisioningFailed", NO_CLASS)]),
}


@pytest.mark.parametrize("case", FOUND)
def test_events_that_explain_a_pod(case: str) -> None:
    seen, pod_events, reason, message = FOUND[case]
    finding = find(seen, pod_events)
    assert finding
    assert (finding.reason, finding.message, finding.passing_since) == (reason, message, None)
    assert find(seen, pod_events[::-1]) == finding


@pytest.mark.parametrize("case", NOTHING)
def test_events_that_do_not(case: str) -> None:
    seen, pod_events = NOTHING[case]
    assert find(seen, pod_events) is None


MOMENTS = st.integers(-60, 3600).map(lambda seconds: NOW + seconds * SECOND)
SECRETIVE = st.lists(st.one_of(st.sampled_from(SECRETS), st.text(max_size=2000))).map("".join)
REASONS = st.sampled_from(
    ["FailedMount", "FailedCreatePodSandBox", "Pulling", "ProvisioningFailed", "Provisioning", "Scheduled", ""]
)
EVIDENCE = st.lists(
    st.builds(
        ClusterEvent,
        REASONS,
        SECRETIVE,
        st.sampled_from(["Pod", "PersistentVolumeClaim", "Node", ""]),
        st.sampled_from([POD_UID, "another", ""]),
        MOMENTS,
    ),
    max_size=12,
)
PODS = st.sampled_from(
    [pod(), CREATING, FULL, UNBOUND, ready(), runs(), waits("ErrImagePull"), replace(pod(), node="n")]
)


@given(PODS, EVIDENCE)
def test_any_events_explain_or_do_not(seen: Pod, pod_events: list[ClusterEvent]) -> None:
    finding = find(seen, redacted_events(pod_events, SECRETS))
    if finding is None:
        return
    assert finding.reason in {Reason.VOLUME_NOT_BOUND, Reason.CREATE_CONTAINER_ERROR}
    assert len(finding.message) <= 1200
    for secret in SECRETS:
        for length in (len(secret), len(secret) // 2, 12):
            assert secret[-length:] not in finding.message


@given(SECRETIVE)
def test_no_key_gets_out_through_an_injected_container(text: str) -> None:
    seen = on_node(container(), obstacle=Obstacle("mesh", "CrashLoopBackOff", text))
    message = examine(redacted_pod(seen, SECRETS)).message
    assert not [secret for secret in SECRETS if secret[-12:] in message]
