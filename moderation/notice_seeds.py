"""The texts that notices begin with: `notice_texts/KIND.LANGUAGE.txt`, the first line of which is the subject."""

from pathlib import Path

from django.db import models

from moderation import notice_kinds

_FOLDER = Path(__file__).with_name("notice_texts")


def texts() -> list[tuple[str, str, str, str]]:
    """(kind, language, subject, body) of each file, sorted. Raises ValueError for a text that could not be sent."""
    found = []
    for file in sorted(_FOLDER.glob("*.txt")):
        kind, language = file.stem.split(".")
        subject, _, body = file.read_text(encoding="utf-8").partition("\n")
        if faults := notice_kinds.faults(kind, subject, body):
            raise ValueError(f"{file.name}: {' '.join(faults)}")
        found.append((kind, language, subject, body.strip()))
    return found


def seed(model: type[models.Model]) -> None:
    """Make the first version of each text that has none. What was published here stays.

    `model` is NoticeTemplate, or its historical form in a migration.
    """
    for kind, language, subject, body in texts():
        if not model._default_manager.filter(kind=kind, language=language).exists():
            values = {"version": 1, "subject": subject, "body": body, "note": "The text that the platform comes with."}
            model._default_manager.create(kind=kind, language=language, **values)
