"""Celery's doors to the billing app. What each does is in billing.services."""

from celery import shared_task

from billing.payments import runs
from billing.services import (
    alerts,
    announcements,
    auto_top_ups,
    budget_alerts,
    claims,
    codes,
    expiry,
    holds,
    inbox,
    money_back,
    orders,
    partitions,
    posting,
    rerating_run,
    rollups,
    verifier,
    wallets,
)


@shared_task
def post_usage() -> int:
    """Take usage from the tills into the database."""
    return posting.post()


@shared_task
def roll_up() -> int:
    """Sum usage up into hours, days and months."""
    return rollups.roll_up()


@shared_task
def sweep_holds() -> int:
    """Settle the holds of workers that are gone."""
    return holds.sweep()


@shared_task
def expire_money() -> int:
    """Take out of wallets what has reached its end."""
    return expiry.sweep()


@shared_task
def publish_funds() -> int:
    """Tell Redis the funds that could not be told when they changed."""
    return wallets.publish_missed()


@shared_task
def watch_claims() -> int:
    """Tell operators of providers whose usage cannot be."""
    return claims.tell()


@shared_task
def verify_money() -> int:
    """Check what must always be true of money. Returns the number of findings."""
    return len(verifier.run().findings)


@shared_task
def prepare_partitions() -> int:
    """Make the usage partitions of the months to come."""
    return partitions.prepare()


@shared_task
def announce_prices() -> int:
    """Tell organisations of prices to come."""
    return announcements.announce()


@shared_task
def rerate() -> int:
    """Rate usage of wrong prices again."""
    return rerating_run.run()


@shared_task
def watch_budgets() -> int:
    """Tell people that their budgets are being used up."""
    return budget_alerts.watch()


@shared_task
def watch_balances() -> int:
    """Tell people that their balance fell below what they chose."""
    return alerts.watch()


@shared_task
def open_top_ups() -> int:
    """Open ordered top-ups at their providers."""
    return runs.alone("open_top_ups", orders.open_waiting)


@shared_task
def work_payment_news() -> int:
    """Work off what payment providers told us."""
    return runs.alone("work_payment_news", inbox.work)


@shared_task
def poll_top_ups() -> int:
    """Ask payment providers for orders of which no news came."""
    return runs.alone("poll_top_ups", orders.poll)


@shared_task
def send_refunds() -> int:
    """Ask payment providers for the refunds that were decided."""
    return runs.alone("send_refunds", money_back.send_asked)


@shared_task
def make_codes() -> int:
    """Make the codes of batches that wait."""
    made = codes.make_waiting()
    if codes.are_waiting():
        make_codes.delay()
    return made


@shared_task
def tend_codes() -> int:
    """Erase what nobody fetched, settle what is expired, finish what was voided."""
    changed = codes.tend()
    if codes.are_unfinished():
        tend_codes.delay()
    return changed


@shared_task
def top_up_automatically() -> int:
    """Charge kept means of payment where the balance has fallen below its threshold."""
    return runs.alone("top_up_automatically", auto_top_ups.run)
