"""The remedy at the end of a condition's message: how it gets there, and the message without it.

Nobody looks for a remedy in a message: the status says which it is.
"""

from sandbox_common.reasons import EXPIRIES, MEANINGS, ExpiryReason, Reason
from sandbox_crds.models.sandbox import Condition, SandboxStatus

_MESSAGE_CHARACTERS = 2048
_SENTENCE_ENDS = (".", "!", "?", ":", ";", "\u2026")


def with_remedy(message: str, remedy: str) -> str:
    """What a condition says: a message that is too long is cut, and not its remedy."""
    if not remedy:
        return message[:_MESSAGE_CHARACTERS].strip()
    suffix = f" Remedy: {remedy}"
    message = message.strip()[: _MESSAGE_CHARACTERS - len(suffix) - 1]
    # The words of Kubernetes and of container runtimes mostly end without one.
    stop = "" if not message or message.endswith(_SENTENCE_ENDS) else "."
    return f"{message}{stop}{suffix}".strip()


def without_remedy(message: str, remedy: str) -> str:
    """The message without this remedy; all of it if it ends otherwise."""
    return f" {message}".removesuffix(f" Remedy: {remedy}").strip() if remedy else message


def remedy_of(status: SandboxStatus, condition: Condition) -> str:
    """The remedy of one of the status's conditions; "" when there is none.

    An operator of a version before `status.remedy` leaves that as it is, and takes remedies from the table of reasons.
    """
    if condition.type == "Ready" and condition.reason in Reason:
        known = status.remedy if condition.message.endswith(status.remedy) else ""
        return known or MEANINGS[Reason(condition.reason)].remedy
    if condition.type == "Expiring" and condition.reason in ExpiryReason:
        return EXPIRIES[ExpiryReason(condition.reason)].remedy
    return ""


def said(status: SandboxStatus, condition: Condition) -> str:
    """The message of one of the status's conditions without its remedy."""
    return without_remedy(condition.message, remedy_of(status, condition))
