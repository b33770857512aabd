"""Wallets in the admin: bookings by hand with a second person, what is in a wallet, limits, alerts, statements."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.conf import LazySettings
from django.test import Client

from accounts.models import AuditEvent, Organisation, User
from billing.models import Adjustment, BalanceAlert, Grant, LedgerAccount, LedgerTransaction, Purse, Wallet
from billing.services import wallets
from billing.services.grants import Terms
from channels.models import Model
from newapi.kernel import clock, ids, money
from newapi.kernel.money import NANO
from tests import cast
from tests.admin import pages

CREDIT = {"kind": "grant", "purpose": "enterprise_client", "priority": "50", "is_checked": "on"}
DEBIT = {"purpose": "internal_settlement", "is_checked": "on"}
DECIDE = ("billing.view_adjustment", "billing.change_adjustment")


@pytest.fixture
def other(db: None) -> Client:
    """Olga, who runs the platform as well."""
    user = cast.person("olga", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(user)
    return client


def balance(organisation: Organisation) -> int:
    return organisation.wallets.get().balance_nano // NANO


def wait(boss: Client, organisation: Organisation, units: int = 1500) -> Adjustment:
    """Root asks for more than one person may book."""
    url = pages.act(organisation.wallets.get(), "credit")
    assert pages.send(boss, url, **CREDIT, amount_nano=str(units)).status_code == 302
    return Adjustment.objects.get()


@pytest.mark.req("BIL-12")
def test_a_large_credit_waits_until_somebody_else_approves_it(
    boss: Client, other: Client, root: User, acme: Organisation
) -> None:
    waiting = wait(boss, acme)
    assert balance(acme) == 100
    wallet_page = pages.text(boss.get(pages.change(acme.wallets.get())))
    assert "Waits for a second person" in wallet_page
    assert pages.change(waiting) in wallet_page
    own = pages.text(boss.get(pages.change(waiting)))
    assert pages.act(waiting, "approve") not in own
    refused = pages.send(boss, pages.act(waiting, "approve"))
    assert "Somebody else has to decide" in pages.text(refused)
    assert balance(acme) == 100

    theirs = unescape(pages.text(other.get(pages.change(waiting))))
    assert pages.act(waiting, "approve") in theirs
    for told in ("+1,500.00 USD", "100.00 USD", "1,600.00 USD", "Enterprise client", pages.REASON):
        assert told in theirs, told
    assert pages.send(other, pages.act(waiting, "approve"), reason="Contract seen").status_code == 302
    assert balance(acme) == 1600
    waiting.refresh_from_db()
    assert (waiting.state, waiting.requested_by, waiting.decision_reason) == ("posted", root, "Contract seen")
    again = pages.send(other, pages.act(waiting, "approve"))
    assert "decided already" in pages.text(again)
    assert balance(acme) == 1600


@pytest.mark.req("BIL-12")
def test_a_large_credit_is_rejected_with_a_reason(boss: Client, other: Client, acme: Organisation) -> None:
    waiting = wait(boss, acme)
    assert "This field is required" in pages.text(pages.send(other, pages.act(waiting, "reject"), reason=""))
    assert pages.send(other, pages.act(waiting, "reject"), reason="No contract").status_code == 302
    waiting.refresh_from_db()
    assert (waiting.state, balance(acme)) == ("rejected", 100)
    assert AuditEvent.objects.get(action="adjustment.reject").reason == "No contract"


@pytest.mark.req("BIL-12")
def test_a_large_correction_that_cannot_be_afforded_any_more_says_so_and_waits(
    boss: Client, other: Client, acme: Organisation, settings: LazySettings
) -> None:
    settings.ADJUSTMENT_SECOND_PERSON_ABOVE = 50
    assert pages.send(boss, pages.act(acme.wallets.get(), "debit"), **DEBIT, amount_nano="80").status_code == 302
    waiting = Adjustment.objects.get()
    wallets.debit(organisation=acme, amount_nano=40 * NANO, idempotency_key="x", actor=None, reason="Meanwhile")
    answer = pages.send(other, pages.act(waiting, "approve"))
    assert "are needed; balance and credit limit" in pages.text(answer)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.decided_by, balance(acme)) == ("waiting", None, 60)


def test_deciding_needs_the_right(staff: Callable[..., Client], boss: Client, acme: Organisation) -> None:
    waiting = wait(boss, acme)
    looker = staff("billing.view_adjustment", "billing.add_ledgertransaction", "billing.add_adjustment")
    for verb in ("approve", "reject"):
        assert looker.get(pages.act(waiting, verb)).status_code == 403
        assert looker.post(pages.act(waiting, verb), {"reason": pages.REASON}).status_code == 403
        assert pages.act(waiting, verb) not in pages.text(looker.get(pages.change(waiting)))
    assert Adjustment.objects.get().state == "waiting"
    assert pages.send(staff(*DECIDE), pages.act(waiting, "approve")).status_code == 302
    assert balance(acme) == 1600


def test_the_menu_counts_what_waits(boss: Client, acme: Organisation) -> None:
    assert "1 to decide" not in pages.text(boss.get("/admin/"))
    wait(boss, acme)
    assert "1 to decide" in pages.text(boss.get("/admin/"))


@pytest.mark.req("BIL-03")
@pytest.mark.parametrize("action", ["credit", "debit"])
def test_nothing_is_booked_without_a_purpose(boss: Client, acme: Organisation, action: str) -> None:
    url = pages.act(acme.wallets.get(), action)
    assert pages.fields(boss, url)["purpose"] == ""
    answer = pages.send(boss, url, **{**CREDIT, "amount_nano": "5", "purpose": ""})
    assert "This field is required" in pages.text(answer)
    assert "not one of the available choices" in pages.text(
        pages.send(boss, url, **{**CREDIT, "amount_nano": "5", "purpose": "because"})
    )
    assert (balance(acme), Adjustment.objects.count()) == (100, 0)


def test_a_credit_says_who_may_spend_it_and_how_long(
    boss: Client, acme: Organisation, globex: Organisation, chat_model: Model
) -> None:
    wallet = acme.wallets.get()
    project = acme.projects.get()
    terms = {
        "category": "paid",
        "priority": "7",
        "expires_at_0": "2031-02-03",
        "expires_at_1": "04:05:06",
        "project": project.pk,
        "model": chat_model.pk,
    }
    assert pages.send(boss, pages.act(wallet, "credit"), **{**CREDIT, **terms}, amount_nano="25").status_code == 302
    grant = Grant.objects.get(purse__isnull=False)
    assert (grant.category, grant.priority) == ("paid", 7)
    assert grant.expires_at == datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert (grant.purse.project, grant.purse.model) == (project, chat_model)
    foreign = pages.send(
        boss, pages.act(wallet, "credit"), **{**CREDIT, "project": globex.projects.get().pk}, amount_nano="25"
    )
    assert "not one of the available choices" in pages.text(foreign)
    past = {**CREDIT, "expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}
    assert "This moment is over" in pages.text(pages.send(boss, pages.act(wallet, "credit"), **past, amount_nano="25"))
    assert balance(acme) == 125


def test_the_page_shows_grants_in_the_order_in_which_they_are_spent(
    boss: Client, acme: Organisation, chat_model: Model
) -> None:
    soon = clock.now() + timedelta(days=3, hours=1)
    for name, units, terms in (
        ("late", 11, Terms(expires_at=soon + timedelta(days=9))),
        ("first", 12, Terms(priority=10)),
        ("soon", 13, Terms(expires_at=soon)),
        ("scoped", 14, Terms(model=chat_model, priority=99)),
    ):
        wallets.credit(
            organisation=acme,
            amount_nano=units * NANO,
            kind=LedgerTransaction.Kind.GRANT,
            idempotency_key=name,
            actor=None,
            reason=name,
            terms=terms,
        )
    page = unescape(pages.text(boss.get(pages.change(acme.wallets.get()))))
    table = page[page.index("In the order in which they are spent") : page.index("The parts that only some calls")]
    amounts = ["14.00 USD", "12.00 USD", "13.00 USD", "11.00 USD", "100.00 USD"]
    places = [table.index(amount) for amount in amounts]
    assert places == sorted(places)
    assert "in 3 days" in table
    assert f"Only model {chat_model.name}" in table
    # The order that is shown is the order that is used.
    wallets.debit(organisation=acme, amount_nano=20 * NANO, idempotency_key="take", actor=None, reason="Take")
    left = {
        grant.amount_nano // NANO: grant.remaining_nano // NANO
        for grant in Grant.objects.filter(wallet__organisation=acme)
    }
    assert left == {14: 14, 12: 0, 13: 5, 11: 11, 100: 100}


@pytest.mark.req("BIL-02")
def test_a_credit_limit_has_an_end(boss: Client, acme: Organisation) -> None:
    wallet = acme.wallets.get()
    ends = {"credit_until_0": "2031-01-01", "credit_until_1": "00:00:00"}
    url = pages.act(wallet, "set_credit_limit")
    assert pages.send(boss, url, credit_limit_nano="250", **ends).status_code == 302
    wallet.refresh_from_db()
    assert (wallet.credit_limit_nano, wallet.credit_until) == (250 * NANO, datetime(2031, 1, 1, tzinfo=UTC))
    assert pages.fields(boss, url)["credit_until_0"] == "2031-01-01"
    assert pages.send(boss, url, credit_until_0="", credit_until_1="").status_code == 302
    wallet.refresh_from_db()
    assert (wallet.credit_limit_nano, wallet.credit_until) == (250 * NANO, None)


@pytest.mark.req("BIL-20")
def test_a_wallet_is_frozen_and_thawed_with_a_reason(boss: Client, acme: Organisation) -> None:
    wallet = acme.wallets.get()
    assert pages.act(wallet, "thaw") not in pages.text(boss.get(pages.change(wallet)))
    assert pages.send(boss, pages.act(wallet, "freeze"), reason="Contract ended").status_code == 302
    page = pages.text(boss.get(pages.act(wallet, "credit")))
    assert "It is frozen" in page
    refused = pages.send(boss, pages.act(wallet, "credit"), **CREDIT, amount_nano="5")
    assert refused.status_code == 200
    assert "frozen" in pages.text(refused)
    assert (balance(acme), Adjustment.objects.count()) == (100, 0)
    assert pages.send(boss, pages.act(wallet, "thaw")).status_code == 302
    assert pages.send(boss, pages.act(wallet, "credit"), **CREDIT, amount_nano="5").status_code == 302
    assert balance(acme) == 105


def test_alerts_are_set_for_an_organisation(boss: Client, acme: Organisation) -> None:
    url = pages.act(acme.wallets.get(), "set_alerts")
    assert pages.send(boss, url, threshold_1="50", threshold_2="12.5").status_code == 302
    assert [alert.threshold_nano for alert in BalanceAlert.objects.all()] == [50 * NANO, 12_500_000_000]
    assert pages.fields(boss, url)["threshold_1"] == "50.00"
    assert "At least 0" in pages.text(pages.send(boss, url, threshold_1="-1"))
    assert pages.send(boss, url, threshold_1="", threshold_2="").status_code == 302
    assert not BalanceAlert.objects.exists()
    assert AuditEvent.objects.filter(action="balance_alert.set", reason=pages.REASON).count() == 2


@pytest.mark.parametrize("action", ["set_alerts", "freeze", "thaw", "set_credit_limit"])
def test_acts_on_a_wallet_need_the_right(staff: Callable[..., Client], acme: Organisation, action: str) -> None:
    viewer = staff("billing.view_wallet", "accounts.view_organisation", "billing.add_ledgertransaction")
    url = pages.act(acme.wallets.get(), action)
    sent = {"reason": pages.REASON, "threshold_1": "5", "credit_limit_nano": "9"}
    assert (viewer.get(url).status_code, viewer.post(url, sent).status_code) == (403, 403)
    wallet = acme.wallets.get()
    assert (wallet.frozen_at, wallet.credit_limit_nano, BalanceAlert.objects.count()) == (None, 0, 0)


@pytest.mark.req("BIL-02")
def test_a_wallets_statement_is_shown_for_any_period_and_taken_along(boss: Client, acme: Organisation) -> None:
    wallet = acme.wallets.get()
    with clock.shifted(40 * 86_400):
        pages.send(boss, pages.act(wallet, "credit"), **CREDIT, amount_nano="5")
        first, last = clock.today() - timedelta(days=10), clock.today()
        url = f"{pages.act(wallet, 'statement')}?first={first}&last={last}&by=day"
        page = unescape(pages.text(boss.get(url)))
        for told in (
            "Opening 100.00 USD",
            "105.00 USD",
            "+5.00 USD",
            pages.REASON,
            f"adjustment:{Adjustment.objects.get().pk}",
        ):
            assert told in page, told
        file = boss.get(f"{url}&format=csv")
    rows = list(csv.DictReader(io.StringIO(file.content.decode())))
    assert [(row["kind"], row["amount"], row["balance"], row["reason"]) for row in rows] == [
        ("opening balance", "", "100.00", ""),
        ("grant", "5.00", "105.00", pages.REASON),
        ("closing balance", "", "105.00", ""),
    ]
    assert AuditEvent.objects.get(action="statement.export").organisation == acme
    assert b'"closing": "105.00"' in boss.get(f"{url}&format=json").content


@pytest.mark.req("BIL-02")
def test_every_account_of_the_ledger_has_a_statement(boss: Client, acme: Organisation, globex: Organisation) -> None:
    clearing = LedgerAccount.objects.get(kind="clearing")
    page = unescape(pages.text(boss.get(pages.act(clearing, "statement"))))
    assert "closing <strong>-200.00 USD</strong>" in page
    assert page.count("-100.00 USD") >= 2


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("first=2026-02-02&last=2026-02-01", "ends before it begins"),
        ("first=nonsense&last=2026-02-01", "Enter a valid date"),
        ("first=0001-01-01&last=2026-02-01", "at most 3,660 days"),
        ("first=9999-12-01&last=9999-12-31", "Such a day does not exist"),
        ("first=2026-01-01&last=2026-03-01&by=hour", "at most 31 days"),
        ("first=2026-01-01&last=2026-03-01&by=year", "not one of the available choices"),
    ],
)
def test_a_period_that_cannot_be_is_said(boss: Client, acme: Organisation, query: str, complaint: str) -> None:
    url = pages.act(acme.wallets.get(), "statement")
    for suffix in ("", "&format=csv"):
        answer = boss.get(f"{url}?{query}{suffix}")
        assert answer.status_code == 200
        assert complaint in unescape(pages.text(answer))
    assert not AuditEvent.objects.filter(action="statement.export").exists()


def test_a_statement_is_named_after_its_days_however_they_were_typed(boss: Client, acme: Organisation) -> None:
    typed = {"first": "01/02/2026\n", "last": " Mar 4 2026", "by": "day", "format": "csv"}
    file = boss.get(pages.act(acme.wallets.get(), "statement"), typed)
    assert file["Content-Disposition"] == 'attachment; filename="statement-2026-01-02-2026-03-04.csv"'


def test_wallets_are_sorted_by_what_is_in_them(boss: Client, acme: Organisation, globex: Organisation) -> None:
    Wallet.objects.filter(organisation=acme).update(funded_nano=500 * NANO, used_nano=490 * NANO)
    Wallet.objects.filter(organisation=globex).update(funded_nano=100 * NANO, used_nano=120 * NANO, owed_nano=40 * NANO)
    listed = boss.get(pages.list_of(Wallet), {"o": "2"}).context["cl"].result_list
    assert [wallet.organisation for wallet in listed] == [acme, globex]
    listed = boss.get(pages.list_of(Wallet), {"o": "-2"}).context["cl"].result_list
    assert [wallet.organisation for wallet in listed] == [globex, acme]


def test_statements_need_the_right(staff: Callable[..., Client], acme: Organisation) -> None:
    account = LedgerAccount.objects.get(kind="clearing")
    nobody, viewer = staff("billing.view_usageevent"), staff("billing.view_wallet", "billing.view_ledgeraccount")
    for url in (pages.act(acme.wallets.get(), "statement"), pages.act(account, "statement")):
        assert nobody.get(url).status_code == 403
        assert viewer.get(url).status_code == 200


def test_a_wallet_in_another_currency_takes_nothing(boss: Client, acme: Organisation) -> None:
    wallet = Wallet.objects.create(organisation=acme, currency="EUR")
    sent = {**CREDIT, "amount_nano": "5", "once": str(ids.uuid7()), "reason": pages.REASON}
    answer = boss.post(pages.act(wallet, "credit"), sent)
    assert "wallet is the one in USD" in unescape(pages.text(answer))
    assert not Purse.objects.exists()
    assert money.plain(acme.wallets.get(currency="USD").balance_nano) == "100.00"
