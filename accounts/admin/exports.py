"""The rows of a list as CSV, without secrets."""

import csv
import io
from collections.abc import Callable
from itertools import islice

from django.db import models
from django.db.models import QuerySet
from django.http import HttpResponse

from newapi.kernel import spreadsheets

ROWS_MAX = 10_000
_guards: list[Callable[[QuerySet], QuerySet]] = []
_SECRET = ("password", "secret", "digest", "sealed", "payload", "data")
# By model: the names of fields that stay in the house though they are no secrets, such as who reported.
_KEPT_BACK: dict[type[models.Model], frozenset[str]] = {}


def keep_back(model: type[models.Model], *names: str) -> None:
    """Leave some fields of a model out of every download."""
    _KEPT_BACK[model] = _KEPT_BACK.get(model, frozenset()) | frozenset(names)


def guard(check: Callable[[QuerySet], QuerySet]) -> None:
    """Let an app on a higher floor leave out rows that must neither be searched nor leave. For AppConfig.ready."""
    _guards.append(check)


def may_leave(queryset: QuerySet) -> QuerySet:
    """The rows that may be searched and downloaded, whoever asks."""
    for check in _guards:
        queryset = check(queryset)
    return queryset


def columns(model: type[models.Model]) -> list[str]:
    """The columns of a model that may leave the house."""
    return [
        field.attname
        for field in model._meta.concrete_fields
        if not isinstance(field, models.BinaryField)
        and not any(word in field.name for word in _SECRET)
        and field.name not in _KEPT_BACK.get(model, ())
    ]


def to_csv(queryset: QuerySet) -> tuple[HttpResponse, int]:
    """A download of at most ROWS_MAX rows, and how many there are in it."""
    names = columns(queryset.model)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    count = 0
    for row in islice(may_leave(queryset).values_list(*names).iterator(chunk_size=1000), ROWS_MAX):
        writer.writerow([spreadsheets.cell(value) for value in row])
        count += 1
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{queryset.model._meta.model_name}.csv"'
    response["Cache-Control"] = "no-store"
    return response, count
