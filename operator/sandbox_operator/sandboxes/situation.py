"""What all phases of a plan share: the world, the sandbox's keys, and how a finding gets into the status. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sandbox_common.keys import MasterKeys
from sandbox_common.reasons import Reason
from sandbox_common.redaction import redacted
from sandbox_crds.models import Loss
from sandbox_operator.pools.matching import MissReason
from sandbox_operator.reporting.conditions import READY, patch
from sandbox_operator.reporting.findings import Finding
from sandbox_operator.reporting.lifetime import announcement, expiring_events, nearest_limit
from sandbox_operator.reporting.losses import lost_volume, vanished_pod, with_loss
from sandbox_operator.reporting.pod_events import redacted_events
from sandbox_operator.reporting.redaction import has_foreign_text, redacted_pod
from sandbox_operator.reporting.status import WRITTEN_ALONG, next_status, reports, with_expiring
from sandbox_operator.sandboxes.replacement import has_vanished
from sandbox_operator.sandboxes.world import Made, Plan, World

PATIENCE = timedelta(seconds=2)
"""How long a passing state must last before it is reported: a second, and one more because times have whole seconds."""

LONGEST_PATIENCE = timedelta(seconds=8)
"""Maximum when many sandboxes start at once. A client gets its key after 10 s, and a status that has the key by then
saves a write."""

_PATIENCE_EACH = timedelta(milliseconds=20)


def patience(unreported: int) -> timedelta:
    """How long a passing state must last before it is reported, while `unreported` other sandboxes have such a state.

    When many sandboxes start, they wait for each other, and writes that report it would make all of them wait longer.
    """
    return min(PATIENCE + unreported * _PATIENCE_EACH, LONGEST_PATIENCE)


@dataclass(frozen=True, slots=True)
class Situation:
    """The world of one sandbox, and the master keys. Once `redacted`, no text in it contains a key."""

    world: World
    keys: MasterKeys

    @property
    def key_id(self) -> str:
        """Id of the sandbox's key; a new one for a new sandbox, or if the master key of the old one is gone."""
        return self.known_key_id or self.keys.key_id(self.world.sandbox.metadata.uid)

    @property
    def known_key_id(self) -> str:
        """Id of the key that was reported, or that is in the pod or its Secret; "" if unknown."""
        pod, made = self.world.pod, self.world.made
        held = (pod.key_id if pod else "", made.key_id if made else "")
        return self.settled_key_id or next((known for known in held if self.keys.knows(known)), "")

    @property
    def settled_key_id(self) -> str:
        """Id of the key that was reported; "" if its master key is gone."""
        reported = self.world.sandbox.status.key_id
        return reported if self.keys.knows(reported) else ""

    def redacted(self) -> "Situation":
        """The same without keys in texts. Texts are cut later, and part of a key could not be recognized."""
        secrets = self._secrets()
        if not secrets:
            return self
        world = self.world
        pod = world.pod and redacted_pod(world.pod, secrets)
        return Situation(replace(world, pod=pod, pod_events=redacted_events(world.pod_events, secrets)), self.keys)

    def report(self, finding: Finding, loss: Loss | None = None, since: datetime | None = None) -> Plan:
        """The plan that writes the finding, and a loss, into the status, now or after the finding has lasted.

        The status says that it has lasted since now, or since another time. If the sandbox has a pod, this also finds
        the loss of an earlier one.
        """
        world, sandbox, pod = self.world, self.world.sandbox, self.world.pod
        finding = self._with_history(finding)
        finding = replace(finding, message=redacted(finding.message, self._secrets()))
        if finding.passing_since:
            due = finding.passing_since + patience(world.unreported)
            if world.now < due and not self._contradicts(finding):
                return Plan(unreported=True, requeue_at=due)
        key_id = self.known_key_id or sandbox.status.key_id
        miss = str(world.miss) if world.miss and world.miss.reason is not MissReason.NO_POOL else ""
        status = next_status(sandbox, pod, finding, key_id, since or world.now, miss)
        status = with_loss(status, loss or (self._vanished() if pod else None))
        status = with_loss(status, lost_volume(sandbox, world.made and world.made.volume_made, world.now))
        # A time limit may count from what is reported now.
        is_ending = finding.reason is Reason.TERMINATING
        limit = None if is_ending else nearest_limit(sandbox.model_copy(update={"status": status}), world.class_, pod)
        expiring = announcement(sandbox, limit, world.now)
        events = expiring_events(sandbox, limit, expiring, world.now)
        changes = patch(sandbox.status, with_expiring(status, expiring))
        return Plan(events=events, status=changes if changes.keys() - WRITTEN_ALONG else None)

    def report_without_pod(self, finding: Finding, since: datetime | None = None) -> Plan:
        """Report a finding, since now or another time, and no pod. The status nevertheless has the sandbox's key.

        A client must get its key if this lasts. Otherwise the status would have to be written once more.
        """
        world = self.world
        made = world.made or Made(self.key_id)
        without = Situation(replace(world, pod=None, made=made), self.keys)
        return without.report(finding, self._vanished(), since)

    def _vanished(self) -> Loss | None:
        """The loss of the status's pod, if it does not exist and was not expected to end."""
        sandbox, pod = self.world.sandbox, self.world.pod
        if (pod and reports(sandbox.status, pod)) or not has_vanished(sandbox):
            return None
        return vanished_pod(sandbox, self.world.class_, self.world.now)

    def _with_history(self, finding: Finding) -> Finding:
        status, pod = self.world.sandbox.status, self.world.pod
        if finding.passing_since is None or pod is None:
            return finding
        condition = status.condition(READY)
        if finding.pull:
            return finding
        if reports(status, pod):
            # A passing state is reported once. Changes of its details are not worth a write.
            return replace(finding, stands=condition is not None and condition.reason == finding.reason)
        if status.pod_name and finding.reason in {Reason.PENDING, Reason.STARTING}:
            return replace(finding, message=f"The earlier pod is gone, this one replaces it. {finding.message}")
        return finding

    def _contradicts(self, finding: Finding) -> bool:
        """Whether the status still says that the sandbox is ready, so that the finding must be reported at once.

        Not for a suspension: `spec.suspend` shows already that the address in the status no longer answers.
        """
        condition = self.world.sandbox.status.condition(READY)
        return condition is not None and condition.status == "True" and finding.reason is not Reason.SUSPENDING

    def _secrets(self) -> tuple[str, ...]:
        """The keys that no message may contain; empty if all texts are the operator's own."""
        world = self.world
        if not (
            world.refusal or world.pod_events or world.initialization or (world.pod and has_foreign_text(world.pod))
        ):
            return ()
        key_id = self.key_id
        return self.keys.session_key(key_id), self.keys.secret_key(key_id)
