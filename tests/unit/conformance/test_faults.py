"""The suite can fail: of a server with one fault, the tests that are about it fail, and no others.

What cannot be seen for the fault is told to be blocked, not failed. Control and data plane stand for themselves, so
only the sections that a fault concerns are run.
"""

import re
from dataclasses import dataclass

import pytest

import sampling
from conformance import quiet
from unit.conformance.conftest import Conform
from unit.conformance.faults import Fault


@dataclass(frozen=True, slots=True)
class Case:
    """One fault, and the tests that must fail, or only warn, in these sections."""

    fault: Fault
    sections: tuple[str, ...]
    failed: frozenset[str] = frozenset()
    warned: frozenset[str] = frozenset()
    blocked: bool = False


def case(fault: Fault, *sections: str, failed: str = "", warned: str = "", blocked: bool = False) -> Case:
    """Names of tests, without `test_`, apart by commas or lines."""
    return Case(fault, sections, _names(failed), _names(warned), blocked)


def _names(names: str) -> frozenset[str]:
    return frozenset(name.strip().replace(" ", " test_", 1) for name in re.split(r"[,\n]", names) if name.strip())


CASES = (
    case(
        Fault.ANY_API_KEY_OPENS,
        "A12",
        failed="A12 no_entry_without_a_good_key[missing], A12 no_entry_without_a_good_key[wrong]",
    ),
    case(
        Fault.EVERY_OWNER_SEES_ALL,
        *("A2", "A3", "A8", "A9"),
        failed="""
            A2 another_owner_sees_no_session
            A3 another_owner_sees_none
            A8 another_owner_sees_none
            A9 another_owner_sees_no_runtime
        """,
    ),
    case(
        Fault.UNKNOWN_IS_NO_ERROR,
        "A2",
        failed="A2 unknown_session_is_404, A2 session_ids_are_case_sensitive, A2 another_owner_sees_no_session",
    ),
    case(Fault.TRACE_HEADERS_REFUSED, "A2", failed="A2 unknown_headers_are_accepted"),
    case(
        Fault.PUT_OFF,
        *("A12", "A8"),
        failed="""
            A8 running_ones_are_listed, A8 paused_ones_are_not_listed, A8 stopped_ones_are_not_listed
            A8 another_owner_sees_none
            A12 no_call_is_put_off
        """,
        warned="A8 total_counts_them",
    ),
    case(
        Fault.NULL_POD_STATUS,
        *("A2", "B"),
        failed="A2 pod_status_is_never_null",
        warned="B pod_status_words",
    ),
    case(
        Fault.NULL_RESTART_COUNT,
        *("A2", "A9"),
        failed="A2 restart_count_is_never_null, A9 runtime_tells_its_state",
    ),
    case(
        Fault.NULL_SESSION_KEY,
        "A4",
        failed="A4 key_and_status_are_text, A4 sandbox_becomes_ready, A4 sandbox_of_the_app_becomes_ready",
        blocked=True,
    ),
    case(
        Fault.POLL_REFUSED,
        *("A2", "A4", "A12"),
        failed="""
            A2 every_poll_of_a_start_succeeds
            A4 sandbox_becomes_ready
            A4 sandbox_of_the_app_becomes_ready
            A12 no_server_error
        """,
        blocked=True,
    ),
    case(Fault.SESSION_IDS_IGNORE_CASE, "A2", failed="A2 session_ids_are_case_sensitive"),
    case(
        Fault.BATCH_IS_AN_OBJECT,
        "A3",
        failed="A3 known_sessions, A3 unknown_sessions_are_left_out, A3 another_owner_sees_none",
        warned="A3 nothing_known, A3 many_sessions, A3 entries_stand_where_their_ids_do",
    ),
    case(
        Fault.BATCH_REFUSES_UNKNOWN,
        "A3",
        failed="A3 unknown_sessions_are_left_out, A3 another_owner_sees_none",
        warned="A3 nothing_known, A3 many_sessions, A3 entries_stand_where_their_ids_do",
    ),
    case(Fault.BATCH_BACKWARDS, "A3", warned="A3 entries_stand_where_their_ids_do"),
    case(
        Fault.CONFLICT_ON_START,
        *("A4", "A7"),
        failed="A4 start_of_a_running_session_finds_it, A4 start_of_a_paused_session_succeeds",
    ),
    case(
        Fault.COMMAND_MUST_BE_A_LIST,
        "A4",
        failed="A4 start_succeeds, A4 sandbox_becomes_ready",
        blocked=True,
    ),
    case(Fault.ENVIRONMENT_EXPANDED, "A4", failed="A4 environment_reaches_the_agent_server"),
    case(
        Fault.URL_WITH_SLASH,
        "A4",
        failed="A4 url_has_no_trailing_slash, A4 sandbox_becomes_ready, A4 sandbox_of_the_app_becomes_ready",
        blocked=True,
    ),
    case(Fault.URL_WITH_PATH, *("A4", "A5", "C-WS"), failed="A4 url_has_no_path"),
    case(
        Fault.NEVER_READY,
        *("A2", "A4", "B"),
        failed="A4 sandbox_becomes_ready, A4 sandbox_of_the_app_becomes_ready",
        blocked=True,
    ),
    case(
        Fault.STATUS_IN_CAPITALS,
        *("A3", "A6", "A8", "B"),
        failed="""
            A3 known_sessions
            A6 session_is_paused
            A8 running_ones_are_listed
            B status_words_while_it_starts
            B ready_sandbox_is_running
            B missing_image_never_runs
        """,
        blocked=True,
    ),
    case(Fault.STARTED_TOO_EARLY, "B", failed="B ready_means_usable"),
    case(Fault.WORK_HOSTS_WITHOUT_PORTS, "A4", failed="A4 work_hosts_map_urls_to_ports"),
    case(Fault.RUNTIME_ID_IN_CAPITALS, "A4", warned="A4 runtime_id_is_a_dns_label"),
    case(Fault.RESUME_FAILS, "A5", failed="A5 resume_succeeds, A5 sandbox_becomes_ready_again", blocked=True),
    case(
        Fault.RESUMED_IS_ANOTHER,
        "A5",
        failed="A5 same_sandbox_at_the_same_url",
        warned="A5 resume_of_a_running_one_changes_nothing",
    ),
    case(Fault.RESUMED_LOOKS_PAUSED, "B", failed="B status_words_while_it_resumes"),
    case(Fault.KEY_ROTATED, *("A5", "B"), failed="A5 old_key_still_opens_it", warned="A5 workspace_is_kept"),
    case(
        Fault.RESUME_WITHOUT_KEY,
        "A5",
        failed="A5 answer_has_the_session_key, A5 told_keys_are_equal",
    ),
    case(Fault.READY_TOO_EARLY, *("A5", "B"), failed="B resumed_sandbox_is_not_ready_too_early"),
    case(Fault.PAUSE_FAILS, "A6", failed="A6 pause_succeeds, A6 session_is_paused", blocked=True),
    case(Fault.PAUSE_WITHOUT_EFFECT, "A6", failed="A6 session_is_paused", blocked=True),
    case(
        Fault.STOP_WITHOUT_EFFECT, "A7", failed="A7 session_is_gone, A7 starting_sandbox_can_be_stopped", blocked=True
    ),
    case(
        Fault.STOP_TWICE_FAILS,
        *("A7", "A12"),
        failed="A7 stop_once_more_is_no_error, A7 stop_of_an_unknown_one_is_no_error, A12 no_server_error",
    ),
    case(Fault.SESSION_USED_UP, "A7", failed="A7 session_can_be_started_again"),
    case(Fault.PAUSED_ARE_LISTED, "A8", failed="A8 paused_ones_are_not_listed"),
    case(
        Fault.LIST_REDIRECTED,
        *("A8", "A12"),
        failed="""
            A8 running_ones_are_listed
            A8 paused_ones_are_not_listed
            A8 stopped_ones_are_not_listed
            A8 another_owner_sees_none
            A12 nothing_is_redirected
        """,
        warned="A8 total_counts_them",
    ),
    case(Fault.RUNTIME_WITHOUT_POD_STATUS, "A9", failed="A9 runtime_tells_its_state"),
    case(Fault.NULL_REGISTRY_PREFIX, "A10", failed="A10 registry_prefix"),
    case(Fault.EXISTS_WITHOUT_IMAGE, "A10", failed="A10 image_exists"),
    case(Fault.WARM_CONFIG_WITHOUT_COMMAND, "A11", failed="A11 warm_runtime_configs"),
    case(Fault.WARM_CONFIG_WITH_NUMBERS, "A11", failed="A11 warm_runtime_configs_can_be_asked_for"),
    case(
        Fault.ERRORS_ARE_TEXT,
        *("A4", "A12"),
        warned="A4 missing_image_is_refused_in_words, A12 errors_are_json_objects_with_detail",
    ),
    case(Fault.NULL_SESSION_ACCEPTED, "A4", warned="A4 null_session_is_refused"),
    case(Fault.WORKSPACE_LOST, "A5", warned="A5 workspace_is_kept"),
    case(
        Fault.HEALTH_NEEDS_KEY,
        *("A4", "C-HTTP"),
        failed="A4 sandbox_becomes_ready, A4 sandbox_of_the_app_becomes_ready",
        blocked=True,
    ),
    case(
        Fault.SESSION_KEY_UNCHECKED,
        "C",
        failed="""
            C-HTTP no_entry_without_the_session_key[missing]
            C-HTTP no_entry_without_the_session_key[wrong]
            C-WS wrong_key_is_turned_away[first message]
            C-WS wrong_key_is_turned_away[header]
        """,
    ),
    case(Fault.ALIVE_MISSING, "C-HTTP", failed="C-HTTP alive_is_open"),
    case(Fault.ERROR_OUTPUT_LOST, "C-HTTP", failed="C-HTTP command"),
    case(Fault.LENGTH_LOST, "C-HTTP", failed="C-HTTP huge_answers_are_streamed"),
    case(Fault.QUERY_DECODED_TWICE, "C-HTTP", failed="C-HTTP queries_arrive_as_they_are"),
    case(Fault.ERRORS_REPLACED, "C-HTTP", failed="C-HTTP answers_of_the_agent_server_are_passed_on"),
    case(Fault.SILENT_CALL_CUT, "C", failed="C-HTTP silence_of_a_minute"),
    case(Fault.POLLS_FAIL, "C", failed="C-HTTP polls_over_a_minute"),
    case(Fault.BODY_CAP, "C-HTTP", failed="C-HTTP large_files_in_both_directions"),
    case(Fault.PATH_TIDIED, "C-HTTP", failed="C-HTTP paths_arrive_as_they_are"),
    case(
        Fault.PAUSED_IS_404,
        "C-HTTP",
        failed="C-HTTP paused_sandbox_is_a_passing_failure, C-HTTP paused_sandbox_is_503",
    ),
    case(Fault.PAUSED_IS_502, "C-HTTP", failed="C-HTTP paused_sandbox_is_503"),
    case(
        Fault.DELETED_IS_503,
        "C-HTTP",
        failed="C-HTTP deleted_sandbox_is_a_final_failure",
        warned="C-HTTP deleted_sandbox_is_404",
    ),
    case(Fault.CLOSE_CODE_LOST, "C-WS", failed="C-WS close_codes_are_passed_on"),
    case(Fault.SOCKET_FRAME_LIMIT, "C-WS", failed="C-WS large_events[3 MiB]"),
    case(Fault.SOCKET_MESSAGE_LIMIT, "C-WS", failed="C-WS large_messages_to_the_sandbox"),
    case(Fault.SILENT_SOCKET_CUT, "C-WS", failed="C-WS silence_of_a_minute"),
    case(Fault.DELETED_SOCKET_HANGS_UP, "C-WS", failed="C-WS deleted_sandbox_lets_nobody_in[first message]"),
    case(Fault.PAUSE_CLOSES_NORMALLY, "C-WS", failed="C-WS pause_closes_so_that_clients_come_back"),
    case(Fault.PAUSED_SOCKET_IS_4004, "C-WS", failed="C-WS paused_sandbox_lets_nobody_in[first message]"),
    case(Fault.PAUSED_SOCKET_HANGS_UP, "C-WS", failed="C-WS paused_sandbox_lets_nobody_in[first message]"),
)


