"""What runs when. Seeded into rows of django-celery-beat after each migration; admins see and change them there.

A row that an admin has changed is left as it is; a row that is missing is made.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django_celery_beat.models import IntervalSchedule, PeriodicTask


@dataclass(frozen=True, slots=True)
class Job:
    """A task that beat sends at an interval. It expires unserved after that interval, so none pile up."""

    name: str
    task: str
    every: timedelta


JOBS = (
    Job("Post usage to the ledger", "billing.tasks.post_usage", timedelta(seconds=1)),
    Job("Sum up usage", "billing.tasks.roll_up", timedelta(seconds=5)),
    Job("Settle holds of lost workers", "billing.tasks.sweep_holds", timedelta(seconds=10)),
    Job("Tell tills their funds again", "billing.tasks.publish_funds", timedelta(seconds=10)),
    Job("Take out expired money", "billing.tasks.expire_money", timedelta(seconds=10)),
    Job("Open top-ups", "billing.tasks.open_top_ups", timedelta(seconds=5)),
    Job("Work off payment news", "billing.tasks.work_payment_news", timedelta(seconds=5)),
    Job("Ask providers for open top-ups", "billing.tasks.poll_top_ups", timedelta(seconds=30)),
    Job("Ask providers for refunds", "billing.tasks.send_refunds", timedelta(seconds=10)),
    Job("Top up automatically", "billing.tasks.top_up_automatically", timedelta(seconds=30)),
    Job("Verify the money", "billing.tasks.verify_money", timedelta(minutes=5)),
    Job("Watch what providers claim", "billing.tasks.watch_claims", timedelta(minutes=10)),
    Job("Prepare usage partitions", "billing.tasks.prepare_partitions", timedelta(hours=12)),
    Job("Tell epochs again", "accounts.tasks.publish_epochs", timedelta(seconds=5)),
    Job("Tell the catalogue version again", "channels.tasks.publish_catalogue", timedelta(seconds=5)),
    Job("Probe channels", "channels.tasks.probe_channels", timedelta(minutes=1)),
    Job("Ask providers for balances", "channels.tasks.read_balances", timedelta(hours=1)),
    Job("Watch dates of evidence and models", "channels.tasks.watch_dates", timedelta(hours=1)),
    Job("Make redemption codes", "billing.tasks.make_codes", timedelta(seconds=5)),
    Job("Tend redemption codes", "billing.tasks.tend_codes", timedelta(minutes=1)),
    Job("Announce prices", "billing.tasks.announce_prices", timedelta(minutes=1)),
    Job("Rate usage again", "billing.tasks.rerate", timedelta(seconds=30)),
    Job("Watch budgets", "billing.tasks.watch_budgets", timedelta(minutes=1)),
    Job("Watch balances", "billing.tasks.watch_balances", timedelta(minutes=1)),
    Job("Mail notices", "accounts.tasks.mail_notices", timedelta(seconds=30)),
    Job("Purge what is past its retention", "accounts.tasks.purge_expired", timedelta(hours=1)),
    Job("Detect misuse", "moderation.tasks.detect", timedelta(seconds=10)),
    Job("Put signals to cases", "moderation.tasks.join_signals", timedelta(minutes=1)),
    Job("Deliver notices of cases", "moderation.tasks.deliver_notices", timedelta(minutes=1)),
    Job("Advance case clocks", "moderation.tasks.advance_clocks", timedelta(minutes=1)),
    Job("Tend measures and demands", "moderation.tasks.tend_measures", timedelta(minutes=1)),
    Job("Sign the chains of cases", "moderation.tasks.sign_chains", timedelta(hours=1)),
    Job("Verify the chains of cases", "moderation.tasks.verify_chains", timedelta(hours=6)),
    Job("Check files of evidence", "moderation.tasks.check_evidence", timedelta(hours=1)),
    Job("Purge reports whose time is up", "moderation.tasks.purge_reports", timedelta(hours=1)),
    Job("Purge evidence whose time is up", "moderation.tasks.purge_evidence", timedelta(hours=1)),
    Job("Erase captured calls", "moderation.tasks.purge_captured", timedelta(hours=1)),
    Job("Watch what authorities wait for", "moderation.tasks.watch_authorities", timedelta(minutes=5)),
)


def seed(**kwargs: Any) -> None:
    """Make the rows that are missing. Receiver of post_migrate."""
    for job in JOBS:
        seconds = int(job.every.total_seconds())
        # No get_or_create: nothing keeps an admin from making the same interval twice.
        wanted = {"every": seconds, "period": IntervalSchedule.SECONDS}
        interval = IntervalSchedule.objects.filter(**wanted).first() or IntervalSchedule.objects.create(**wanted)
        PeriodicTask.objects.get_or_create(
            name=job.name, defaults={"task": job.task, "interval": interval, "expire_seconds": max(seconds, 5)}
        )
