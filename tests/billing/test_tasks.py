"""What beat sends is there and does its work."""

import io

import pytest
from django.core.management import call_command

from accounts.models import Organisation
from billing.models import RollupMonth, UsageEvent, VerifierRun, Wallet
from channels.models import Model
from newapi.celery import app
from newapi.kernel import clock
from newapi.kernel.meters import bank
from newapi.schedule import JOBS
from tests.billing import books, calls


@pytest.mark.req("BIL-22")
def test_the_scheduled_jobs_take_usage_all_the_way(acme: Organisation, chat_model: Model) -> None:
    calls.warm(acme)
    line = calls.line(acme, chat_model)
    calls.serve([calls.answered(line)])
    calls.admit(calls.lost(line))
    Wallet.objects.update(version_published=0)

    app.loader.import_default_modules()
    names = ["sweep_holds", "post_usage", "roll_up", "publish_funds", "verify_money", "prepare_partitions"]
    names.append("watch_budgets")
    names.append("watch_claims")
    names.append("watch_balances")
    names += ["make_codes", "tend_codes"]
    names += ["open_top_ups", "work_payment_news", "poll_top_ups", "send_refunds"]
    names += ["top_up_automatically", "expire_money", "announce_prices", "rerate"]
    scheduled = {job.task for job in JOBS if job.task.startswith("billing.")}
    assert scheduled == {f"billing.tasks.{name}" for name in names}
    with clock.shifted(calls.DEADLINE_MS / 1000 + 1):
        for name in names:
            app.tasks[f"billing.tasks.{name}"].apply(throw=True)

    assert UsageEvent.objects.count() == RollupMonth.objects.get().calls == 2
    assert VerifierRun.objects.get().findings == []
    wallet = books.wallet_of(acme)
    assert wallet.version_published == wallet.version
    assert bank.till_state(acme.pk).pending_nano == 0
    books.assert_balanced(acme)


def test_usage_can_be_posted_by_hand(acme: Organisation, chat_model: Model) -> None:
    calls.warm(acme)
    calls.serve([calls.answered(calls.line(acme, chat_model))])
    out = io.StringIO()
    call_command("post_usage", stdout=out)
    assert out.getvalue() == "1 events posted, 3 buckets summed up.\n"
    books.assert_balanced(acme)
