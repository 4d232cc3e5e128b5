"""What others' words say of a trouble: final or passing. The messages are those of the programs, names apart."""

import pytest

from sandbox_common.reasons import MEANINGS, Reason
from sandbox_operator.reporting import finality

REF = "registry.example:5000/team/agent:1"
URL = "https://registry.example:5000/v2/team/agent/manifests/1"
PULL = f'failed to pull and unpack image "{REF}": '
RESOLVE = f'{PULL}failed to resolve reference "{REF}": '
TOKEN = f"{RESOLVE}failed to authorize: failed to fetch anonymous token: unexpected status from GET request to {URL}: "
HEAD = f'{RESOLVE}failed to do request: Head "{URL}": '

LOCAL = "198.18.0.2:5000/team/agent:1"
LOCAL_URL = "https://198.18.0.2:5000/v2/team/agent/manifests/1"
LOCAL_PULL = f'failed to pull and unpack image "{LOCAL}": '
LOCAL_ASKED = f"{LOCAL_PULL}failed to resolve image: unexpected status from HEAD request to {LOCAL_URL}: "

PULLS: dict[str, Reason] = {
    # containerd 2.4 and Kubernetes 1.36 with the CNCF distribution registry, as they were on a node
    f"rpc error: code = NotFound desc = {LOCAL_PULL}failed to resolve image: {LOCAL}: not found": (
        Reason.IMAGE_NOT_FOUND
    ),
    f'Back-off pulling image "{LOCAL}": ErrImagePull: rpc error: code = NotFound desc = {LOCAL_PULL}failed to resolve '
    f"image: {LOCAL}: not found": Reason.IMAGE_NOT_FOUND,
    f"{LOCAL_PULL}failed to resolve image: pull access denied, repository does not exist or may require authorization: "
    "authorization failed: no basic auth credentials": Reason.IMAGE_PULL_DENIED,
    f"{LOCAL_ASKED}401 Unauthorized": Reason.PULL_CREDENTIALS_REFUSED,
    f"{LOCAL_ASKED}403 Forbidden": Reason.IMAGE_PULL_DENIED,
    f"{LOCAL_ASKED}408 Request Timeout": Reason.REGISTRY_UNAVAILABLE,
    f"{LOCAL_ASKED}429 Too Many Requests": Reason.REGISTRY_RATE_LIMITED,
    f"{LOCAL_ASKED}500 Internal Server Error": Reason.REGISTRY_UNAVAILABLE,
    f"{LOCAL_ASKED}502 Bad Gateway": Reason.REGISTRY_UNAVAILABLE,
    f"{LOCAL_ASKED}503 Service Unavailable": Reason.REGISTRY_UNAVAILABLE,
    # containerd
    f"rpc error: code = NotFound desc = {RESOLVE}{REF}: not found": Reason.IMAGE_NOT_FOUND,
    f"rpc error: code = NotFound desc = {PULL}no match for platform in manifest: not found": Reason.IMAGE_NOT_FOUND,
    f"rpc error: code = NotFound desc = {PULL}no match for platform in manifest sha256:0af1: not found": (
        Reason.IMAGE_NOT_FOUND
    ),
    f"{RESOLVE}pull access denied, repository does not exist or may require authorization: server message: "
    "insufficient_scope: authorization failed": Reason.IMAGE_PULL_DENIED,
    f"{RESOLVE}pull access denied, repository does not exist or may require authorization: authorization failed: "
    "no basic auth credentials": Reason.IMAGE_PULL_DENIED,
    f"{RESOLVE}unexpected status from HEAD request to {URL}: 401 Unauthorized": Reason.PULL_CREDENTIALS_REFUSED,
    f"{RESOLVE}unexpected status from HEAD request to {URL}: 403 Forbidden": Reason.IMAGE_PULL_DENIED,
    f"{TOKEN}401 Unauthorized": Reason.IMAGE_PULL_DENIED,
    f"{TOKEN}403 Forbidden\ndenied: denied": Reason.IMAGE_PULL_DENIED,
    f'failed to parse image reference "{REF}": invalid reference format': Reason.INVALID_IMAGE_NAME,
    f"{RESOLVE}unexpected status from HEAD request to {URL}: 500 Internal Server Error": Reason.REGISTRY_UNAVAILABLE,
    f"{RESOLVE}unexpected status from HEAD request to {URL}: 503 Service Unavailable": Reason.REGISTRY_UNAVAILABLE,
    f"{RESOLVE}unexpected status from HEAD request to {URL}: 429 Too Many Requests": Reason.REGISTRY_RATE_LIMITED,
    f"{RESOLVE}unexpected status from HEAD request to {URL}: 418 I'm a teapot": Reason.IMAGE_PULL_BACK_OFF,
    f"{PULL}failed to copy: httpReadSeeker: failed open: unexpected status from GET request to {URL}: "
    "429 Too Many Requests\ntoomanyrequests: You have reached your unauthenticated pull rate limit.": (
        Reason.REGISTRY_RATE_LIMITED
    ),
    f"{TOKEN}503 Service Unavailable": Reason.REGISTRY_UNAVAILABLE,
    f"{TOKEN}404 Not Found": Reason.IMAGE_PULL_BACK_OFF,
    f"{HEAD}dial tcp: lookup registry.example on 10.96.0.10:53: no such host": Reason.REGISTRY_UNAVAILABLE,
    f"{HEAD}dial tcp: lookup registry.example: Temporary failure in name resolution": Reason.REGISTRY_UNAVAILABLE,
    f"{HEAD}dial tcp 192.0.2.7:5000: connect: connection refused": Reason.REGISTRY_UNAVAILABLE,
    f"{HEAD}dial tcp 192.0.2.7:5000: i/o timeout": Reason.REGISTRY_UNAVAILABLE,
    f"{HEAD}read tcp 10.0.0.1:4242->192.0.2.7:5000: read: connection reset by peer": Reason.REGISTRY_UNAVAILABLE,
    f"{HEAD}net/http: TLS handshake timeout": Reason.REGISTRY_UNAVAILABLE,
    f"{HEAD}tls: failed to verify certificate: x509: certificate signed by unknown authority": (
        Reason.IMAGE_PULL_BACK_OFF
    ),
    f"{HEAD}http: server gave HTTP response to HTTPS client": Reason.IMAGE_PULL_BACK_OFF,
    f"{HEAD}EOF": Reason.REGISTRY_UNAVAILABLE,
    f"{PULL}failed to extract layer sha256:0af1: failed to get reader from content store: content digest sha256:0af1: "
    "not found": Reason.IMAGE_PULL_BACK_OFF,
    f"{PULL}failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:0af1 "
    "(application/vnd.oci.image.layer.v1.tar+gzip) from remote: not found": Reason.IMAGE_PULL_BACK_OFF,
    f"{PULL}failed to prepare extraction snapshot: mkdir /var/lib/x: permission denied: unknown": (
        Reason.IMAGE_PULL_BACK_OFF
    ),
    f"{PULL}write /var/lib/containerd/x: no space left on device": Reason.IMAGE_PULL_BACK_OFF,
    "rpc error: code = DeadlineExceeded desc = context deadline exceeded": Reason.IMAGE_PULL_BACK_OFF,
    "rpc error: code = Unavailable desc = error reading from server: EOF": Reason.IMAGE_PULL_BACK_OFF,
    f"rpc error: code = Unavailable desc = {RESOLVE}unexpected status from HEAD request to {URL}: "
    "503 Service Unavailable": Reason.REGISTRY_UNAVAILABLE,
    f"{RESOLVE}failed to authorize: failed to fetch oauth token: unexpected status from POST request to {URL}: "
    "401 Unauthorized": Reason.PULL_CREDENTIALS_REFUSED,
    # The kubelet
    "pull QPS exceeded": Reason.IMAGE_PULL_BACK_OFF,
    f'Back-off pulling image "{REF}"': Reason.IMAGE_PULL_BACK_OFF,
    f'Back-off pulling image "{REF}": ErrImagePull: {RESOLVE}{REF}: not found': Reason.IMAGE_NOT_FOUND,
    # Several credentials, or registries, of which one may still answer
    f"[{RESOLVE}{REF}: not found, {RESOLVE}unexpected status from HEAD request to {URL}: 502 Bad Gateway]": (
        Reason.REGISTRY_UNAVAILABLE
    ),
    # Names hold any words
    'failed to pull and unpack image "registry.example/unauthorized/denied:manifest-unknown": failed to resolve '
    'reference "registry.example/unauthorized/denied:manifest-unknown": unexpected status from HEAD request to '
    "https://registry.example/v2/unauthorized/denied/manifests/403: 418 I'm a teapot": Reason.IMAGE_PULL_BACK_OFF,
    'failed to resolve reference "registry.example/timeout/429": registry.example/timeout/429: not found': (
        Reason.IMAGE_NOT_FOUND
    ),
    # CRI-O
    "initializing source docker://registry.example/team/agent:1: reading manifest 1 in registry.example/team/agent: "
    "manifest unknown": Reason.IMAGE_NOT_FOUND,
    "initializing source docker://registry.example/team/agent:1: reading manifest 1 in registry.example/team/agent: "
    "name unknown: repository name not known to registry": Reason.IMAGE_NOT_FOUND,
    "choosing an image from manifest list docker://x/y:1: no image found in manifest list for architecture arm64, "
    'variant "v8", OS linux': Reason.IMAGE_NOT_FOUND,
    "initializing source docker://x/y:1: reading manifest 1 in x/y: requested access to the resource is denied": (
        Reason.IMAGE_PULL_DENIED
    ),
    "initializing source docker://x/y:1: unable to retrieve auth token: invalid username/password: unauthorized: "
    "authentication required": Reason.PULL_CREDENTIALS_REFUSED,
    "initializing source docker://x/y:1: pinging container registry x: received unexpected HTTP status: "
    "502 Bad Gateway": Reason.REGISTRY_UNAVAILABLE,
    # Docker, by cri-dockerd
    "Error response from daemon: manifest for x/y:1 not found: manifest unknown: manifest unknown": (
        Reason.IMAGE_NOT_FOUND
    ),
    "Error response from daemon: pull access denied for x/y, repository does not exist or may require 'docker login': "
    "denied: requested access to the resource is denied": Reason.IMAGE_PULL_DENIED,
    "Error response from daemon: Get https://x/v2/: net/http: request canceled while waiting for connection": (
        Reason.IMAGE_PULL_BACK_OFF
    ),
    "": Reason.IMAGE_PULL_BACK_OFF,
    "something new": Reason.IMAGE_PULL_BACK_OFF,
}


