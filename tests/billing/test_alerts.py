"""Balance alerts: one notice per crossing downwards, to those who see to the money, whoever looks how often."""

import pytest

from accounts.models import AuditEvent, Notice, Organisation, User
from accounts.permissions import Right, roles_with
from accounts.selectors import notices_for
from billing import tasks
from billing.errors import BillingRefusal
from billing.models import BalanceAlert, LedgerTransaction
from billing.pricing import Tokens
from billing.services import alerts, wallets
from channels.models import Model
from newapi.kernel import ids
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import threads
from tests.portal import traffic


def choose(organisation: Organisation, *units: int, actor: User | None = None) -> list[BalanceAlert]:
    """Have alerts at these whole amounts."""
    return alerts.set_thresholds(
        organisation=organisation, thresholds_nano=[unit * NANO for unit in units], actor=actor, reason="Our plan"
    )


def bring(organisation: Organisation, units: int) -> None:
    """So much in, or out when it is negative."""
    common = {"organisation": organisation, "actor": None, "reason": "Test", "idempotency_key": str(ids.uuid7())}
    if units > 0:
        wallets.credit(amount_nano=units * NANO, kind=LedgerTransaction.Kind.TOP_UP, **common)
    else:
        wallets.debit(amount_nano=-units * NANO, **common)


def told(organisation: Organisation) -> list[str]:
    """The titles of the alerts' notices, oldest first."""
    found = Notice.objects.filter(organisation=organisation, kind=alerts.KIND).order_by("pk")
    return [notice.title for notice in found]


def test_three_crossings_are_told_three_times_however_often_the_job_looks(acme: Organisation) -> None:
    choose(acme, 50)
    for crossing in (1, 2, 3):
        bring(acme, -60)
        assert [alerts.watch() for _ in range(3)] == [1, 0, 0]
        bring(acme, 5)  # still below: not armed again
        bring(acme, -5)
        assert alerts.watch() == 0
        bring(acme, 60)
        assert alerts.watch() == 0
        assert told(acme) == ["The balance of Acme is below 50.00 USD"] * crossing
    assert BalanceAlert.objects.get().crossings == 3


def test_a_balance_at_the_threshold_is_not_below_it_and_arms_it_again(acme: Organisation) -> None:
    choose(acme, 40)
    bring(acme, -60)
    assert (alerts.watch(), told(acme)) == (0, [])
    bring(acme, -1)
    assert alerts.watch() == 1
    bring(acme, 1)
    alerts.watch()
    assert BalanceAlert.objects.get().is_armed


def test_usage_that_takes_the_balance_down_is_told_with_what_is_left(
    acme: Organisation, ada: User, chat_model: Model
) -> None:
    choose(acme, 90, 50)
    key = cast.api_key(acme, ada).api_key
    traffic.book([traffic.record(key, chat_model, tokens=Tokens(output=20 * NANO // 8000))])
    assert tasks.watch_balances() == 1
    notice = Notice.objects.get(kind=alerts.KIND)
    assert notice.title == "The balance of Acme is below 90.00 USD"
    assert "It is 80.00 USD." in notice.body
    assert (notice.level, notice.link) == (Notice.Level.WARNING, "/o/acme/balance")
    # A debt is not there to be spent: the balance is below nothing.
    traffic.book([traffic.record(key, chat_model, tokens=Tokens(output=85 * NANO // 8000))])
    choose(acme, 90, 50, 0)
    assert tasks.watch_balances() == 1
    assert Notice.objects.filter(kind=alerts.KIND).latest("pk").level == Notice.Level.DANGER


def test_those_who_see_to_the_money_are_told_and_nobody_else(
    acme: Organisation, globex: Organisation, ada: User, ben: User, gus: User
) -> None:
    choose(acme, 50)
    bring(acme, -60)
    alerts.watch()
    seats = {name: user.memberships.get() for name, user in (("ada", ada), ("ben", ben), ("gus", gus))}
    assert {name: notices_for(seat).count() for name, seat in seats.items()} == {"ada": 1, "ben": 0, "gus": 0}


def test_an_alert_set_below_which_the_balance_is_already_waits_until_it_has_been_above(acme: Organisation) -> None:
    choose(acme, 150)
    assert (alerts.watch(), told(acme)) == (0, [])
    bring(acme, 100)
    alerts.watch()
    bring(acme, -100)
    assert alerts.watch() == 1


def test_each_organisation_has_its_own(acme: Organisation, globex: Organisation) -> None:
    choose(acme, 50)
    choose(globex, 50)
    bring(acme, -60)
    alerts.watch()
    assert (len(told(acme)), told(globex)) == (1, [])


def test_one_run_tells_no_more_than_its_limit_and_the_next_goes_on(acme: Organisation) -> None:
    choose(acme, 90, 80, 70)
    bring(acme, -50)
    assert [alerts.watch(limit=2), alerts.watch(limit=2), alerts.watch(limit=2)] == [2, 1, 0]


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_tell_a_crossing_once(acme: Organisation) -> None:
    choose(acme, 50)
    bring(acme, -60)
    answers = threads.together(*[alerts.watch] * 4)
    assert sorted(answers) == [0, 0, 0, 1]
    assert len(told(acme)) == 1


def test_thresholds_are_replaced_as_a_whole_and_recorded(acme: Organisation, ada: User) -> None:
    first = choose(acme, 50, 20, actor=ada)
    bring(acme, -60)
    alerts.watch()
    second = choose(acme, 50, 10, actor=ada)
    assert [(alert.threshold_nano // NANO, alert.is_armed) for alert in second] == [(50, False), (10, True)]
    assert first[0].pk == second[0].pk
    event = AuditEvent.objects.filter(action="balance_alert.set").latest("pk")
    assert (event.actor, event.organisation, event.reason) == (ada, acme, "Our plan")
    assert event.changes == {"thresholds": ["20.00, 50.00", "10.00, 50.00"]}
    choose(acme, 10, 50)
    assert AuditEvent.objects.filter(action="balance_alert.set").count() == 2


@pytest.mark.parametrize(("units", "complaint"), [((1, 2, 3, 4, 5, 6), "At most 5"), ((-1,), "between 0")])
def test_what_cannot_be_a_threshold_changes_nothing(acme: Organisation, units: tuple[int, ...], complaint: str) -> None:
    choose(acme, 50)
    with pytest.raises(BillingRefusal, match=complaint):
        choose(acme, *units)
    assert BalanceAlert.objects.get().threshold_nano == 50 * NANO


def test_owners_admins_and_billing_may_set_them() -> None:
    assert set(roles_with(Right.SET_ALERTS)) == {"owner", "admin", "billing"}
