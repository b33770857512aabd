"""Re-ratings that were approved, done: each batch of calls in one database transaction.

That is: a ledger transaction for each organisation with what its calls differ by, a RatingDelta for each call, and how
far the re-rating has come. Usage rows and rollups stay what they were.
"""

import logging
import time
from typing import Any

from django.db import transaction
from django.db.models import F, Sum
from django.urls import reverse

from accounts.models import Notice, Organisation
from accounts.services import notices
from billing.errors import BillingRefusal
from billing.models import LedgerTransaction, RatingDelta, Rerating
from billing.services import rerating_rows, wallets
from billing.services.rerating_rows import Difference
from newapi.kernel import clock, money

log = logging.getLogger(__name__)

State = Rerating.State
Kind = LedgerTransaction.Kind
RUN_SECONDS_MAX = 20.0


class _Overtaken(Exception):
    """Somebody else has run this batch."""


def run(*, seconds_max: float = RUN_SECONDS_MAX) -> int:
    """Run what is approved, batch by batch, for so long. Returns the number of batches. Again is harmless."""
    batches = 0
    end = time.monotonic() + seconds_max
    for of in Rerating.objects.filter(state=State.RUNNING).order_by("pk"):
        while time.monotonic() < end:
            try:
                is_done = run_batch(of)
            except _Overtaken:
                break
            batches += 1
            if is_done:
                break
    return batches


@transaction.atomic
def run_batch(of: Rerating) -> bool:
    """Rate the next calls again and book what they differ by. Returns whether it is done.

    Raises _Overtaken, with nothing changed, when another process has run this batch.
    """
    # Those of one wrong price take turns, so that each sees what the others have corrected.
    Rerating.objects.filter(wrong_price=of.wrong_price_id, state=State.RUNNING).update(rows_seen=F("rows_seen"))
    of = Rerating.objects.select_related("wrong_price", "right_price").get(pk=of.pk)
    batch = rerating_rows.next_batch(of, after=of.seen_until)
    booked_nano = _book(of, batch.differences)
    standing = Rerating.objects.filter(pk=of.pk, state=State.RUNNING, seen_until=of.seen_until)
    values: dict[str, Any] = {"rows_seen": F("rows_seen") + batch.seen, "delta_nano": F("delta_nano") + booked_nano}
    is_done = batch.end is None
    if is_done:
        values |= {"state": State.DONE, "done_at": clock.now()}
    else:
        values |= {"seen_until": batch.end}
    if not standing.update(**values):
        raise _Overtaken
    if is_done:
        _tell(of)
    return is_done


def _book(of: Rerating, differences: list[Difference]) -> int:
    """Book what the calls of each organisation differ by together. Returns the nano charged in addition."""
    found = rerating_rows.by_organisation(differences)
    organisations = rerating_rows.organisations_by_id(found)
    deltas: list[RatingDelta] = []
    for pk, calls in found.items():
        try:
            booked = _book_one(of, organisations[pk], calls)
        except BillingRefusal as refusal:
            _hold_back(of, organisations[pk], refusal)
            continue
        deltas += [
            RatingDelta(
                rerating=of,
                usage=call.usage,
                organisation_id=pk,
                before_nano=call.before_nano,
                after_nano=call.after_nano,
                transaction=booked,
            )
            for call in calls
        ]
    RatingDelta.objects.bulk_create(deltas, batch_size=500)
    return sum(delta.after_nano - delta.before_nano for delta in deltas)


@transaction.atomic
def _book_one(of: Rerating, organisation: Organisation, calls: list[Difference]) -> LedgerTransaction | None:
    """One transaction with the sum; None when it is zero. Raises BillingRefusal."""
    nano = sum(call.nano for call in calls)
    if not nano:
        return None
    if organisation.currency != of.wrong_price.currency:
        raise BillingRefusal(f"Its wallet is in {organisation.currency}.")
    key = f"rerate:{of.pk}:{organisation.pk}:{calls[0].usage}"
    # Members see it beside the amount; why it was asked for is the platform's own matter.
    reason = f"{len(calls)} calls of {of.wrong_price.model} rated again"
    if nano < 0:
        return wallets.credit(
            organisation=organisation,
            amount_nano=-nano,
            kind=Kind.RERATING,
            idempotency_key=key,
            actor=of.decided_by,
            reason=reason,
        )
    return wallets.take_back(
        organisation=organisation,
        amount_nano=nano,
        kind=Kind.RERATING,
        idempotency_key=key,
        actor=of.decided_by,
        reason=reason,
        may_owe=True,
    )


def _hold_back(of: Rerating, organisation: Organisation, refusal: BillingRefusal) -> None:
    """Its calls stay as they were; another re-rating corrects them once its wallet lets it."""
    log.warning("re-rating %s does not correct organisation %s: %s", of.pk, organisation.pk, refusal.messages[0])
    notices.post(
        once=f"rerating:{of.pk}:{organisation.pk}:held",
        kind="rerating.held",
        level=Notice.Level.WARNING,
        title=f"Re-rating {of.pk} could not correct {organisation}",
        body=f"{refusal.messages[0]} Ask for the same re-rating of this organisation once that is settled: what was "
        "corrected already is not corrected again.",
        link=reverse("admin:billing_rerating_change", args=[of.pk]),
        audience=Notice.Audience.OPERATORS,
    )


def _tell(of: Rerating) -> None:
    """Tell each organisation what it got back or has paid in addition."""
    sums = (
        of.deltas.order_by("organisation")
        .values_list("organisation")
        .annotate(nano=Sum(F("after_nano") - F("before_nano")))
    )
    found = {pk: int(nano) for pk, nano in sums}
    for pk, organisation in rerating_rows.organisations_by_id(found).items():
        amount = money.display(abs(found[pk]), of.wrong_price.currency)
        what = f"{amount} were given back" if found[pk] <= 0 else f"{amount} were charged in addition"
        notices.post(
            once=f"rerating:{of.pk}:{pk}",
            kind="rerating.done",
            title=f"Calls of {of.wrong_price.model} were rated again: {what}",
            body=f"Calls from {of.since:%-d %B %Y %H:%M} to {of.until:%-d %B %Y %H:%M} UTC had a wrong price.",
            link=reverse("portal:balance", args=[organisation.slug]),
            audience=Notice.Audience.BILLING,
            organisation=organisation,
        )
