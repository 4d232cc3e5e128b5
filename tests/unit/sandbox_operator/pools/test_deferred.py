"""Which environments a booted agent server can still take, and what it is told."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.reasons import Reason
from sandbox_operator.builders import environment
from sandbox_operator.pools.boot_variables import is_read_at_boot
from sandbox_operator.pools.deferred import fixed_differences, init_body, needs_init
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.samples import NOW, class_, container, ready, runs, sandbox, status

HOOK = {"OH_WEBHOOKS_0_BASE_URL": "http://app/api/v1/webhooks"}

BOOTED = [
    *["OH_VSCODE_PORT", "OH_ENABLE_VSCODE", "OH_ENABLE_BROWSER", "OH_PERSISTENCE_DIR", "OH_ALLOW_CORS_ORIGINS_0"],
    *["OH_WEB_URL_IS_NONE", "OH_TELEMETRY_EXPORTER", "OH_ANYTHING_NEW", "OPENHANDS_AGENT_SERVER_CONFIG_PATH"],
    *["LOG_LEVEL", "LOG_JSON", "DEBUG", "PYTHONPATH", "LD_PRELOAD", "PATH", "HOME", "TZ", "TMPDIR", "TMUX_TMPDIR"],
    *["HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "LITELLM_LOG", "OTEL_EXPORTER_OTLP_ENDPOINT", "REQUEST_TIMEOUT"],
    *["GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0"],
]
LATE = [
    *["GITHUB_TOKEN", "OPENAI_API_KEY", "LLM_MODEL", "WORKER_1", "A", "a.b-c", "LMNR_PROJECT_API_KEY", "PATHS"],
    *["OH_LLM_API_KEY_REFRESH_URL", "OH_LLM_API_KEY_REFRESH_BASE_URLS", "OH_LLM_API_KEY_REFRESH_HEADERS"],
]


def differences(pool: dict[str, str], client: dict[str, str], **spec: Any) -> tuple[str, ...]:
    return fixed_differences(pool, client, sandbox(**spec), class_())


@pytest.mark.parametrize("name", BOOTED)
def test_what_is_read_while_booting_cannot_change(name: str) -> None:
    assert differences({}, {name: "x"}) == (name,)
    assert differences({name: "x"}, {name: "y"}) == (name,)
    assert differences({name: "x"}, {}) == (name,)
    assert differences({name: "x"}, {name: "x"}) == ()


@pytest.mark.parametrize("name", LATE)
def test_what_is_read_later_may_come_later(name: str) -> None:
    assert differences({}, {name: "x"}) == ()
    assert init_body({name: "x"}, sandbox(), class_())["env"] == {name: "x"}
    # It would still be seen by the commands of an agent.
    assert differences({name: "x"}, {}) == (name,)


def test_tracing_that_has_begun_goes_on_as_it_is() -> None:
    key = {"LMNR_PROJECT_API_KEY": "one"}
    assert differences(key, {"LMNR_PROJECT_API_KEY": "two"}) == ("LMNR_PROJECT_API_KEY",)
    assert differences(key, {**key, "LMNR_BASE_URL": "http://x"}) == ("LMNR_BASE_URL",)


@pytest.mark.parametrize(
    ("variables", "fields"),
    [
        ({"OH_CONVERSATIONS_PATH": "/workspace/c"}, {"conversations_path": "/workspace/c"}),
        ({"OH_BASH_EVENTS_DIR": "/workspace/b"}, {"bash_events_dir": "/workspace/b"}),
        ({"OH_CONVERSATION_WORKTREE_ROOT": "/workspace/w"}, {"conversation_worktree_root": "/workspace/w"}),
        ({"OH_WEB_URL": "https://host/prefix"}, {"web_url": "https://host/prefix"}),
        ({"OH_MAX_CONCURRENT_RUNS": "3"}, {"max_concurrent_runs": 3}),
        (HOOK, {"webhooks": [{"base_url": "http://app/api/v1/webhooks"}]}),
        (
            {
                "OH_WEBHOOKS_1_BASE_URL": "http://two",
                "OH_WEBHOOKS_0_BASE_URL": "http://one",
                "OH_WEBHOOKS_0_HEADERS": '{"X-Token": "t"}',
                "OH_WEBHOOKS_0_FLUSH_DELAY": "0.5",
                "OH_WEBHOOKS_0_NUM_RETRIES": "0",
                "OH_WEBHOOKS_0_EVENT_BUFFER_SIZE": "7",
            },
            {
                "webhooks": [
                    {
                        "base_url": "http://one",
                        "headers": {"X-Token": "t"},
                        "flush_delay": 0.5,
                        "num_retries": 0,
                        "event_buffer_size": 7,
                    },
                    {"base_url": "http://two"},
                ]
            },
        ),
    ],
)
def test_settings_with_a_field_of_their_own(variables: dict[str, str], fields: dict[str, Any]) -> None:
    assert differences({}, variables) == ()
    # What reads the environment later must find them there, as after a cold start.
    assert init_body(variables, sandbox(), class_()) == {"env": variables, **fields}


@pytest.mark.parametrize(
    "variables",
    [
        {"OH_MAX_CONCURRENT_RUNS": "0"},
        {"OH_MAX_CONCURRENT_RUNS": "many"},
        {"OH_MAX_CONCURRENT_RUNS": ""},
        {"OH_WEBHOOKS": "[]"},
        {"OH_WEBHOOKS_0": '{"base_url": "http://x"}'},
        {"OH_WEBHOOKS_1_BASE_URL": "http://x"},
        {"OH_WEBHOOKS_00_BASE_URL": "http://x"},
        {"OH_WEBHOOKS_0_NUM_RETRIES": "1"},
        {**HOOK, "OH_WEBHOOKS_0_HEADERS": "none"},
        {**HOOK, "OH_WEBHOOKS_0_HEADERS": '{"a": 1}'},
        {**HOOK, "OH_WEBHOOKS_0_HEADERS": "[]"},
        {**HOOK, "OH_WEBHOOKS_0_FLUSH_DELAY": "0"},
        {**HOOK, "OH_WEBHOOKS_0_FLUSH_DELAY": "nan"},
        {**HOOK, "OH_WEBHOOKS_0_UNKNOWN": "1"},
    ],
)
def test_what_cannot_be_translated_is_left_to_a_cold_start(variables: dict[str, str]) -> None:
    assert differences({}, variables) == tuple(sorted(variables))


def test_fewer_webhooks_than_the_pool_has() -> None:
    assert differences(HOOK, {}) == tuple(HOOK)
    two = {**HOOK, "OH_WEBHOOKS_1_BASE_URL": "http://two"}
    assert differences(two, HOOK) == ("OH_WEBHOOKS_1_BASE_URL",)
    assert differences(HOOK, two) == ()


def test_what_the_class_sets_by_reference_wins() -> None:
    reference = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    referring = class_(env=[reference, {"name": "PLAIN", "value": "of the class"}])
    assert fixed_differences({}, {"TOKEN": "mine"}, sandbox(), referring) == ()
    assert init_body({"TOKEN": "mine", "PLAIN": "mine"}, sandbox(), referring)["env"] == {"PLAIN": "mine"}
    assert fixed_differences({}, {"HOME": environment.HOME}, sandbox(), referring) == ()


@pytest.mark.parametrize("name", ["OH_SECRET_KEY", "OH_SESSION_API_KEYS_1", "SESSION_API_KEY", "OH"])
def test_a_clients_keys_are_not_taken(name: str) -> None:
    assert differences({}, {name: "mine"}) == ()
    assert init_body({name: "mine"}, sandbox(), class_()) == {"env": {}}


NAMES = st.sampled_from([*BOOTED, *LATE, *HOOK, "OH_WEB_URL", "OH_MAX_CONCURRENT_RUNS"])
ENVIRONMENTS = st.dictionaries(NAMES, st.sampled_from(["", "1", "x"]), max_size=6)


@given(ENVIRONMENTS, ENVIRONMENTS)
def test_where_nothing_is_in_the_way_the_environment_is_the_clients(
    pool: dict[str, str], client: dict[str, str]
) -> None:
    fixed = differences(pool, client)
    defaults = environment.defaults(class_())
    booted = {**defaults, **pool}
    assert set(fixed) <= {name for name in {*pool, *client} if pool.get(name) != client.get(name)}
    if not fixed:
        assert {**booted, **init_body(client, sandbox(), class_())["env"]} == {**defaults, **client}
        assert not any(is_read_at_boot(name) and not name.startswith("OH_") and name not in booted for name in client)


@given(ENVIRONMENTS)
def test_the_pools_own_environment_always_fits(pool: dict[str, str]) -> None:
    assert differences(pool, pool) == ()


def claimed(restarts: int = 0) -> Pod:
    run = container(ready=True, restarts=restarts, waiting_reason="", running_since=NOW)
    return replace(ready(pool="p", deferred=True, claimed=NOW), container=run)


@pytest.mark.parametrize(
    ("pod", "needs"),
    [
        (claimed(), True),
        (ready(), False),
        (ready(pool="p", deferred=True), False),
        (ready(pool="p", claimed=NOW), False),
        (replace(runs(), pool="p", deferred=True, claimed=NOW), False),
    ],
)
def test_who_is_to_be_initialized(pod: Pod, needs: bool) -> None:
    assert needs_init(sandbox(), pod) is needs


def test_a_ready_one_is_initialized_until_it_is_restarted() -> None:
    told = sandbox(status=status(Reason.READY))
    assert not needs_init(told, claimed())
    restarted = claimed(restarts=1)
    assert needs_init(told, restarted)
    assert needs_init(sandbox(status=status(Reason.STARTING, restart_count=1)), restarted)
    assert not needs_init(sandbox(status=status(Reason.READY, restart_count=1)), restarted)
    assert needs_init(sandbox(status=status(Reason.READY, pod_uid="another")), claimed())
