"""The policy as its keepers change it, and what of it is in force: packs, source documents, texts, retirement.

What others ask: `text_in_force`, `appeal_days`, `is_forbidden`.
"""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit, epochs
from moderation import permissions
from moderation.detection import rules_in_force
from moderation.errors import NotPermitted, VersionConflict
from moderation.models import Approval, PolicyCategory, PolicyDocument, PolicyPack, PolicyText
from moderation.models.notice import LANGUAGE
from moderation.services import acts
from newapi.kernel import clock

# What every deployment has, and what is cited where there is no text in the reader's language.
FALLBACK_LANGUAGE = "en"
TEXT_LENGTH_MAX = 5_000
APPEAL_DAYS_MAX = 730


def text_in_force(category: PolicyCategory, language: str, at: datetime | None = None) -> PolicyText | None:
    """The text of a category at a moment, now by default: in the language, in its parent language, or in English.

    A decision asks for the moment of the act, so that it cites what could be read then. None when there was none.
    """
    moment = at or clock.now()
    wanted = _languages(language)
    texts = PolicyText.objects.filter(category=category, language__in=wanted, starts_at__lte=moment)
    newest: dict[str, PolicyText] = {}
    for text in texts.order_by("version"):
        newest[text.language] = text
    return next((newest[code] for code in wanted if code in newest), None)


def texts_in_force(language: str, at: datetime | None = None) -> dict[int, PolicyText]:
    """The same for every category at once, by the category's id. One query."""
    moment = at or clock.now()
    wanted = _languages(language)
    newest: dict[tuple[int, str], PolicyText] = {}
    for text in PolicyText.objects.filter(language__in=wanted, starts_at__lte=moment).order_by("version"):
        newest[text.category_id, text.language] = text
    found: dict[int, PolicyText] = {}
    for code in reversed(wanted):
        found |= {category_id: text for (category_id, spoken), text in newest.items() if spoken == code}
    return found


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
def publish_text(
    *,
    category: PolicyCategory,
    language: str,
    text: str,
    starts_at: datetime | None = None,
    note: str,
    expected_version: int | None = None,
    actor: User,
) -> PolicyText:
    """Make the next version of a text, in force from `starts_at` (aware; now by default), never from the past.

    `note` says what changed, and why. expected_version: that of the newest text that the person saw, 0 when there was
    none; not asked when None. Raises NotPermitted, VersionConflict, ValidationError.
    """
    acts.require_reason(note)
    _require(actor, permissions.PUBLISH_TEXT, "publish policy texts")
    now = clock.now()
    before = PolicyText.objects.filter(category=category, language=language).order_by("-version").first()
    seen = before.version if before else 0
    if expected_version not in (None, seen):
        raise VersionConflict("Somebody has published a version since you opened this. Look at it again.")
    made = PolicyText(
        category=category,
        language=language,
        version=seen + 1,
        text=text.strip(),
        starts_at=now if starts_at is None else starts_at,
        note=note[:500],
        author=actor,
        created_at=now,
    )
    _check_text(made, before, now)
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError:
        raise VersionConflict("Somebody was a moment faster. Look at the texts again.") from None
    changes = {"version": [seen, made.version], "starts_at": [before and before.starts_at, made.starts_at]}
    audit.record(actor=actor, action="policy_text.publish", target=made, reason=note, changes=changes)
    return made


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


def _languages(language: str) -> list[str]:
    """de-AT, de, en: which texts do, the best first."""
    parent = language.partition("-")[0]
    return list(dict.fromkeys([language, parent, FALLBACK_LANGUAGE]))


def _check_text(made: PolicyText, before: PolicyText | None, now: datetime) -> None:
    wrong: dict[str, str] = {}
    try:
        LANGUAGE(made.language)
    except ValidationError as error:
        wrong["language"] = error.messages[0]
    if not made.text:
        wrong["text"] = "The text is empty."
    elif len(made.text) > TEXT_LENGTH_MAX:
        wrong["text"] = f"At most {TEXT_LENGTH_MAX:,} characters."
    if timezone.is_naive(made.starts_at):
        wrong["starts_at"] = "The moment needs a time zone."
    elif made.starts_at < now:
        wrong["starts_at"] = "No text is in force from the past on: what was read then stays what is cited."
    elif before is not None and made.starts_at < before.starts_at:
        wrong["starts_at"] = f"Version {before.version} begins later, on {before.starts_at:%Y-%m-%d %H:%M} UTC."
    if made.category.is_retired:
        wrong["category"] = f"{made.category.code} is retired."
    if wrong:
        raise ValidationError(wrong)


def _tell_gateway(document: PolicyDocument) -> None:
    """Have approvals of what the document forbids judged anew, with the next call."""
    approved = Approval.objects.filter(state=Approval.State.APPROVED, category__in=document.forbids.all())
    for organisation_id in approved.order_by("organisation").values_list("organisation", flat=True).distinct():
        epochs.bump(organisation_id=organisation_id)


def _require(actor: User, permission: str, to: str) -> None:
    if not permissions.may(actor, permission):
        raise NotPermitted(f"To {to} needs the permission {permission}.")