NEVER_COMES = {
    Fault.NEVER_READY,
    Fault.URL_WITH_SLASH,
    Fault.HEALTH_NEEDS_KEY,
    Fault.STATUS_IN_CAPITALS,
    Fault.PAUSE_WITHOUT_EFFECT,
    Fault.STOP_WITHOUT_EFFECT,
}
"""Something is waited for in vain."""


IN_A_MINUTE = {Fault.SILENT_CALL_CUT, Fault.POLLS_FAIL, Fault.SILENT_SOCKET_CUT}


@pytest.fixture
def short_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "_SECONDS", 1)
    monkeypatch.setattr(quiet, "_POLL_SECONDS", 0.2)


@pytest.mark.usefixtures("short_minute")
@pytest.mark.parametrize("case", sampling.drawn(CASES, 20), ids=lambda case: case.fault.name)
def test_fault_is_found(conform: Conform, case: Case) -> None:
    # What takes longer than the rest, and is about few faults only.
    unconcerned = {"minute": IN_A_MINUTE, "large_files": {Fault.BODY_CAP}}
    deselect = " or ".join(name for name, faults in unconcerned.items() if case.fault not in faults)
    run = conform(case.fault, *case.sections, deselect=deselect, patience=2 if case.fault in NEVER_COMES else 30)
    assert run.tests("failed") == case.failed, run.output
    assert run.tests("warned") == case.warned, run.output
    assert bool(run.tests("blocked")) == case.blocked, run.output
    assert run.exit_code == (1 if case.failed else 0)
    assert run.report["conforms"] == (not case.failed)


def test_each_fault_is_tried() -> None:
    assert {case.fault for case in CASES} | {Fault.NONE} == set(Fault)
