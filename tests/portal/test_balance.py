"""The balance: available, pending, credit limit; clear when it runs low; what came in."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import APIKey, AuditEvent, Organisation, User
from billing.models import BalanceAlert, LedgerTransaction, TopUpOrder, Wallet
from billing.pricing import Tokens
from billing.services import codes, wallets
from billing.services.grants import Terms
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.money import NANO
from newapi.portal.movements import origins_of
from tests import cast, paying
from tests.billing import vouchers
from tests.portal import traffic
from tests.portal.conftest import LogIn


def spent(key: APIKey, model: Model, nano: int, *, days_ago: int = 1) -> None:
    """So much was spent, at 8 USD per million output tokens."""
    tokens = Tokens(output=nano // 8000)
    traffic.book([traffic.record(key, model, tokens=tokens, ago=timedelta(days=days_ago))])


def test_a_healthy_balance_says_how_long_it_lasts(
    acme: Organisation, ben: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    spent(adas_key, chat_model, 14 * NANO)
    answer = log_in(ben).get("/o/acme/")
    funds = answer.context["funds"]
    assert (funds.available_nano, funds.pending_nano, funds.credit_limit_nano) == (86 * NANO, 0, 0)
    assert (funds.state, funds.days_left) == ("", "about 43 days")
    assert "86.00" in answer.content.decode()


def test_a_low_balance_is_said_before_calls_are_refused(
    acme: Organisation, ben: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    spent(adas_key, chat_model, 80 * NANO)
    html = log_in(ben).get("/o/acme/").content.decode()
    assert "The balance is low." in html
    assert "lasts about 42 hours" in html


def test_an_empty_balance_says_that_calls_are_refused(
    acme: Organisation, ben: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    spent(adas_key, chat_model, 100 * NANO)
    html = log_in(ben).get("/o/acme/").content.decode()
    assert "The balance is used up, so calls are refused." in html


def test_a_credit_limit_counts_as_available(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    spent(adas_key, chat_model, 100 * NANO, days_ago=20)
    wallet = acme.wallets.get()
    wallets.set_credit_limit(wallet=wallet, credit_limit_nano=25 * NANO, actor=None, reason="Pays afterwards")
    funds = log_in(ada).get("/o/acme/").context["funds"]
    assert (funds.available_nano, funds.posted_nano, funds.credit_limit_nano) == (25 * NANO, 0, 25 * NANO)
    assert funds.state == ""


def test_movements_show_what_came_in_and_went_out_but_not_usage(
    acme: Organisation, globex: Organisation, ada: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    spent(adas_key, chat_model, 3 * NANO)
    wallets.credit(
        organisation=acme,
        amount_nano=5 * NANO,
        kind=LedgerTransaction.Kind.GRANT,
        idempotency_key="grant",
        actor=None,
        reason="Welcome, secretly",
    )
    wallets.debit(organisation=acme, amount_nano=2 * NANO, idempotency_key="back", actor=None, reason="Correction")
    answer = log_in(ada).get("/o/acme/balance")
    movements = [(one.kind, one.nano) for one in answer.context["found"].movements]
    assert movements == [("Adjustment", -2 * NANO), ("Grant", 5 * NANO), ("Top-up", 100 * NANO)]
    html = answer.content.decode()
    assert "+5.00 USD" in html
    assert "-2.00 USD" in html
    assert "secretly" not in html


def test_movements_are_paged(acme: Organisation, ada: User, log_in: LogIn) -> None:
    for number in range(55):
        wallets.credit(
            organisation=acme,
            amount_nano=NANO,
            kind=LedgerTransaction.Kind.GRANT,
            idempotency_key=f"grant-{number}",
            actor=None,
            reason="Grant",
        )
    client = log_in(ada)
    first = client.get("/o/acme/balance").context["found"]
    second = client.get(f"/o/acme/balance?before={first.before}").context["found"]
    assert (len(first.movements), len(second.movements), second.before) == (50, 6, None)
    assert not {one.id for one in first.movements} & {one.id for one in second.movements}


def test_an_organisation_without_a_wallet_has_nothing_and_is_told_so(ada: User, log_in: LogIn) -> None:
    cast.organisation("empty", owner=ada, funds_nano=0)
    client = log_in(ada)
    assert "The balance is used up" in client.get("/o/empty/").content.decode()
    assert "Nothing was booked yet" in client.get("/o/empty/balance").content.decode()


def test_a_credit_line_shows_what_is_used_of_it_and_when_it_ends(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    client = log_in(ada)
    assert "Used of it" not in client.get("/o/acme/balance").content.decode()
    wallet = acme.wallets.get()
    wallets.set_credit_limit(wallet=wallet, credit_limit_nano=25 * NANO, actor=None, reason="Pays afterwards")
    Wallet.objects.update(credit_until=datetime(2030, 1, 1, tzinfo=UTC))
    html = client.get("/o/acme/balance").content.decode()
    for told in ("Used of it", "25.00 USD", "1 Jan 2030, 00:00 UTC"):
        assert told in html, told


def test_a_frozen_balance_is_said(acme: Organisation, ada: User, log_in: LogIn) -> None:
    assert "frozen" not in log_in(ada).get("/o/acme/balance").content.decode()
    Wallet.objects.update(frozen_at=clock.now())
    assert "The balance is frozen since" in log_in(ada).get("/o/acme/balance").content.decode()


def test_alerts_are_set_and_shown(acme: Organisation, ada: User, log_in: LogIn) -> None:
    client = log_in(ada)
    sent = {"threshold_1": "10", "threshold_2": "50.5", "threshold_3": "", "threshold_4": "10.00", "threshold_5": ""}
    answer = client.post("/o/acme/balance", sent, follow=True)
    assert "Set. You are told once" in answer.content.decode()
    assert list(answer.context["form"].initial.values()) == [50_500_000_000, 10 * NANO]
    assert 'value="50.50"' in answer.content.decode()
    event = AuditEvent.objects.get(action="balance_alert.set")
    assert (event.actor, event.organisation) == (ada, acme)


@pytest.mark.parametrize("wrong", ["ten", "-1", "1e3", "0.0000000001", "9999999999"])
def test_a_wrong_alert_is_said_beside_it_and_changes_nothing(
    acme: Organisation, ada: User, log_in: LogIn, wrong: str
) -> None:
    answer = log_in(ada).post("/o/acme/balance", {"threshold_1": "10", "threshold_2": wrong})
    assert answer.status_code == 400
    assert answer.context["form"].errors.keys() == {"threshold_2"}
    assert not BalanceAlert.objects.exists()


def test_alerts_are_set_only_by_those_who_may_and_only_for_their_own(people: dict[str, User], log_in: LogIn) -> None:
    sent = {"threshold_1": "10"}
    answers = {role: log_in(user).post("/o/acme/balance", sent).status_code for role, user in people.items()}
    assert answers == {"owner": 302, "admin": 302, "billing": 302, "member": 403, "viewer": 403, "stranger": 404}
    assert {alert.organisation.slug for alert in BalanceAlert.objects.all()} == {"acme"}


def test_movements_name_the_order_and_the_code_that_they_came_from(
    acme: Organisation, globex: Organisation, ada: User, gus: User, log_in: LogIn
) -> None:
    order = paying.order(acme, paying.provider(), ada, state=TopUpOrder.State.CREDITED)
    raw = vouchers.code()
    redeemed = codes.redeem(raw=raw, organisation=acme, user=ada)
    answer = log_in(ada).get("/o/acme/balance")
    origins = {one.id: one.origin for one in answer.context["found"].movements if one.origin}
    assert origins[order.transaction_id].words == f"Order {order.reference}"
    assert origins[redeemed.transaction_id].words == f"Code …{raw[-4:]}"
    html = answer.content.decode()
    assert f'href="/o/acme/top-ups/{order.reference}"' in html
    assert raw not in html
    assert origins[order.transaction_id].words in log_in(ada).get("/o/acme/statement").content.decode()
    assert origins_of(globex, list(origins)) == {}


def test_what_the_balance_consists_of_is_shown_in_the_order_in_which_it_is_spent(
    acme: Organisation, ada: User, chat_model: Model, log_in: LogIn
) -> None:
    now = clock.now()
    project = acme.projects.get()
    for name, units, terms in (
        ("last", 11, Terms(priority=60)),
        ("soon", 12, Terms(expires_at=now + timedelta(days=2, hours=1))),
        ("today", 13, Terms(expires_at=now + timedelta(hours=5, minutes=1))),
        ("scoped", 14, Terms(model=chat_model, project=project, priority=99)),
    ):
        wallets.credit(
            organisation=acme,
            amount_nano=units * NANO,
            kind=LedgerTransaction.Kind.GRANT,
            idempotency_key=name,
            actor=None,
            reason="Secretly",
            terms=terms,
        )
    answer = log_in(ada).get("/o/acme/balance")
    rows = answer.context["grants"].rows
    assert [(row.amount_nano // NANO, row.category, row.scope, row.expires_in) for row in rows] == [
        (14, "Given", f"Only project {project.name}, model {chat_model.name}", ""),
        (13, "Given", "Every call", "in 5 hours"),
        (12, "Given", "Every call", "in 2 days"),
        (100, "Paid for", "Every call", ""),
        (11, "Given", "Every call", ""),
    ]
    assert "Secretly" not in answer.content.decode()
    with clock.shifted(6 * 3600):
        rows = log_in(ada).get("/o/acme/balance").context["grants"].rows
    assert rows[1].expires_in == "expired"
