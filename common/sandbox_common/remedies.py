"""Adds the remedy to the end of a condition's message, and removes it.

Code never searches a message for its remedy: the status has it as a field.
"""

from sandbox_common.reasons import EXPIRIES, MEANINGS, ExpiryReason, Reason
from sandbox_crds.models.sandbox import Condition, SandboxStatus

_MESSAGE_CHARACTERS = 2048
_SENTENCE_ENDS = (".", "!", "?", ":", ";", "\u2026")


def with_remedy(message: str, remedy: str) -> str:
    """The message of a condition with its remedy. If it is too long, the message is cut, but not the remedy."""
    if not remedy:
        return message[:_MESSAGE_CHARACTERS].strip()
    suffix = f" Remedy: {remedy}"
    message = message.strip()[: _MESSAGE_CHARACTERS - len(suffix) - 1]
    # Most messages of Kubernetes and of container runtimes end without a period.
    stop = "" if not message or message.endswith(_SENTENCE_ENDS) else "."
    return f"{message}{stop}{suffix}".strip()


def without_remedy(message: str, remedy: str) -> str:
    """The message without this remedy; unchanged if it does not end with it."""
    return f" {message}".removesuffix(f" Remedy: {remedy}").strip() if remedy else message


def remedy_of(status: SandboxStatus, condition: Condition) -> str:
    """The remedy of one of the status's conditions; "" if there is none.

    An operator of an earlier version does not update `status.remedy`. Its remedies are those of the table of reasons.
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
