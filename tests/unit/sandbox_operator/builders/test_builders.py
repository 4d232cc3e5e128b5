"""The objects of a sandbox."""

from typing import Any

import pytest

from sandbox_common.command import agent_port
from sandbox_common.environment import is_reserved
from sandbox_common.service_ports import VARIABLES
from sandbox_crds.api import EGRESS_LABEL
from sandbox_crds.names import CONTAINER, pod_name
from sandbox_operator.builders.environment import IDLE_TIMEOUT, defaults, variables
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.builders.owned import name_of
from sandbox_operator.builders.pod import build_pod
from sandbox_operator.builders.refusals import refused
from sandbox_operator.builders.secret import build_secret
from sandbox_operator.pools.template import template
from sandbox_operator.watching.pods import controller_uid
from unit.sandbox_operator.golden import CASES, DIRECTORY, objects, text
from unit.sandbox_operator.samples import KEY_ID, KEYS, NOW, UID, class_, sandbox


@pytest.mark.parametrize("name", CASES)
def test_objects_are_those_that_were_agreed_on(name: str) -> None:
    assert text(name) == (DIRECTORY / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", CASES)
def test_all_belong_to_the_sandbox(name: str) -> None:
    for body in objects(name):
        assert controller_uid(body) == UID
        assert body["metadata"]["labels"]["sandbox.openhands.dev/sandbox"] == "one"


@pytest.mark.parametrize("name", CASES)
def test_the_pod_holds_no_key(name: str) -> None:
    sandbox_, of_class = CASES[name]
    body = str(build_pod(sandbox_, of_class))
    assert KEYS.session_key(KEY_ID) not in body
    assert KEYS.secret_key(KEY_ID) not in body


@pytest.mark.parametrize(
    ("command", "says"),
    [([], ""), (["agent-server"], ""), (["nginx"], "command must be empty or that of an agent")],
)
def test_with_an_agent_server_of_the_class_no_other_command_runs(command: list[str], says: str) -> None:
    brought = class_(agentServer={"image": "registry.example/mounted:1"})
    assert says in refused(sandbox(command=command).spec, brought)
    assert bool(says) == bool(refused(sandbox(command=command).spec, brought))
    assert not refused(sandbox(command=command).spec, class_())


@pytest.mark.parametrize("change", [{"image": "other:1"}, {"delivery": "Copy"}, {"entrypoint": ["/entrypoint"]}])
def test_warm_pods_with_another_agent_server_do_not_fit(change: dict[str, Any]) -> None:
    of_class = {"image": "registry.example/mounted:1"}
    one, other = class_(agentServer=of_class), class_(agentServer=of_class | change)
    assert template(sandbox().spec, one) == template(sandbox().spec, class_(agentServer=of_class))
    assert len({template(sandbox().spec, each) for each in (one, other, class_())}) == 3


def container(name: str) -> dict[str, Any]:
    [found] = [body for body in objects(name) if body["kind"] == "Pod"]
    [only] = found["spec"]["containers"]
    assert only["name"] == CONTAINER
    return only


@pytest.mark.parametrize("name", CASES)
def test_probes_go_to_the_port_of_the_command(name: str) -> None:
    made = container(name)
    port = agent_port(made["command"])
    assert [made[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe")] == [port, port]
    assert made["ports"][0] == {"name": "http", "containerPort": port}


def test_a_pod_declares_the_ports_at_which_it_is_reached() -> None:
    own = sandbox(command=["a", "--port", "8123"], servicePorts={"vscode": 8001, "work-1": 3000})
    pod = build_pod(own, class_(servicePorts={"vscode": 0}))
    [made] = pod["spec"]["containers"]
    assert made["ports"] == [
        {"name": "http", "containerPort": 8123},
        {"name": "work-1", "containerPort": 3000},
        {"name": "work-2", "containerPort": 12001},
    ]


@pytest.mark.parametrize("name", CASES)
def test_every_pod_is_confined(name: str) -> None:
    sandbox_, of_class = CASES[name]
    spec = build_pod(sandbox_, of_class)["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & set(spec)
    assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [made] = spec["containers"]
    security, escalates = made["securityContext"], of_class.spec.pod.allow_privilege_escalation
    assert security["capabilities"]["drop"] == ["ALL"]
    assert security["allowPrivilegeEscalation"] is ("add" in security["capabilities"]) is escalates
    # What the container writes has an end: its own layer by a limit or read-only, these by their sizes.
    for volume in spec["volumes"]:
        unwritten = {"persistentVolumeClaim", "configMap", "secret", "image"} & set(volume)
        assert unwritten or volume["emptyDir"]["sizeLimit"], volume
    # A link that a sandbox has left on a volume cannot lead a mount elsewhere.
    containers = [*spec["containers"], *spec.get("initContainers", ())]
    mounts = [mount for each in containers for mount in each.get("volumeMounts", ())]
    assert not [mount for mount in mounts if {"subPath", "subPathExpr"} & set(mount)]


def test_directories_are_as_large_as_the_class_says() -> None:
    pod = {"readOnlyRootFilesystem": True, "tmpSize": "5Gi", "homeSize": "300Mi"}
    volumes = build_pod(sandbox(), class_(pod=pod, workspace={"size": "7Gi"}))["spec"]["volumes"]
    sizes = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in volumes}
    assert sizes == {"workspace": "7Gi", "tmp": "5Gi", "home": "300Mi"}


ADDED: dict[str, Any] = {
    "labels": {"a": "b"},
    "annotations": {"a": "b"},
    "priorityClassName": "low",
    "imagePullSecrets": ["login"],
    "topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}],
    "omitIds": True,
    "caBundle": {"configMapName": "ca"},
    "volumes": [{"name": "a", "mountPath": "/a", "secret": {"secretName": "s"}}],
    "sidecars": [{"name": "a", "image": "i", "volumeMounts": [{"name": "a", "mountPath": "/b"}]}],
}


@pytest.mark.parametrize("field", ADDED)
def test_what_a_class_adds_is_part_of_a_pool_s_template(field: str) -> None:
    assert template(sandbox().spec, class_()) != template(sandbox().spec, class_(pod={field: ADDED[field]}))


@pytest.mark.parametrize(
    ("of_class", "of_owner", "names"),
    [
        ([], (), None),
        (["login"], (), ["login"]),
        ([], ("team",), ["team"]),
        (["login"], ("another", "login"), ["login", "another"]),
    ],
)
def test_images_are_pulled_with_secrets_of_class_and_owner(
    of_class: list[str], of_owner: tuple[str, ...], names: list[str] | None
) -> None:
    spec = build_pod(sandbox(), class_(pod={"imagePullSecrets": of_class}), pull_secrets=of_owner)["spec"]
    assert spec.get("imagePullSecrets") == (names and [{"name": name} for name in names])


def test_side_containers_are_as_confined_as_the_agent_server() -> None:
    spec = build_pod(sandbox(), class_(pod=ADDED))["spec"]
    [sidecar], [agent] = spec["initContainers"], spec["containers"]
    assert sidecar["securityContext"] == agent["securityContext"]
    assert sidecar["restartPolicy"] == "Always", "it runs beside the agent server"
    assert sidecar["volumeMounts"] == [{"name": "a", "mountPath": "/b", "readOnly": True}], "as the volume is"


def test_certificates_are_named_to_programs_and_a_sandbox_s_own_win() -> None:
    of_class = class_(pod=ADDED, env=[{"name": "GIT_SSL_CAINFO", "value": "/mine"}])
    entries = build_secret(sandbox(), of_class, KEYS, KEY_ID)["stringData"]
    assert (entries["SSL_CERT_FILE"], entries["GIT_SSL_CAINFO"]) == ("/etc/openhands-ca/ca.crt", "/mine")
    [agent] = build_pod(sandbox(), of_class)["spec"]["containers"]
    assert {"name": "ca-bundle", "mountPath": "/etc/openhands-ca", "readOnly": True} in agent["volumeMounts"]
    assert {"name": "a", "mountPath": "/a", "readOnly": True} in agent["volumeMounts"]
    assert "SSL_CERT_FILE" not in build_secret(sandbox(), class_(), KEYS, KEY_ID)["stringData"]


def test_ids_are_the_cluster_s_where_the_class_says_so() -> None:
    context = build_pod(sandbox(), class_(pod={"omitIds": True}))["spec"]["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_spread_counts_all_sandboxes_unless_the_class_says_which() -> None:
    own = {"labelSelector": {"matchLabels": {"team": "blue"}}}
    pod = {"topologySpreadConstraints": [{"topologyKey": "zone"}, {"topologyKey": "zone", **own}]}
    first, second = build_pod(sandbox(), class_(pod=pod))["spec"]["topologySpreadConstraints"]
    assert first["labelSelector"]["matchExpressions"][0]["key"] == "sandbox.openhands.dev/sandbox"
    assert second["labelSelector"] == own["labelSelector"]


@pytest.mark.parametrize("asked", [None, True, False])
def test_a_user_namespace_is_asked_for_as_the_class_says(asked: bool | None) -> None:
    of_class = class_(pod={} if asked is None else {"hostUsers": asked})
    assert build_pod(sandbox(), of_class)["spec"].get("hostUsers") is asked


@pytest.mark.parametrize(("of_class", "label"), [({}, "Internet"), ({"egress": "None"}, "None")])
def test_a_pod_is_labelled_with_its_class_s_egress(of_class: dict[str, Any], label: str) -> None:
    made = build_pod(sandbox(), class_(pod={"labels": {EGRESS_LABEL: "ignored", "team": "blue"}}, **of_class))
    assert made["metadata"]["labels"].items() >= {EGRESS_LABEL: label, "team": "blue"}.items()


@pytest.mark.parametrize("name", CASES)
def test_each_variable_is_given_once_and_reserved_ones_by_the_operator_alone(name: str) -> None:
    names = [entry["name"] for entry in container(name)["env"]]
    assert len(names) == len(set(names))
    assert [each for each in names if is_reserved(each)] == [
        "OH_SESSION_API_KEYS_0",
        "SESSION_API_KEY",
        "OH_SECRET_KEY",
        "OH_LEASE_TTL_SECONDS",
    ]


@pytest.mark.parametrize("name", CASES)
def test_the_session_key_has_its_earlier_name_too(name: str) -> None:
    sources = {entry["name"]: entry.get("valueFrom") for entry in container(name)["env"]}
    assert sources["SESSION_API_KEY"] == sources["OH_SESSION_API_KEYS_0"]
    assert sources["SESSION_API_KEY"]["secretKeyRef"]["key"] == "OH_SESSION_API_KEYS_0"


def test_a_client_s_environment_wins_over_defaults() -> None:
    own, client_s = container("from_the_sdk")["envFrom"]
    assert client_s["secretRef"]["name"] == f"{own['secretRef']['name']}-env"


def test_a_secret_for_a_lost_master_key_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        build_secret(sandbox(), class_(), KEYS, "v9-" + "a" * 26)


def test_an_event_fits_into_its_schema() -> None:
    event = build_event(sandbox(), NOW, type_="Warning", reason=EventReason.POD_LOST, action="Act", note="x" * 2000)
    assert event["eventTime"] == "2026-11-23T12:00:00.000000Z"
    assert event["note"] == "x" * 1024
    assert event["metadata"]["name"].startswith("one.podlost.")
    # The API server counts bytes.
    event = build_event(
        sandbox(), NOW, type_="Warning", reason=EventReason.POD_LOST, action="Act", note="x" + "…" * 500
    )
    assert event["note"] == "x" + "…" * 341


@pytest.mark.parametrize(
    ("own", "of_class", "told"),
    [(None, 0, []), (None, 1200, ["1200"]), (0, 1200, []), (60, 1200, ["60"]), (60, 0, ["60"])],
)
def test_the_agent_server_knows_its_idle_timeout(own: int | None, of_class: int, told: list[str]) -> None:
    for workspace, values in (({"persistent": True}, told), ({"discardOnSuspension": True}, told), ({}, [])):
        of_workspace = class_(idleTimeoutSeconds=of_class, workspace=workspace)
        entries = variables(sandbox(idleTimeoutSeconds=own), of_workspace, "keys")
        assert [entry["value"] for entry in entries if entry["name"] == IDLE_TIMEOUT] == values


def test_an_idle_timeout_that_is_told_to_the_agent_server_otherwise_stays() -> None:
    entry = {"name": IDLE_TIMEOUT, "value": "7"}
    entries = variables(sandbox(env=[entry]), class_(idleTimeoutSeconds=60), "keys")
    assert [each for each in entries if each["name"] == IDLE_TIMEOUT] == [entry]
    of_class = class_(idleTimeoutSeconds=60, env=[entry])
    assert IDLE_TIMEOUT not in [each["name"] for each in variables(sandbox(), of_class, "keys")]
    assert defaults(of_class)[IDLE_TIMEOUT] == "7"


def test_programs_are_told_the_ports_of_their_class() -> None:
    told = defaults(class_(servicePorts={"vscode": 0, "work-2": 3000}))
    assert {name: told.get(name) for name in VARIABLES.values()} == {
        "OH_VSCODE_PORT": None,
        "WORKER_1": "12000",
        "WORKER_2": "3000",
    }


def test_a_pod_s_name_depends_on_its_sandbox_s_uid() -> None:
    assert name_of(sandbox()) == pod_name("one", UID)
