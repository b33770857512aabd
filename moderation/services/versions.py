"""Changing a case as a person has seen it: the version is the guard, so of two at once one is told to look again."""

from typing import Any

from moderation.errors import VersionConflict
from moderation.models import Case


def seen(case: Case, expected_version: int | None = None) -> Case:
    """The case as it is now, provided that it has that version; the instance's by default. Raises VersionConflict."""
    now = Case.objects.select_related("category", "assignee", "organisation").get(pk=case.pk)
    if now.version != (case.version if expected_version is None else expected_version):
        raise VersionConflict("Someone has changed this case since you opened it. Look at it again.")
    return now


def write(case: Case, now: Case, **values: Any) -> None:
    """Change a case that is still as `now` was read, and the instance with it. Raises VersionConflict."""
    values["version"] = now.version + 1
    if Case.objects.filter(pk=now.pk, state=now.state, version=now.version).update(**values) != 1:
        raise VersionConflict("Someone was a moment faster. Look at the case again.")
    for name, value in values.items():
        setattr(case, name, value)
