"""What a report may say: every bound with its number. Nothing of it is repeated in an error."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from moderation.models import PolicyCategory, Report
from moderation.models.notice import LANGUAGE
from newapi.kernel import clock

DESCRIPTION_LENGTH_MIN = 20
DESCRIPTION_LENGTH_MAX = 10_000
TASK_ID_LENGTH_MAX = 100
MODEL_NAME_LENGTH_MAX = 150
URL_LENGTH_MAX = 2_000
ACCUSED_LENGTH_MAX = 200
LANGUAGE_LENGTH_MAX = 10
# No model was called before; and what lies at the edge of the calendar cannot be shown in every time zone.
AGE_MAX = timedelta(days=7_305)
# A task id is ours or an upstream's; never an address.
_TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]*")
_CATCH_ALL = "PA-OTHER"
NEITHER = "Say at least one of: the task id, the model, or when it happened."


def cleaned(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a report as they are kept. Raises ValidationError, by field, with everything that is wrong."""
    kept: dict[str, Any] = {name: _bare(value) if isinstance(value, str) else value for name, value in values.items()}
    wrong: dict[str, str] = {}
    for name, most in _LENGTHS.items():
        if len(kept[name]) > most:
            wrong[name] = f"At most {most:,} characters."
    if len(kept["description"]) < DESCRIPTION_LENGTH_MIN:
        wrong["description"] = f"Say what happened, in at least {DESCRIPTION_LENGTH_MIN} characters."
    if kept["task_id"] and not _TASK_ID.fullmatch(kept["task_id"]):
        wrong.setdefault("task_id", "An id has no spaces or special characters.")
    if " " in kept["model_name"]:
        wrong.setdefault("model_name", "The name of a model has no spaces.")
    if kept["happened_at"] is not None and (said := _complaint_of(kept["happened_at"])):
        wrong["happened_at"] = said
    if kept["received_at"] is not None and (said := _complaint_of(kept["received_at"])):
        wrong["received_at"] = said
    if not (kept["task_id"] or kept["model_name"] or kept["happened_at"]):
        wrong["task_id"] = NEITHER
    if kept["category"] is not None and not kept["category"].is_in_force:
        wrong["category"] = "Choose a category that is in force."
    if not is_language(kept["language"]):
        wrong["language"] = str(LANGUAGE.message)
    if kept["channel"] not in Report.Channel.values:
        wrong["channel"] = "Choose how it came in."
    if wrong:
        raise ValidationError(wrong)
    return kept


def is_language(text: str) -> bool:
    """Whether a text is a language as notices know them: en, de, zh-Hans."""
    return len(text) <= LANGUAGE_LENGTH_MAX and re.fullmatch(LANGUAGE.regex, text) is not None


def catch_all() -> PolicyCategory:
    """The category of what its reporter has not put into any."""
    return PolicyCategory.objects.get(code=_CATCH_ALL)


_LENGTHS = {
    "description": DESCRIPTION_LENGTH_MAX,
    "task_id": TASK_ID_LENGTH_MAX,
    "model_name": MODEL_NAME_LENGTH_MAX,
    "url": URL_LENGTH_MAX,
    "accused": ACCUSED_LENGTH_MAX,
}


def _bare(text: str) -> str:
    """Trimmed, and without what PostgreSQL refuses or what hides in a text."""
    return "".join(sign for sign in text.replace("\r\n", "\n").replace("\r", "\n") if _is_kept(sign)).strip()


def _is_kept(sign: str) -> bool:
    return sign in "\n\t" or not (ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 or 0xD800 <= ord(sign) <= 0xDFFF)


def _complaint_of(moment: datetime) -> str:
    """What is wrong with a moment; empty when nothing is."""
    if timezone.is_naive(moment):
        return "This moment needs a time zone."
    now = clock.now()
    if moment > now:
        return "This moment is still to come."
    return "This is longer ago than anything here." if moment < now - AGE_MAX else ""
