"""What can be approved at all, and under which conditions. Rules without writes; no right overrides them."""

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.utils import timezone

from channels.models import Model
from moderation.models import Approval, PolicyCategory
from newapi.kernel import clock

# An approval of a use case is looked at anew after this many days at the latest.
DAYS_MAX = 366
MODELS_MAX = 100
PURPOSE_LENGTH_MAX = 4000

_Kind = Approval.Kind
_Class = PolicyCategory.PolicyClass
# Answers of these domains are reviewed by a qualified person before anyone relies on them.
_DOMAIN_PREFIX = "HD-"


def can_be_approved(category: PolicyCategory) -> bool:
    """Whether anybody can approve a use case of it.

    Prohibited ones never. Restricted ones, unless the sources allow it in theory only. Conduct on the platform only
    where the sources say yes: what they call written consent is a contract, not an approval.
    """
    if not category.is_in_force:
        return False
    rule = category.approval_rule
    if category.policy_class == _Class.RESTRICTED:
        return not rule.startswith(("never", "in theory"))
    return category.policy_class == _Class.CONDUCT and rule.startswith("yes")


def approvable() -> list[PolicyCategory]:
    """The categories that can be applied for, by code."""
    return [category for category in PolicyCategory.objects.in_force().order_by("code") if can_be_approved(category)]


def needs_human_review(category: PolicyCategory) -> bool:
    """Whether an approval needs the promise that a qualified person reviews every answer (GW-21)."""
    return category.code.startswith(_DOMAIN_PREFIX)


def check_asked(approval: Approval) -> None:
    """Whether what is asked for could be approved. Raises ValidationError."""
    checks = {_Kind.USE_CASE.value: _check_use_case, _Kind.LABEL_OPT_OUT.value: _check_label_opt_out}
    if approval.kind not in checks:
        raise ValidationError({"kind": f"Choose one of {', '.join(_Kind.values)}."})
    checks[approval.kind](approval)
    _check_key(approval)
    _check_models(approval.models_allowed)
    if not approval.purpose.strip():
        raise ValidationError({"purpose": "Say what it is for."})
    if len(approval.purpose) > PURPOSE_LENGTH_MAX:
        raise ValidationError({"purpose": f"At most {PURPOSE_LENGTH_MAX:,} characters."})


def checked_start(approval: Approval, *, starts_at: datetime | None, ends_at: datetime | None) -> datetime:
    """When it really starts: now when nothing or the past is given. Raises ValidationError for a span that is none."""
    for name, moment in (("starts_at", starts_at), ("ends_at", ends_at)):
        if moment is not None and timezone.is_naive(moment):
            raise ValidationError({name: "The moment needs a time zone."})
    now = clock.now()
    start = max(starts_at or now, now)
    if ends_at is None:
        if approval.kind == _Kind.USE_CASE:
            raise ValidationError({"ends_at": "A use case is approved for a time. Say until when."})
        return start
    if ends_at <= start:
        raise ValidationError({"ends_at": "The end must lie in the future, after the start."})
    if ends_at > now + timedelta(days=DAYS_MAX):
        raise ValidationError({"ends_at": f"At most {DAYS_MAX} days from now."})
    return start


def _check_use_case(approval: Approval) -> None:
    category = approval.category
    if category is None:
        raise ValidationError({"category": "Say which category the use case falls into."})
    if not can_be_approved(category):
        raise ValidationError({"category": f"{category.code} cannot be approved, by nobody."})
    if needs_human_review(category) and not approval.has_human_review:
        raise ValidationError({"has_human_review": f"{category.code} needs a qualified person to review every answer."})
    if approval.promises:
        raise ValidationError({"promises": "Only a label opt-out takes promises."})


def _check_label_opt_out(approval: Approval) -> None:
    if approval.category is not None:
        raise ValidationError({"category": "A label opt-out has no category."})
    if set(approval.promises) - set(Approval.LABEL_PROMISES):
        raise ValidationError({"promises": "There is no such promise."})
    missing = [name for name in Approval.LABEL_PROMISES if name not in approval.promises]
    if missing:
        raise ValidationError({"promises": f"Every promise is needed. Missing: {', '.join(missing)}."})


def _check_key(approval: Approval) -> None:
    key = approval.api_key
    if key is None:
        return
    if key.organisation_id != approval.organisation_id:
        raise ValidationError({"api_key": "The key belongs to another organisation."})
    if key.state != "active":
        raise ValidationError({"api_key": f"The key is {key.state}."})


def _check_models(names: list[str]) -> None:
    if len(names) > MODELS_MAX:
        raise ValidationError({"models_allowed": f"At most {MODELS_MAX} models. None means every model."})
    known = set(Model.objects.filter(name__in=names).values_list("name", flat=True))
    if unknown := [name for name in names if name not in known]:
        raise ValidationError({"models_allowed": f"There is no model “{unknown[0][:80]}”."})
