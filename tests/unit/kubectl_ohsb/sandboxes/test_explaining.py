"""The page of an explanation."""

from kubectl_ohsb.sandboxes.explaining import page
from kubectl_ohsb.sandboxes.store import state
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.explain import Surroundings, explain
from sandbox_crds.models import SandboxClassSpec
from unit.sandbox_gateway.support import NOW, sandbox, status

HOSTILE = "\x1b[2J\x9b\u202e<script>"


def test_a_page_has_cause_remedy_and_evidence_and_controls_nothing() -> None:
    log = f"Traceback:\n\tboom {HOSTILE}"
    found = sandbox(
        spec={"owner": "\x1bowner", "sessionID": HOSTILE * 40},
        status=status(Reason.CRASH_LOOP_BACK_OFF, f"It ended: {log}. Remedy: Fix it.", log=log, remedy="Fix it."),
    )
    text = page(found, explain(found, state(found, SandboxClassSpec(), NOW), Surroundings(base_domain=None)))
    lines = text.splitlines()
    assert all(line.isprintable() for line in lines)
    assert lines[lines.index("Cause:") + 1] == "  It ended."
    assert lines[lines.index("Remedy:") + 1] == "  Fix it."
    assert any("log" in line and "Traceback:" in line for line in lines)
    assert any(line.strip().startswith("boom") for line in lines)
    assert "error (CrashLoopBackOff)" in text


def test_one_that_runs_has_no_words_of_a_mode_that_is_not_known() -> None:
    found = sandbox(status=status(Reason.READY))
    remedy = explain(found, state(found, SandboxClassSpec(), NOW), Surroundings(base_domain=None)).remedy
    assert "kubectl port-forward" in remedy
    assert "gateway.baseDomain" not in remedy


def test_a_pod_that_a_restart_ends_is_not_ready() -> None:
    before = sandbox(status=status(Reason.READY, startTime="2026-01-02T03:04:00Z"))
    assert state(before, None, NOW).ready
    after = before.model_copy(
        update={
            "metadata": before.metadata.model_copy(update={"generation": 2}),
            "spec": before.spec.model_copy(update={"restarted_at": "2026-01-02T03:04:05Z"}),
        }
    )
    assert state(after, None, NOW).reason == Reason.PENDING
