"""What the gateway and an API key allow in a /start, checked on the request alone. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox_common.api_keys import Policy
from sandbox_crds.models import SandboxClassSpec, SandboxSpec
from sandbox_gateway.contract.errors import NotAllowedError
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.registry.allowed import is_allowed

_MOST_TEXT = 1000
"""The most characters of a refusal's list of what is allowed."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """Permissions of all keys: `images` are patterns (empty: all), `sandbox_class` is the default class."""

    images: Sequence[str]
    sandbox_class: str

    def check(self, request: StartRequest, policy: Policy, *, present: SandboxSpec | None = None) -> None:
        """Raises NotAllowedError, which says what is allowed. A session may keep what it has at `present`."""
        if present is None or request.image != present.image:
            self._check_image("image", request.image, policy)
        most = policy.limits.resource_factor
        changed = present is None or request.resource_factor != present.resource_factor
        if most is not None and changed and request.resource_factor > most:
            raise NotAllowedError(
                f"resource_factor: {request.resource_factor} is more than your API key allows "
                f"(limits.resourceFactor in its policy is {most}). Ask for {most} at most."
            )

    def check_agent_server(self, class_name: str, class_: SandboxClassSpec, policy: Policy) -> None:
        """Raises NotAllowedError when the image that the class brings the agent server from is not allowed."""
        if class_.agent_server:
            self._check_image(f"agentServer.image of SandboxClass {class_name}", class_.agent_server.image, policy)

    def allows_image(self, image: str, policy: Policy) -> bool:
        """Whether the key may start this image."""
        try:
            self._check_image("image", image, policy)
        except NotAllowedError:
            return False
        return True

    def _check_image(self, field: str, image: str, policy: Policy) -> None:
        _check_image(field, image, self.images, "this gateway's list (allowedImages of its chart)")
        _check_image(field, image, policy.images, "your API key's list (images in its policy)")

    def class_name(self, request: StartRequest, policy: Policy) -> str:
        """The SandboxClass of a new sandbox. Raises NotAllowedError."""
        allowed = self.class_names(policy)
        if request.sandbox_class and request.sandbox_class not in allowed:
            raise NotAllowedError(
                f"sandbox_class: {request.sandbox_class} is not allowed by your API key (classes in its policy). "
                f"Allowed are: {_listed(allowed)}."
            )
        return request.sandbox_class or self.default_class(policy)

    def class_names(self, policy: Policy) -> Sequence[str]:
        """The SandboxClasses that the key allows, the default first."""
        return policy.classes or (self.sandbox_class,)

    def default_class(self, policy: Policy) -> str:
        """The SandboxClass for requests that name none."""
        return policy.classes[0] if policy.classes else self.sandbox_class


def check_groups(request: StartRequest, class_name: str, class_: SandboxClassSpec) -> None:
    """Raises NotAllowedError when the class does not allow the requested groups."""
    if not class_.allows_groups(request.group, request.fs_group):
        field = "fs_group" if request.fs_group == 0 else "run_as_group"
        raise NotAllowedError(
            f"{field}: 0, the root group, is not allowed by SandboxClass {class_name} (pod.allowRootGroup). "
            "Ask for another group."
        )


def maximum_life(limit: int, own: int | None, of_class: int) -> int:
    """Seconds: the key's limit, or the sandbox's own value (else its class's) if that is less. 0 there: no maximum."""
    return min(limit, (of_class if own is None else own) or limit)


def _check_image(field: str, image: str, patterns: Sequence[str], whose: str) -> None:
    if not patterns:
        return
    problem = ""
    try:
        if is_allowed(image, patterns):
            return
    except ValueError as error:
        problem = f": it {error}"
    # In ASCII, so letters that only look alike can be told apart.
    named = ascii(image if len(image) <= 300 else image[:300] + "...")
    raise NotAllowedError(f"{field}: {named} is not allowed by {whose}{problem}. Allowed are: {_listed(patterns)}.")


def _listed(names: Sequence[str]) -> str:
    listed: list[str] = []
    for name in names:
        if listed and sum(map(len, listed)) + len(name) > _MOST_TEXT:
            break
        listed.append(name)
    more = len(names) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more else "")
