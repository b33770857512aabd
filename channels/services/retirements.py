"""Telling that models retire: the operators, and the organisations that may call them (CHN-14)."""

import math
from collections.abc import Iterator
from datetime import timedelta

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat
from django.urls import reverse

from accounts.models import APIKey, Notice, Organisation
from channels.models import Model
from channels.reach import ways_to
from channels.services.news import BATCH, ROWS_MAX, STEPS_DAYS, News, level_of, step_of
from newapi.kernel import clock


def for_operators() -> Iterator[News]:
    """Models that retire, for operators."""
    for model, left, step in _retiring():
        link = reverse("admin:channels_model_change", args=[model.pk])
        yield _retirement(model, left, step, link=link)


def for_organisations() -> Iterator[News]:
    """The same for the organisations that may call them and have a key that could."""
    retiring, now_ms = _retiring(), clock.now_ms()
    ways = ways_to([model.pk for model, _, _ in retiring])
    for model, left, step in retiring:
        # Evidence that is missing today may be there tomorrow; who else is kept out shall hear nothing of the model.
        real = [way.with_evidence() for way in ways.get(model.pk, []) if not way.channel.is_test]
        if not real:
            continue
        for organisation in _holders(untold=_once(model, step)):
            if any(way.is_open_to(organisation, category=model.approval_category, now_ms=now_ms) for way in real):
                link = reverse("portal:models", args=[organisation.slug])
                yield _retirement(model, left, step, link=link, organisation=organisation)


def _retiring() -> list[tuple[Model, int, int]]:
    """Models that retire soon, with the days left and the step."""
    now = clock.now()
    rows = Model.objects.filter(
        is_active=True, retires_at__gt=now, retires_at__lte=now + timedelta(days=max(STEPS_DAYS))
    ).select_related("replacement")
    found = []
    for model in rows.order_by("retires_at", "pk")[:ROWS_MAX]:
        assert model.retires_at is not None
        left = math.ceil((model.retires_at - now) / timedelta(days=1))
        step = step_of(left)
        assert step is not None
        found.append((model, left, step))
    return found


def _holders(*, untold: str) -> Iterator[Organisation]:
    """Organisations with a key in use that were not told yet, in batches."""
    usable = APIKey.objects.filter(organisation=OuterRef("pk"), revoked_at=None, is_test=False)
    usable = usable.filter(Q(expires_at=None) | Q(expires_at__gt=clock.now()))
    once = Concat(Value(f"{untold}:"), Cast(OuterRef("pk"), CharField()), output_field=CharField())
    waiting: QuerySet[Organisation] = Organisation.objects.filter(
        ~Exists(Notice.objects.filter(once=once)), Exists(usable), is_active=True
    ).order_by("pk")
    last = 0
    while batch := list(waiting.filter(pk__gt=last)[:BATCH]):
        yield from batch
        last = batch[-1].pk


def _once(model: Model, step: int) -> str:
    return f"model:{model.pk}:{model.retires_at:%Y-%m-%d}:{step}"


def _retirement(model: Model, left: int, step: int, *, link: str, organisation: Organisation | None = None) -> News:
    until = f"{model.retires_at:%d %b %Y %H:%M} UTC"
    instead = f"Use {model.replacement} instead." if model.replacement else "No replacement is named."
    return News(
        once=_once(model, step) + (f":{organisation.pk}" if organisation else ""),
        kind="model.retires",
        title=f"The model {model.name} retires in {left} {'day' if left == 1 else 'days'}",
        body=f"From {until} on, calls to it are refused (410). {instead}",
        link=link,
        level=level_of(step),
        organisation=organisation,
    )
