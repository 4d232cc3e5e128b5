"""B: the two states, `status` and `pod_status`, over a sandbox's life."""

from conformance.contract import FATAL_POD_STATUSES, POD_STATUSES, STATUSES, Client, recommended, required
from conformance.sandbox import Attempt


@required(Client.APP, Client.SDK)
def test_status_words_while_it_starts(launch: Attempt) -> None:
    """app: any other word than starting and running shows the sandbox as MISSING, PAUSED or ERROR."""
    for seen in (launch.fields, *launch.looks):
        assert seen.get("status") in {"starting", "running"}, f"status is {seen.get('status')!r}"


@required(Client.SDK, Client.APP, Client.V0)
def test_ready_sandbox_is_running(launch: Attempt) -> None:
    """SDK and V0: compare with exactly `running` when they attach; app: takes nothing else for RUNNING."""
    assert launch.succeeded
    last = launch.looks[-1]
    assert (last.get("status"), last.get("pod_status")) == ("running", "ready")


@recommended(Client.SDK, Client.V0)
def test_pod_status_words(launch: Attempt) -> None:
    """SDK: logs a warning for a word that it does not know, and polls on."""
    for seen in launch.looks:
        assert str(seen.get("pod_status")).lower() in POD_STATUSES


@recommended(Client.SDK, Client.APP, Client.V0)
def test_ready_means_reachable(launch: Attempt) -> None:
    """SDK: probes {url}/health once the status is ready; a failed probe costs it a back-off step of 2 to 10 s."""
    assert launch.succeeded
    assert launch.unready_probes == 0, f"{launch.unready_probes} probes failed after pod_status was ready"


@required(Client.SDK)
def test_ready_means_usable(launch: Attempt) -> None:
    """SDK: uses the sandbox right after the probe, with the session key, and retries nothing."""
    assert launch.succeeded
    assert launch.first_use == "200", f"the first request with the key gave {launch.first_use}"


@required(Client.SDK)
def test_resumed_sandbox_is_not_ready_too_early(resume: Attempt) -> None:
    """SDK `resume`: polls at once; a `ready` that is left over from the old pod would let it go on with no pod."""
    assert resume.succeeded
    assert resume.unready_probes == 0, f"{resume.unready_probes} probes failed after pod_status was ready"
    # A key that is refused is another matter (A5).
    assert resume.first_use in {"200", "401", "403"}, f"the first request with the key gave {resume.first_use}"


@required(Client.SDK, Client.APP)
def test_status_words_while_it_resumes(resume: Attempt) -> None:
    """app: as while it starts; paused would make it resume the sandbox once more."""
    for seen in resume.looks:
        assert seen.get("status") in {"starting", "running"}, f"status is {seen.get('status')!r}"


@recommended(Client.SDK)
def test_paused_sandbox_is_not_failed(pause: Attempt) -> None:
    """SDK: whoever polls a session that somebody pauses must not read of a failure."""
    assert pause.succeeded
    pod_status = str(pause.looks[-1].get("pod_status")).lower()
    assert pod_status not in {*FATAL_POD_STATUSES, "ready"}, f"pod_status is {pod_status}"


@required(Client.SDK, Client.APP)
def test_missing_image_never_runs(unpullable: Attempt) -> None:
    """SDK and app: a sandbox whose image cannot be pulled is starting or has failed, or /start refuses it; every poll
    is answered."""
    assert unpullable.call is not None, unpullable.problem
    for seen in unpullable.polls:
        assert seen.ok, seen
    for seen in (seen.fields for seen in unpullable.polls):
        assert seen.get("status") in STATUSES - {"running", "paused"}, f"status is {seen.get('status')!r}"
        assert str(seen.get("pod_status")).lower() != "ready"


@recommended(Client.SDK, Client.BENCHMARKS)
def test_missing_image_is_named_as_the_cause(unpullable: Attempt) -> None:
    """benchmarks `failure_classifier`: ImagePullBackOff or ErrImagePull in the SDK's error, which has pod_logs of a
    `failed` one; without it the SDK waits for 300 s and says nothing."""
    assert any(word in unpullable.problem for word in ("ImagePullBackOff", "ErrImagePull")), unpullable.problem
