"""Why no warm pod fits a sandbox: a list of comparisons, each with a reason and a message. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from sandbox_common import service_ports
from sandbox_common.command import DEFAULT_COMMAND
from sandbox_common.keys import MasterKeys
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool
from sandbox_operator.builders.environment import idle_timeout
from sandbox_operator.builders.pod import runtime_class
from sandbox_operator.builders.quantity import is_extended
from sandbox_operator.pools.template import sandbox_spec, template, working_dir

_CHARACTERS = 512


class MissReason(StrEnum):
    """Why the first pod of a sandbox was not a warm pod."""

    NO_POOL = "NoPool"
    NOT_ALLOWED = "NotAllowed"
    IMAGE_DIFFERS = "ImageDiffers"
    CLASS_DIFFERS = "ClassDiffers"
    COMMAND_DIFFERS = "CommandDiffers"
    WORKING_DIR_DIFFERS = "WorkingDirDiffers"
    ENVIRONMENT_DIFFERS = "EnvironmentDiffers"
    SERVICE_PORTS_DIFFER = "ServicePortsDiffer"
    RUN_AS_DIFFERS = "RunAsDiffers"
    RUNTIME_CLASS_DIFFERS = "RuntimeClassDiffers"
    RESOURCE_FACTOR_DIFFERS = "ResourceFactorDiffers"
    PULL_POLICY_DIFFERS = "PullPolicyDiffers"
    IDLE_TIMEOUT_DIFFERS = "IdleTimeoutDiffers"
    POOL_EMPTY = "PoolEmpty"
    INIT_FAILED = "InitFailed"
    VOLUME_FAILED = "VolumeFailed"
    OTHER = "Other"


@dataclass(frozen=True, slots=True)
class Miss:
    """Why a sandbox starts cold. `pool` is a fitting pool that was empty, or ""."""

    reason: MissReason
    details: str = ""
    pool: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.details}"[:_CHARACTERS]


@dataclass(frozen=True, slots=True)
class _Trait:
    """A property that a pool and a sandbox must share. `words` formats a value; "" if it must not be shown."""

    reason: MissReason
    noun: str
    of: Callable[[Sandbox, SandboxClass], object]
    words: Callable[[object], str] = str

    def differs(self, wanted: Sandbox, offered: Sandbox, class_: SandboxClass) -> bool:
        return self.of(wanted, class_) != self.of(offered, class_)

    def difference(self, wanted: Sandbox, offered: Sandbox, class_: SandboxClass) -> str:
        asked, has = self.words(self.of(wanted, class_)), self.words(self.of(offered, class_))
        if not asked and not has:
            return f"another {self.noun}"
        return f"{self.noun} {_short(asked)} of the sandbox is not {_short(has)}"


def _short(text: str) -> str:
    # Images and commands differ mostly at their ends.
    return f"…{text[-120:]}" if len(text) > 120 else text or "of the image"


def _factor(sandbox: Sandbox, class_: SandboxClass) -> int:
    resources = class_.spec.resources
    multiplies = any(not is_extended(name) for name in (*resources.requests, *resources.limits))
    return sandbox.spec.resource_factor if multiplies else 1


def _secret(_: object) -> str:
    return ""


_TRAITS = (
    _Trait(MissReason.IMAGE_DIFFERS, "image", lambda sandbox, _: sandbox.spec.image),
    _Trait(MissReason.CLASS_DIFFERS, "class", lambda sandbox, _: sandbox.spec.class_name),
    _Trait(MissReason.COMMAND_DIFFERS, "command", lambda sandbox, _: list(sandbox.spec.command or DEFAULT_COMMAND)),
    _Trait(
        MissReason.WORKING_DIR_DIFFERS,
        "working directory",
        lambda sandbox, _: working_dir(sandbox.spec.working_dir),
    ),
    _Trait(
        MissReason.ENVIRONMENT_DIFFERS,
        "environment",
        lambda sandbox, _: (sandbox.spec.environment_hash, sandbox.spec.env),
        _secret,
    ),
    _Trait(
        MissReason.SERVICE_PORTS_DIFFER,
        "service ports",
        lambda sandbox, class_: service_ports.of_sandbox(sandbox.spec, class_.spec),
    ),
    _Trait(
        MissReason.RUN_AS_DIFFERS,
        "user, group and fsGroup",
        lambda sandbox, _: (sandbox.spec.run_as_user, sandbox.spec.run_as_group, sandbox.spec.fs_group),
    ),
    _Trait(
        MissReason.RUNTIME_CLASS_DIFFERS,
        "runtime class",
        lambda sandbox, class_: runtime_class(sandbox, class_) or "of the cluster",
    ),
    _Trait(MissReason.RESOURCE_FACTOR_DIFFERS, "resource factor", _factor),
    _Trait(MissReason.PULL_POLICY_DIFFERS, "pull policy", lambda sandbox, _: sandbox.spec.image_pull_policy),
    _Trait(MissReason.IDLE_TIMEOUT_DIFFERS, "idle timeout in seconds", idle_timeout),
)


def obstacle(sandbox: Sandbox) -> Miss | None:
    """Why this sandbox cannot claim any warm pod; None if it can."""
    if sandbox.spec.warm_start == "Never":
        return Miss(MissReason.NOT_ALLOWED, "spec.warmStart is Never: a client has the key, or no pool existed.")
    return None


def miss(
    sandbox: Sandbox,
    class_: SandboxClass,
    pools: Iterable[SandboxPool],
    keys: MasterKeys,
    late: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Miss:
    """Why these pools have no pod for this sandbox, by comparison with the most similar pool.

    `late` has, by pool, the names of variables that can no longer be changed in its booted pods. Only pools whose pods
    get the sandbox's environment after the claim are in it.
    """
    offers = {pool.metadata.name: Sandbox(spec=sandbox_spec(pool, keys)) for pool in pools}
    if not offers:
        return Miss(MissReason.NO_POOL)
    differences = {
        name: [trait for trait in _differences(sandbox, offered, class_) if not _comes_late(trait, late.get(name))]
        for name, offered in offers.items()
    }
    name = min(offers, key=lambda name: (*_distance(differences[name]), name))
    offered, different = offers[name], differences[name]
    if different:
        first, *others = different
        if first.reason is MissReason.ENVIRONMENT_DIFFERS and late.get(name):
            return Miss(first.reason, f"Pool {name}: too late to change {', '.join(late[name])}.")
        also = f"; also: {', '.join(trait.reason for trait in others)}" if others else ""
        return Miss(first.reason, f"Pool {name}: {first.difference(sandbox, offered, class_)}{also}.")
    if name not in late and template(sandbox.spec, class_) != template(offered.spec, class_):
        return Miss(MissReason.OTHER, f"Pool {name}: its pods differ in another setting.")
    return Miss(MissReason.POOL_EMPTY, f"Pool {name} has no free pod that is ready.", pool=name)


def _differences(wanted: Sandbox, offered: Sandbox, class_: SandboxClass) -> list[_Trait]:
    return [trait for trait in _TRAITS if trait.differs(wanted, offered, class_)]


def _comes_late(trait: _Trait, too_late: Sequence[str] | None) -> bool:
    return trait.reason is MissReason.ENVIRONMENT_DIFFERS and too_late is not None and not too_late


def _distance(differences: list[_Trait]) -> tuple[bool, int]:
    return any(trait.reason is MissReason.IMAGE_DIFFERS for trait in differences), len(differences)
