"""The texts of notices: published version by version, never changed; looked at before, with examples in the gaps."""

import re

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.services import audit
from moderation import notice_kinds, permissions
from moderation.errors import NotPermitted, VersionConflict
from moderation.models import NoticeTemplate
from moderation.models.notice import LANGUAGE
from moderation.notice_examples import EXAMPLES
from moderation.services import acts
from newapi.kernel import clock

BODY_MAX = 10_000


@transaction.atomic
def publish(
    *,
    kind: str,
    language: str,
    subject: str,
    body: str,
    note: str,
    expected_version: int | None = None,
    actor: User,
) -> NoticeTemplate:
    """Make the next version of a text; the next notice is written with it. `note` says what changed, and why.

    expected_version: that of the newest one that the person saw, 0 when there was none; not asked when None. Refused
    when a placeholder is unknown, or one that the kind must have is missing. Raises NotPermitted, VersionConflict,
    ValidationError.
    """
    acts.require_reason(note)
    if not permissions.may(actor, permissions.PUBLISH_NOTICE):
        raise NotPermitted(f"To publish texts of notices needs the permission {permissions.PUBLISH_NOTICE}.")
    subject, body = check(kind=kind, language=language, subject=subject, body=body)
    seen = newest_version(kind=kind, language=language)
    if expected_version not in (None, seen):
        raise VersionConflict("Somebody has published a version since you opened this. Look at it again.")
    made = NoticeTemplate(
        kind=kind,
        language=language,
        version=seen + 1,
        subject=subject,
        body=body,
        note=note[:500],
        author=actor,
        created_at=clock.now(),
    )
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError:
        raise VersionConflict("Somebody was a moment faster. Look at the texts again.") from None
    changes = {"version": [seen or None, made.version]}
    audit.record(actor=actor, action="notice_template.publish", target=made, reason=note, changes=changes)
    return made


def check(*, kind: str, language: str, subject: str, body: str) -> tuple[str, str]:
    """Subject and body as they would be kept. Raises ValidationError with everything that is wrong with them."""
    subject, body = " ".join(subject.split()), "\n".join(line.rstrip() for line in body.strip().splitlines())
    if re.fullmatch(LANGUAGE.regex, language) is None:
        raise ValidationError({"language": "Such as en, de or zh-Hans."})
    if len(subject) > 200 or len(body) > BODY_MAX:
        raise ValidationError(f"A subject has at most 200 characters, a body {BODY_MAX:,}.")
    if found := notice_kinds.faults(kind, subject, body):
        raise ValidationError({"body": found})
    return subject, body


def preview(*, kind: str, language: str, subject: str, body: str) -> tuple[str, str]:
    """Subject and body as somebody would read them, with examples. Raises ValidationError as `publish` does."""
    subject, body = check(kind=kind, language=language, subject=subject, body=body)
    return notice_kinds.fill(subject, EXAMPLES), notice_kinds.fill(body, EXAMPLES)


def newest_version(*, kind: str, language: str) -> int:
    """The number of the newest version; 0 when there is none."""
    versions = NoticeTemplate.objects.filter(kind=kind, language=language).order_by("-version")
    return versions.values_list("version", flat=True).first() or 0
