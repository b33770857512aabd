"""The statement of a month on the portal: it joins the next one, is one organisation's, and can be taken along."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from django.test import Client

from accounts.models import APIKey, Organisation, User
from billing.models import LedgerTransaction
from billing.pricing import Tokens
from billing.services import wallets
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.money import NANO
from newapi.portal.views import statement as view
from tests import cast
from tests.portal import traffic
from tests.portal.conftest import LogIn

NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def autumn() -> Iterator[None]:
    """The cast opens its accounts in September."""
    with clock.at(datetime(2026, 9, 28, 12, tzinfo=UTC)):
        yield


@pytest.fixture
def three_months(acme: Organisation, adas_key: APIKey, chat_model: Model) -> Organisation:
    """Acme with 100 in September, uses of 10 and 20 in October and November, and 5 more at October's last moment."""
    for days, units in ((5, 10), (5.1, 10), (40, 20)):
        with clock.shifted(days * 86_400):
            tokens = Tokens(output=units * NANO // 8000)
            traffic.book([traffic.record(adas_key, chat_model, tokens=tokens)])
    with clock.at(datetime(2026, 10, 31, 23, 59, 59, 900_000, tzinfo=UTC)):
        give(acme, 5, "last moment")
    return acme


def give(organisation: Organisation, units: int, name: str) -> None:
    wallets.credit(
        organisation=organisation,
        amount_nano=units * NANO,
        kind=LedgerTransaction.Kind.GRANT,
        idempotency_key=name,
        actor=None,
        reason="Secretly",
    )


def read(client: Client, month: str, **query: str) -> list[dict[str, str]]:
    answer = client.get("/o/acme/statement", {"month": month, "format": "csv", **query})
    assert answer["Content-Disposition"] == f'attachment; filename="statement-acme-{month}.csv"'
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


@pytest.mark.req("BIL-02")
def test_each_month_opens_with_what_the_one_before_closed_with(
    three_months: Organisation, ada: User, log_in: LogIn
) -> None:
    client = log_in(ada)
    with clock.at(NOVEMBER):
        months = [read(client, month) for month in ("2026-09", "2026-10", "2026-11")]
        shown = client.get("/o/acme/balance").context["funds"].posted_nano
    edges = [(rows[0]["balance"], rows[-1]["balance"]) for rows in months]
    assert edges == [("0.00", "100.00"), ("100.00", "85.00"), ("85.00", "65.00")]
    assert [(row["kind"], row["bookings"], row["amount"]) for row in months[1][1:-1]] == [
        ("usage", "2", "-20.00"),
        ("grant", "1", "5.00"),
    ]
    assert shown == 65 * NANO


@pytest.mark.req("BIL-02")
def test_the_page_shows_a_month_and_leads_to_the_others(three_months: Organisation, ada: User, log_in: LogIn) -> None:
    with clock.at(NOVEMBER):
        client = log_in(ada)
        now, october = client.get("/o/acme/statement"), client.get("/o/acme/statement?month=2026-10&by=hour")
    assert [month.words for month in now.context["months"]] == ["November 2026", "October 2026", "September 2026"]
    html = now.content.decode()
    assert "Statement of November 2026" in html
    assert "more may follow" in html
    html = october.content.decode()
    for told in ("90.00 USD", "-10.00 USD", "+5.00 USD", "85.00 USD", "1 booking in sum", "month=2026-10&amp;by=hour"):
        assert told in html, told
    assert "more may follow" not in html
    assert "Secretly" not in html


def test_a_program_reads_it_as_json(three_months: Organisation, ada: User, log_in: LogIn) -> None:
    with clock.at(NOVEMBER):
        answer = log_in(ada).get("/o/acme/statement?month=2026-10&format=json")
    told = orjson.loads(answer.content)
    assert (told["opening"], told["closing"], told["currency"]) == ("100.00", "85.00", "USD")
    assert (told["since"], told["until"]) == ("2026-10-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00")
    assert "Secretly" not in answer.content.decode()
    assert answer["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("month", ["2026-08", "2027-01", "2026-13", "nonsense"])
def test_a_month_without_a_statement_does_not_exist(
    three_months: Organisation, ada: User, log_in: LogIn, month: str
) -> None:
    with clock.at(NOVEMBER):
        assert log_in(ada).get(f"/o/acme/statement?month={month}&format=csv").status_code == 404


def test_only_those_who_see_movements_see_it(people: dict[str, User], log_in: LogIn) -> None:
    answers = {role: log_in(user).get("/o/acme/statement").status_code for role, user in people.items()}
    assert answers == {"owner": 200, "admin": 200, "billing": 200, "member": 403, "viewer": 403, "stranger": 404}


def test_it_is_one_organisations(acme: Organisation, globex: Organisation, ada: User, log_in: LogIn) -> None:
    give(globex, 77, "for Globex")
    html = log_in(ada).get("/o/acme/statement").content.decode()
    assert "77.00" not in html
    assert "Globex" not in html


def test_many_lines_are_paged(acme: Organisation, ada: User, log_in: LogIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "LINES_A_PAGE", 3)
    for number in range(4):
        give(acme, 1, f"gift-{number}")
    client = log_in(ada)
    first, second = client.get("/o/acme/statement"), client.get("/o/acme/statement?page=2")
    assert [len(answer.context["rows"]) for answer in (first, second)] == [3, 2]
    assert second.context["rows"][-1][0].balance_nano == first.context["statement"].closing_nano == 104 * NANO


def test_an_organisation_without_postings_is_told_so(ada: User, log_in: LogIn) -> None:
    cast.organisation("empty", owner=ada, funds_nano=0)
    html = log_in(ada).get("/o/empty/statement").content.decode()
    assert "Nothing was posted in September 2026" in html


def test_months_reach_back_ten_years(acme: Organisation, ada: User, log_in: LogIn) -> None:
    with clock.shifted(timedelta(days=12 * 365).total_seconds()):
        assert len(log_in(ada).get("/o/acme/statement").context["months"]) == 120
