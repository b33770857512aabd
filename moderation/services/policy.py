"""The policy as its keepers change it: packs, source documents, retirement; and what of it binds.

Its texts, version by version: moderation.services.policy_texts.
"""

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from accounts.services import audit, epochs
from moderation import permissions
from moderation.detection import rules_in_force
from moderation.errors import NotPermitted
from moderation.models import Approval, PolicyCategory, PolicyDocument, PolicyPack
from moderation.services import acts
from moderation.services.policy_texts import (
    FALLBACK_LANGUAGE,
    TEXT_LENGTH_MAX,
    publish_text,
    text_in_force,
    texts_in_force,
)

__all__ = [
    "APPEAL_DAYS_MAX",
    "FALLBACK_LANGUAGE",
    "TEXT_LENGTH_MAX",
    "appeal_days",
    "is_forbidden",
    "publish_text",
    "retire",
    "set_binding",
    "switch_pack",
    "text_in_force",
    "texts_in_force",
]

APPEAL_DAYS_MAX = 730


def appeal_days() -> int:
    """How many days a decision may be appealed: the longest window of the documents that bind, 14 at least."""
    windows = PolicyDocument.objects.filter(binds=True).values_list("appeal_days", flat=True)
    return max(windows, default=PolicyDocument.APPEAL_DAYS_MIN)


def is_forbidden(category: PolicyCategory) -> bool:
    """Whether a document that binds forbids it outright, though another would let it be approved."""
    return PolicyDocument.objects.filter(binds=True, forbids=category).exists()


@transaction.atomic
def switch_pack(*, pack: PolicyPack, is_on: bool, actor: User, reason: str) -> bool:
    """Switch a pack of categories on or off for new cases. False when it was so already.

    The general pack is always on. Raises NotPermitted, ValidationError.
    """
    acts.require_reason(reason)
    _require(actor, permissions.SWITCH_PACK, "switch a pack of categories")
    if pack.code == PolicyPack.Code.GENERAL:
        raise ValidationError("The general pack is always on.")
    if not PolicyPack.objects.filter(pk=pack.pk, is_on=not is_on).update(is_on=is_on):
        return False
    pack.is_on = is_on
    changes = {"is_on": [not is_on, is_on]}
    audit.record(actor=actor, action="policy_pack.switch", target=pack, reason=reason, changes=changes)
    return True


@transaction.atomic
def set_binding(*, document: PolicyDocument, binds: bool, appeal_days: int, actor: User, reason: str) -> bool:
    """Say whether a source document binds this deployment, and how long it lets decisions be appealed.

    What it forbids can no longer be approved while it binds, and approvals of that stop with the next call. Decisions
    already told keep the deadline that they named. False when nothing changed. Raises NotPermitted, ValidationError.
    """
    acts.require_reason(reason)
    _require(actor, permissions.SET_BINDING, "say which documents bind")
    if not PolicyDocument.APPEAL_DAYS_MIN <= appeal_days <= APPEAL_DAYS_MAX:
        allowed = f"From {PolicyDocument.APPEAL_DAYS_MIN} to {APPEAL_DAYS_MAX} days."
        raise ValidationError({"appeal_days": allowed})
    before = PolicyDocument.objects.select_for_update().get(pk=document.pk)
    if (before.binds, before.appeal_days) == (binds, appeal_days):
        return False
    PolicyDocument.objects.filter(pk=document.pk).update(binds=binds, appeal_days=appeal_days)
    document.binds, document.appeal_days = binds, appeal_days
    changes = {"binds": [before.binds, binds], "appeal_days": [before.appeal_days, appeal_days]}
    audit.record(actor=actor, action="policy_document.bind", target=document, reason=reason, changes=changes)
    if before.binds != binds:
        _tell_gateway(document)
    return True


@transaction.atomic
def retire(*, category: PolicyCategory, actor: User, reason: str) -> bool:
    """Take a category out of use for good: what cites it stays, nothing new does, and its code is never given again.

    False when it was retired before. Raises NotPermitted, ValidationError.
    """
    acts.require_reason(reason)
    _require(actor, permissions.RETIRE_CATEGORY, "retire a category")
    using = [rule.detector for rule in rules_in_force() if rule.category == category.code]
    if using:
        raise ValidationError(f"The detector “{using[0]}” cites it. Give its rule another category first.")
    if not PolicyCategory.objects.filter(pk=category.pk, is_retired=False).update(is_retired=True):
        return False
    category.is_retired = True
    changes = {"is_retired": [False, True]}
    audit.record(actor=actor, action="policy_category.retire", target=category, reason=reason, changes=changes)
    return True


def _tell_gateway(document: PolicyDocument) -> None:
    """Have approvals of what the document forbids judged anew, with the next call."""
    approved = Approval.objects.filter(state=Approval.State.APPROVED, category__in=document.forbids.all())
    for organisation_id in approved.order_by("organisation").values_list("organisation", flat=True).distinct():
        epochs.bump(organisation_id=organisation_id)


def _require(actor: User, permission: str, to: str) -> None:
    if not permissions.may(actor, permission):
        raise NotPermitted(f"To {to} needs the permission {permission}.")