@pytest.mark.parametrize("message", PULLS)
def test_pulls(message: str) -> None:
    assert finality.of_image("ErrImagePull", message) is PULLS[message]


@pytest.mark.parametrize(
    ("waiting_reason", "reason"),
    [
        ("ErrImageNeverPull", Reason.IMAGE_NOT_FOUND),
        ("InvalidImageName", Reason.INVALID_IMAGE_NAME),
        ("SignatureValidationFailed", Reason.IMAGE_PULL_DENIED),
        ("RegistryUnavailable", Reason.REGISTRY_UNAVAILABLE),
        ("ImageInspectError", Reason.IMAGE_PULL_BACK_OFF),
    ],
)
def test_reasons_of_the_kubelet_s_own(waiting_reason: str, reason: Reason) -> None:
    assert finality.of_image(waiting_reason, "any words") is reason


RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: "
)


@pytest.mark.parametrize(
    ("message", "final"),
    [
        (f'{RUNC}error during container init: exec: "nope": executable file not found in $PATH: unknown', True),
        (f'{RUNC}exec: "/nope": stat /nope: no such file or directory: unknown', True),
        (f'{RUNC}exec: "/etc/passwd": permission denied: unknown', True),
        (f'{RUNC}exec: "/etc": is a directory: unknown', True),
        (f"{RUNC}exec /agent: exec format error", True),
        (f'{RUNC}chdir to cwd ("/srv/x") set in config.json failed: permission denied: unknown', True),
        ("crun: executable file `nope` not found in $PATH: No such file or directory: OCI runtime error", True),
        ("crun: open executable: Permission denied: OCI permission denied", True),
        ('error finding executable "nope" in PATH [/usr/bin]: no such file or directory', True),
        (f'{RUNC}error mounting "/var/lib/x" to rootfs at "/x": stat /var/lib/x: no such file or directory', False),
        ("runc create failed: unable to start init: fork/exec /proc/self/exe: no such file or directory", False),
        ("runc create failed: unable to start container process: can't get final child's PID from pipe: EOF", False),
        ("failed to create shim task: context deadline exceeded: unknown", False),
        ("", False),
    ],
)
def test_commands(message: str, final: bool) -> None:
    expected = Reason.COMMAND_CANNOT_RUN if final else Reason.CREATE_CONTAINER_ERROR
    assert finality.of_command(message) is expected


