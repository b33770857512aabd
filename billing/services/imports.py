"""Price lists: read into a preview, looked at, then published or discarded. Nothing is published unseen."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import User
from accounts.services import audit
from billing import price_map
from billing.models import PriceImport, PriceImportRow, PriceVersion
from billing.services import prices
from billing.services.import_rows import FREE, Judgement, judge, rows_of
from channels.services import catalogue
from newapi.kernel import clock

Verdict = PriceImportRow.Verdict
State = PriceImport.State
# Previews that nobody has decided on; each holds as many rows as its list.
OPEN_MAX = 20
# What one transaction publishes at most.
PUBLISHED_MAX = 1_000
_BATCH = 500
# What a person may choose to publish: what would change something, and what is free only on purpose.
CHOOSABLE = Q(verdict__in=(Verdict.NEW, Verdict.CHANGED)) | Q(verdict=Verdict.REFUSED, rates=FREE)


@transaction.atomic
def read(
    *,
    data: bytes,
    name: str,
    currency: str,
    price_group: str = "default",
    effective_from: datetime | None = None,
    markup_ppm: int = 0,
    actor: User | None,
    reason: str,
    address: str | None = None,
) -> PriceImport:
    """Read a list into a preview. Raises ValidationError when it is no list; what is wrong with a row is said in it.

    effective_from: None: as soon as may be. markup_ppm: added to every amount, in millionths.
    """
    _check_settings(effective_from, markup_ppm)
    try:
        entries = price_map.read(data)
    except price_map.CannotRead as error:
        raise ValidationError(str(error)) from None
    made = PriceImport(
        name=name.strip()[-200:] or "price list",
        sha256=hashlib.sha256(data).hexdigest(),
        currency=currency,
        price_group=price_group,
        effective_from=effective_from,
        markup_ppm=markup_ppm,
        uploaded_by=actor,
        warnings=_warnings(currency),
    )
    made.clean_fields(exclude=("uploaded_by", "effective_from", "warnings", "decided_at"))
    PriceVersion._meta.get_field("currency").clean(currency, None)
    made.save()
    PriceImportRow.objects.bulk_create(rows_of(made, entries), batch_size=_BATCH)
    changes = {"name": [None, made.name], "sha256": [None, made.sha256], "rows": [None, len(entries)]}
    audit.record(actor=actor, action="price_import.read", target=made, reason=reason, changes=changes, address=address)
    return made


@transaction.atomic
def choose(*, of: PriceImport, shown: Collection[int], chosen: Collection[int]) -> None:
    """Note which of the rows that were shown are to be published. Raises ValidationError once it is decided."""
    _require_open(of)
    rows = of.rows.filter(CHOOSABLE, pk__in=shown)
    rows.filter(pk__in=chosen).update(is_chosen=True)
    rows.exclude(pk__in=chosen).update(is_chosen=False)


@transaction.atomic
def choose_all(*, of: PriceImport, is_chosen: bool) -> None:
    """Choose all that is new or changed, or nothing. What would be free is chosen one by one, on purpose."""
    _require_open(of)
    of.rows.filter(verdict__in=(Verdict.NEW, Verdict.CHANGED)).update(is_chosen=is_chosen)
    if not is_chosen:
        of.rows.update(is_chosen=False)


@transaction.atomic
def publish(*, of: PriceImport, actor: User | None, reason: str, address: str | None = None) -> list[PriceVersion]:
    """Publish what is chosen, all or nothing. Dearer prices hold once their notice period is over.

    Raises ValidationError: when nothing is chosen, it was decided already, or prices have changed since it was read.
    """
    _decide(of, State.PUBLISHED)
    # As whoever publishes a price does: what is judged below is still so when it is replaced.
    catalogue.bump()
    rows = list(chosen_rows(of)[: PUBLISHED_MAX + 1])
    if not rows:
        raise ValidationError("Nothing is chosen.")
    if len(rows) > PUBLISHED_MAX:
        raise ValidationError(f"At most {PUBLISHED_MAX:,} prices are published at once. Choose fewer.")
    _refuse_stale(of, rows)
    judged = judge(of, rows)
    published = []
    for row in rows:
        version = _publish_row(of, row, judged[row.pk], actor=actor, reason=reason, address=address)
        if version is not None:
            of.rows.filter(pk=row.pk).update(version=version)
            published.append(version)
    changes = {"published": [None, len(published)]}
    audit.record(actor=actor, action="price_import.publish", target=of, reason=reason, changes=changes, address=address)
    return published


@transaction.atomic
def discard(*, of: PriceImport, actor: User | None, reason: str, address: str | None = None) -> None:
    """Publish nothing of it. What was read goes; that it was, stays. Raises ValidationError once it is decided."""
    _decide(of, State.DISCARDED)
    of.rows.all().delete()
    audit.record(actor=actor, action="price_import.discard", target=of, reason=reason, address=address)


def chosen_rows(of: PriceImport) -> QuerySet[PriceImportRow]:
    """What would be published, by name."""
    return of.rows.filter(CHOOSABLE, is_chosen=True).select_related("model").order_by("listed_name")


def _check_settings(effective_from: datetime | None, markup_ppm: int) -> None:
    if effective_from is not None and effective_from < clock.now():
        raise ValidationError({"effective_from": "A price never applies to the past. Leave it empty for now."})
    if not price_map.MARKUP_PPM_MIN <= markup_ppm <= price_map.MARKUP_PPM_MAX:
        raise ValidationError({"markup": "A markup lies between −90 % and 1,000 %."})
    if PriceImport.objects.filter(state=State.PREVIEW).count() >= OPEN_MAX:
        raise ValidationError(f"{OPEN_MAX} lists wait to be looked at. Publish or discard one of them first.")


def _warnings(currency: str) -> list[str]:
    if currency == "USD":
        return []
    return [f"The list is in US dollars. Its numbers are taken as {currency}, with nothing but the markup between."]


def _require_open(of: PriceImport) -> None:
    if not PriceImport.objects.filter(pk=of.pk, state=State.PREVIEW).exists():
        raise ValidationError("This list has been decided on already.")


def _decide(of: PriceImport, state: PriceImport.State) -> None:
    """Once, whoever else presses the button."""
    if not PriceImport.objects.filter(pk=of.pk, state=State.PREVIEW).update(state=state, decided_at=clock.now()):
        raise ValidationError("This list has been decided on already.")
    of.refresh_from_db()


def _refuse_stale(of: PriceImport, rows: Sequence[PriceImportRow]) -> None:
    """What was looked at must be what is replaced."""
    newer = PriceVersion.objects.filter(
        currency=of.currency, price_group=of.price_group, region="", created_at__gt=of.uploaded_at
    ).filter(model__in=[row.model_id for row in rows])
    names = sorted(newer.values_list("model__name", flat=True).distinct()[:5])
    if names:
        raise ValidationError(f"Prices have changed since the list was read: {', '.join(names)}. Upload it again.")


def _publish_row(of: PriceImport, row: PriceImportRow, judged: Judgement, **by: Any) -> PriceVersion | None:
    """Publish one. None when time has made it the price that holds anyway."""
    if judged.verdict is Verdict.SAME:
        return None
    assert row.model is not None
    try:
        return prices.publish(
            model=row.model,
            currency=of.currency,
            price_group=of.price_group,
            effective_from=judged.from_when,
            **row.rates,
            **by,
        )
    except ValidationError as error:
        raise ValidationError(f"{row.listed_name}: {' '.join(error.messages)}") from None
