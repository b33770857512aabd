"""A member's own API keys: made, shown once, limited, revoked; every change on record."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.limit_words import WHEN_REACHED
from accounts.models import APIKey, AuditEvent, Organisation, Project, User
from accounts.selectors import api_key_by_digest
from billing.services import booking
from channels.models import Channel, Model
from newapi.kernel import clock, secrets
from newapi.kernel.money import NANO
from tests import cast
from tests.portal import traffic
from tests.portal.conftest import LogIn


def form(acme: Organisation, **fields: Any) -> dict[str, Any]:
    """The form for a new key as a browser sends it, with nothing limited."""
    return {
        "once": uuid.uuid4(),
        "name": "Invoice bot",
        "project": acme.projects.get(name="Main").pk,
        "budget_window": "month",
        "budget_alert_percents": "80, 100",
        **fields,
    }


def unlimited(key: APIKey) -> dict[str, Any]:
    """The form of a key that stands, with nothing limited and nothing changed."""
    return {
        "name": key.name,
        "project": key.project_id,
        "budget_window": "month",
        "budget_alert_percents": "80, 100",
    }


def raw_in(html: str) -> str:
    """The key on the page that shows it."""
    return html.split('id="raw-key" type="text" value="')[1].split('"')[0]


def test_a_new_key_is_shown_once_with_lines_to_paste(
    acme: Organisation, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    client = log_in(ben)
    answer = client.post("/o/acme/keys/new", form(acme))
    html = answer.content.decode()
    raw = raw_in(html)
    key = api_key_by_digest(secrets.digest(raw))
    assert key is not None
    assert (key.organisation, key.user, key.name) == (acme, ben, "Invoice bot")
    assert "http://testserver/v1/chat/completions" in html
    assert "base_url=&quot;http://testserver/v1&quot;" in html
    assert f"Authorization: Bearer {raw}" in html.replace("&quot;", '"')
    assert "mock-gpt" in html
    assert "no-store" in answer["Cache-Control"]


def test_the_raw_key_is_on_no_later_page_and_in_no_record(
    acme: Organisation, ben: User, chat_model: Model, log_in: LogIn, caplog: pytest.LogCaptureFixture
) -> None:
    client = log_in(ben)
    raw = raw_in(client.post("/o/acme/keys/new", form(acme)).content.decode())
    key = APIKey.objects.get()
    traffic.book([traffic.record(key, chat_model)])
    for page in ("", "usage", "calls", "keys", "models", f"keys/{key.pk}", f"keys/{key.pk}/revoke", "keys/new"):
        assert raw not in client.get(f"/o/acme/{page}").content.decode()
    assert raw not in str(list(AuditEvent.objects.values()))
    assert raw not in str(dict(client.session))
    assert raw not in caplog.text


def test_sending_the_form_again_makes_no_second_key(acme: Organisation, ben: User, log_in: LogIn) -> None:
    client = log_in(ben)
    sent = form(acme)
    raw = raw_in(client.post("/o/acme/keys/new", sent).content.decode())
    again = client.post("/o/acme/keys/new", sent, follow=True)
    assert again.redirect_chain == [("/o/acme/keys", 302)]
    assert "This form was sent before" in again.content.decode()
    assert raw not in again.content.decode()
    assert APIKey.objects.count() == 1


def test_a_refused_form_can_be_corrected_and_sent(acme: Organisation, ben: User, log_in: LogIn) -> None:
    client = log_in(ben)
    sent = form(acme, budget="lots")
    refused = client.post("/o/acme/keys/new", sent)
    assert refused.status_code == 400
    assert f'value="{sent["once"]}"' in refused.content.decode()
    assert client.post("/o/acme/keys/new", {**sent, "budget": "5"}).status_code == 200
    assert APIKey.objects.get().budget_nano == 5 * NANO


def test_every_limit_of_the_form_reaches_the_key(
    acme: Organisation, ben: User, mock_channel: Channel, chat_model: Model, log_in: LogIn
) -> None:
    cast.model("mock-small", on=mock_channel)
    side = Project.objects.create(organisation=acme, name="Side", code="4711")
    last_day = clock.now().date() + timedelta(days=10)
    log_in(ben).post(
        "/o/acme/keys/new",
        form(
            acme,
            project=side.pk,
            expires_on=last_day.isoformat(),
            models_allowed=["mock-small", "mock-gpt"],
            addresses_allowed="203.0.113.7\n\n 10.0.0.0/8 \n203.0.113.7",
            requests_per_minute="60",
            requests_per_day="5000",
            tokens_per_minute="100000",
            tokens_per_day="0",
            in_flight_max="4",
            body_bytes_max="1000000",
            output_tokens_max="4096",
            stream_seconds_max="300",
            budget="12.50",
            budget_window="week",
            budget_alert_percents="95 %, 50,, 75",
            note="For the invoices",
        ),
    )
    key = APIKey.objects.get()
    assert key.project == side
    assert key.expires_at == datetime(last_day.year, last_day.month, last_day.day, tzinfo=UTC) + timedelta(days=1)
    assert key.models_allowed == ["mock-gpt", "mock-small"]
    assert key.addresses_allowed == ["203.0.113.7", "10.0.0.0/8"]
    limits = {name: getattr(key, name) for name in APIKey.LIMIT_FIELDS}
    assert limits == {
        "requests_per_minute": 60,
        "requests_per_day": 5000,
        "tokens_per_minute": 100_000,
        "tokens_per_day": 0,
        "in_flight_max": 4,
        "body_bytes_max": 1_000_000,
        "output_tokens_max": 4096,
        "stream_seconds_max": 300,
        "budget_nano": 12_500_000_000,
        "budget_window": "week",
        "budget_alert_percents": [50, 75, 95],
    }
    event = AuditEvent.objects.get(action="api_key.create")
    assert event.reason == "By the member in the portal: For the invoices"
    assert (event.actor, event.organisation, event.address) == (ben, acme, "127.0.0.1")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "This field is required"),
        ("name", "x" * 101, "at most 100 characters"),
        ("budget", "1,5", "plain decimal number"),
        ("budget", "-1", "Between 0 and"),
        ("budget", "1e9", "plain decimal number"),
        ("budget", "9007200", "Between 0 and"),
        ("budget", "9999999999", "too large"),
        ("budget_window", "decade", "Select a valid choice"),
        ("budget_alert_percents", "half", "Whole percentages with commas between"),
        ("budget_alert_percents", "80, -5", "Whole percentages with commas between"),
        ("budget_alert_percents", "0, 50", "At most 5 percentages from 1 to 100"),
        ("budget_alert_percents", "50, 101", "At most 5 percentages from 1 to 100"),
        ("budget_alert_percents", "1,2,3,4,5,6", "At most 5 percentages from 1 to 100"),
        ("requests_per_minute", "-1", "greater than or equal to 0"),
        ("requests_per_minute", "many", "Enter a whole number"),
        ("tokens_per_day", "1000000000001", "less than or equal to"),
        ("addresses_allowed", "10.0.0.0/8\nexample.com", "“example.com” is neither an address"),
        ("addresses_allowed", "10.0.0.0/33", "is neither an address"),
        ("models_allowed", ["mock-gpt", "gpt-nowhere"], "Select a valid choice"),
        ("expires_on", "2001-01-01", "This day is over"),
        ("expires_on", "9999-12-31", "too far away"),
        ("expires_on", "soon", "Enter a valid date"),
        ("project", "", "This field is required"),
        ("once", "", "This field is required"),
        ("once", "not-a-uuid", "Enter a valid UUID"),
    ],
)
def test_wrong_input_is_explained_at_its_field_and_makes_nothing(
    field: str, value: Any, said: str, acme: Organisation, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    answer = log_in(ben).post("/o/acme/keys/new", form(acme, **{field: value}))
    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert not APIKey.objects.exists()


@pytest.mark.req("ACC-17")
def test_limits_are_changed_and_the_change_is_on_record(
    acme: Organisation, ben: User, bens_key: APIKey, log_in: LogIn
) -> None:
    client = log_in(ben)
    epoch = Organisation.objects.get(pk=acme.pk).epoch
    sent = {**unlimited(bens_key), "requests_per_minute": "5"}
    answer = client.post(f"/o/acme/keys/{bens_key.pk}", {**sent, "note": "Too eager"}, follow=True)
    assert "The next call obeys" in answer.content.decode()
    assert 'value="5"' in answer.content.decode()
    bens_key.refresh_from_db()
    assert bens_key.requests_per_minute == 5
    assert Organisation.objects.get(pk=acme.pk).epoch > epoch
    event = AuditEvent.objects.get(action="api_key.change")
    assert event.changes == {"requests_per_minute": [None, 5]}
    assert event.reason == "By the member in the portal: Too eager"
    assert (event.actor, event.address) == (ben, "127.0.0.1")


def test_saving_without_a_change_leaves_no_record(
    acme: Organisation, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    """Also not of what the form cannot say exactly, such as the moment within the day at which a key expires."""
    moment = clock.now().replace(hour=13, minute=37) + timedelta(days=3)
    key = cast.api_key(
        acme, ben, "Exact", expires_at=moment, models_allowed=["withdrawn-model", "mock-gpt"], limits={"budget_nano": 1}
    ).api_key
    client = log_in(ben)
    shown = client.get(f"/o/acme/keys/{key.pk}").context["form"]
    sent = {name: "" if value is None else value for name, value in shown.initial.items()}
    assert client.post(f"/o/acme/keys/{key.pk}", sent).status_code == 302
    key.refresh_from_db()
    assert key.expires_at == moment
    assert key.budget_nano == 1
    assert sorted(key.models_allowed) == ["mock-gpt", "withdrawn-model"]
    assert not AuditEvent.objects.filter(action="api_key.change").exists()


def test_revoking_asks_first_then_ends_the_key_for_good(
    acme: Organisation, ben: User, bens_key: APIKey, log_in: LogIn
) -> None:
    client = log_in(ben)
    path = f"/o/acme/keys/{bens_key.pk}/revoke"
    assert "This cannot be undone" in client.get(path).content.decode()
    bens_key.refresh_from_db()
    assert bens_key.state == "active"
    answer = client.post(path, {"note": "Leaked"}, follow=True)
    assert "is revoked" in answer.content.decode()
    bens_key.refresh_from_db()
    assert bens_key.state == "revoked"
    event = AuditEvent.objects.get(action="api_key.revoke")
    assert (event.actor, event.reason, event.address) == (ben, "By the member in the portal: Leaked", "127.0.0.1")
    assert "was revoked before" in client.post(path, follow=True).content.decode()
    assert AuditEvent.objects.filter(action="api_key.revoke").count() == 1
    assert client.post(f"/o/acme/keys/{bens_key.pk}", {"name": "Back"}).status_code == 403


def test_ended_keys_are_listed_on_demand(acme: Organisation, ben: User, bens_key: APIKey, log_in: LogIn) -> None:
    cast.api_key(acme, ben, "Yesterday", expires_at=clock.now() - timedelta(days=1))
    client = log_in(ben)
    client.post(f"/o/acme/keys/{bens_key.pk}/revoke")
    client.get("/o/acme/keys")  # takes the message
    working = client.get("/o/acme/keys").content.decode()
    assert "No key works at the moment" in working
    ended = client.get("/o/acme/keys?ended=1").content.decode()
    assert "Ben&#x27;s bot" in ended
    assert "Yesterday" in ended
    assert "Revoked" in ended
    assert "Expired" in ended


def test_the_list_shows_hint_limits_budget_and_spend(
    acme: Organisation, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    limits = {"requests_per_minute": 60, "budget_nano": NANO // 10, "budget_window": "day"}
    key = cast.api_key(acme, ben, "Busy", limits=limits).api_key
    traffic.book([traffic.record(key, chat_model), traffic.record(key, chat_model, ago=timedelta(days=2))])
    html = log_in(ben).get("/o/acme/keys").content.decode()
    assert key.hint in html
    assert "60 requests/min" in html
    # 1,000 input at 2 USD/M and 500 output at 8 USD/M: 0.006 a call; one of the two fell into today's window.
    assert "0.0060 of 0.10 per day" in html
    assert "0.012 USD" in html
    assert "2 calls" in html


def test_spend_of_a_day_that_is_not_summed_up_yet_is_listed_all_the_same(
    acme: Organisation, ben: User, bens_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    booking.book([traffic.record(bens_key, chat_model, ago=timedelta(days=2))])
    html = log_in(ben).get("/o/acme/keys").content.decode()
    assert "0.0060 USD" in html
    assert "1 call" in html


def test_the_twenty_first_key_within_an_hour_is_refused_with_a_page(
    acme: Organisation, ben: User, ada: User, log_in: LogIn
) -> None:
    client = log_in(ben)
    answers = [client.post("/o/acme/keys/new", form(acme)).status_code for _ in range(21)]
    assert answers == [200] * 20 + [429]
    assert APIKey.objects.count() == 20
    refused = client.post("/o/acme/keys/new", form(acme))
    assert "That was too much at once" in refused.content.decode()
    assert 0 < int(refused["Retry-After"]) <= 3600
    assert client.get("/o/acme/keys/new").status_code == 200
    assert log_in(ada).post("/o/acme/keys/new", form(acme)).status_code == 200


def test_changes_are_limited_too_but_revoking_never(
    acme: Organisation, ben: User, bens_key: APIKey, log_in: LogIn
) -> None:
    client = log_in(ben)
    sent = unlimited(bens_key)
    answers = {client.post(f"/o/acme/keys/{bens_key.pk}", sent).status_code for _ in range(60)}
    assert answers == {302}
    assert client.post(f"/o/acme/keys/{bens_key.pk}", sent).status_code == 429
    assert client.post(f"/o/acme/keys/{bens_key.pk}/revoke").status_code == 302


@pytest.mark.parametrize("path", ["/o/acme/keys/new", "/o/acme/keys/{key}", "/o/acme/keys/{key}/revoke"])
def test_nothing_is_changed_without_the_csrf_token(path: str, acme: Organisation, ben: User, bens_key: APIKey) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ben, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.post(path.format(key=bens_key.pk), form(acme))
    assert answer.status_code == 403
    assert "The form has expired" in answer.content.decode()
    assert list(APIKey.objects.values_list("name", "revoked_at")) == [("Ben's bot", None)]


def test_reading_changes_nothing(acme: Organisation, ben: User, bens_key: APIKey, log_in: LogIn) -> None:
    client = log_in(ben)
    assert client.get(f"/o/acme/keys/{bens_key.pk}/revoke?note=x").status_code == 200
    assert client.get("/o/acme/keys/new", form(acme)).status_code == 200
    assert client.delete(f"/o/acme/keys/{bens_key.pk}").status_code == 405
    assert client.post("/o/acme/keys").status_code == 405
    assert APIKey.objects.get().state == "active"


def test_limits_of_organisation_project_and_member_are_told_beside_the_key(
    acme: Organisation, ben: User, bens_key: APIKey, log_in: LogIn
) -> None:
    acme.requests_per_minute = 900
    acme.save()
    ben.memberships.update(tokens_per_day=5_000_000)
    html = log_in(ben).get(f"/o/acme/keys/{bens_key.pk}").content.decode()
    assert "900 requests/min" in html
    assert "5,000,000 tokens/day" in html


def test_html_in_names_stays_text(acme: Organisation, ben: User, log_in: LogIn) -> None:
    client = log_in(ben)
    client.post("/o/acme/keys/new", form(acme, name="<script>alert(1)</script>"))
    html = client.get("/o/acme/keys").content.decode()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


@pytest.mark.req("CHN-15")
def test_a_test_key_is_asked_for_when_it_is_made_and_stays_one(acme: Organisation, ben: User, log_in: LogIn) -> None:
    client = log_in(ben)
    assert "its calls cost nothing and are on no invoice" in client.get("/o/acme/keys/new").content.decode()
    client.post("/o/acme/keys/new", form(acme, is_test="on"))
    key = APIKey.objects.get()
    assert key.is_test
    assert AuditEvent.objects.get(action="api_key.create").changes == {"is_test": [None, True]}
    client.post(f"/o/acme/keys/{key.pk}", {**unlimited(key), "is_test": ""})
    key.refresh_from_db()
    assert key.is_test
    badge = '<span class="badge warn">Test</span>'
    assert badge in client.get("/o/acme/keys").content.decode()
    assert badge in client.get(f"/o/acme/keys/{key.pk}").content.decode()


def test_a_key_is_for_work_unless_something_else_is_asked_for(acme: Organisation, ben: User, log_in: LogIn) -> None:
    log_in(ben).post("/o/acme/keys/new", form(acme))
    assert not APIKey.objects.get().is_test


@pytest.mark.req("GW-02", "GW-03", "GW-07")
def test_each_limit_says_what_happens_when_it_is_reached(acme: Organisation, ben: User, log_in: LogIn) -> None:
    html = log_in(ben).get("/o/acme/keys/new").content.decode()
    for name, words in WHEN_REACHED.items():
        # The window and the percentages say it in the words of the field before them.
        assert words in html or name.startswith("budget"), name
    assert "A call that may cost more than is left answers 402." in html