@pytest.mark.parametrize(
    ("message", "final"),
    [
        ('rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "kata" is configured', True),
        ("failed to find runtime handler kata from runtime list map[runc:0xc000]", True),
        ('plugin type="calico" failed (add): stat /var/lib/calico/nodename: no such file or directory', False),
        ('failed to find plugin "calico" in path [/opt/cni/bin]', False),
        ('failed to reserve sandbox name "x_default_0": name "x_default_0" is reserved for "0af1"', False),
        ("cni plugin not initialized", False),
        ('Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node', False),
        ('MountVolume.SetUp failed for volume "x" : secret "x" not found', False),
    ],
)
def test_pods(message: str, final: bool) -> None:
    expected = Reason.RUNTIME_HANDLER_NOT_FOUND if final else Reason.CREATE_CONTAINER_ERROR
    assert finality.of_pod(message) is expected


@pytest.mark.parametrize(
    ("message", "final"),
    [
        ('storageclass.storage.k8s.io "fast" not found', True),
        ("no persistent volumes available for this claim and no storage class is set", False),
        ("waiting for a volume to be created either by the external provisioner 'x' or manually", False),
        ('failed to provision volume with StorageClass "fast": rpc error: code = ResourceExhausted', False),
    ],
)
def test_claims(message: str, final: bool) -> None:
    assert finality.of_claim(message) is (Reason.STORAGE_CLASS_NOT_FOUND if final else Reason.VOLUME_NOT_BOUND)


def test_each_verdict_is_either_final_or_passing() -> None:
    verdicts = {*PULLS.values(), *map(finality.of_command, ("", "exec format error")), finality.of_pod("")}
    for reason in verdicts:
        assert MEANINGS[reason].passing is (MEANINGS[reason].lifecycle == "starting")
