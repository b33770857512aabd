"""The texts of the policy: published version by version, never changed, and which of them is in force when."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from moderation import permissions
from moderation.errors import NotPermitted, VersionConflict
from moderation.models import PolicyCategory, PolicyText
from moderation.models.notice import LANGUAGE
from moderation.services import acts
from newapi.kernel import clock

# What every deployment has, and what is cited where there is no text in the reader's language.
FALLBACK_LANGUAGE = "en"
TEXT_LENGTH_MAX = 5_000


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
    if not permissions.may(actor, permissions.PUBLISH_TEXT):
        raise NotPermitted(f"To publish policy texts needs the permission {permissions.PUBLISH_TEXT}.")
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
