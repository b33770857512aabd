"""Dates that people are warned of: each step once, the nearest one after a break, and only to whom it concerns."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.test import Client, override_settings

from accounts.models import Notice, Organisation, User
from accounts.services import api_keys
from channels.governance import TERMS_REVIEW_DAYS_MAX, authorised_windows
from channels.models import Channel, Model
from channels.services import dates, evidence
from channels.tasks import watch_dates
from newapi.kernel import clock
from tests import cast
from tests.admin import pages

FAR = timedelta(days=60)


def noon(day: date) -> datetime:
    """The middle of a day."""
    return datetime.combine(day, time(12), UTC)


def watched(day: date) -> list[str]:
    """What the job tells on a day, run twice as by two schedulers."""
    with clock.at(noon(day)):
        last = Notice.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        told = watch_dates()
        assert watch_dates() == 0
        titles = list(Notice.objects.filter(pk__gt=last).order_by("pk").values_list("title", flat=True))
        assert told == len(titles)
        return titles


@pytest.fixture
def end(db: None) -> date:
    """The last day of the evidence of these tests."""
    return clock.today() + FAR


@pytest.fixture
def ending(end: date) -> Channel:
    """A channel whose evidence ends then."""
    made = cast.channel("Leased", evidence=False)
    cast.approved_evidence(channel=made, valid_until=end)
    return made


@pytest.mark.req("CHN-02")
def test_operators_are_warned_once_a_step_and_told_of_the_end_when_the_channel_has_left(
    ending: Channel, end: date
) -> None:
    told, allowed = {}, []
    for offset in range(-32, 4):
        day = end + timedelta(days=offset)
        if titles := watched(day):
            told[offset] = titles
        with clock.at(noon(day)):
            now_ms = clock.now_ms()
            if any(start <= now_ms < stop for start, stop in authorised_windows().get(ending.pk, ())):
                allowed.append(offset)
    assert told == {
        -29: ["The evidence for the channel Leased ends in 30 days"],
        -6: ["The evidence for the channel Leased ends in 7 days"],
        0: ["The evidence for the channel Leased ends at midnight UTC"],
        1: ["The evidence for the channel Leased has ended"],
    }
    assert allowed == list(range(-32, 1))
    assert {notice.audience for notice in Notice.objects.all()} == {"operators"}
    assert [notice.level for notice in Notice.objects.order_by("pk")] == ["warning", "warning", "danger", "danger"]


@pytest.mark.req("CHN-02")
def test_a_step_missed_while_jobs_were_down_gives_way_to_the_nearest(ending: Channel, end: date) -> None:
    assert watched(end - timedelta(days=2)) == ["The evidence for the channel Leased ends in 3 days"]
    assert watched(end - timedelta(days=1)) == []
    assert watched(end + timedelta(days=5)) == ["The evidence for the channel Leased has ended"]
    assert Notice.objects.count() == 2


@pytest.mark.req("CHN-02")
def test_after_a_long_break_only_the_end_is_told_and_what_is_old_is_no_news(ending: Channel, end: date) -> None:
    assert watched(end + timedelta(days=dates.ENDED_DAYS_MAX + 1)) == []
    assert watched(end + timedelta(days=dates.ENDED_DAYS_MAX)) == ["The evidence for the channel Leased has ended"]


@pytest.mark.req("CHN-02")
def test_nobody_is_warned_when_other_evidence_takes_over_and_everybody_when_there_is_a_gap(
    ending: Channel, end: date
) -> None:
    next_piece = cast.approved_evidence(channel=ending, valid_from=end + timedelta(days=1))
    assert [watched(end + timedelta(days=offset)) for offset in (-20, 0, 1)] == [[], [], []]
    evidence.withdraw(evidence=next_piece, actor=None, reason="Never signed")
    cast.evidence(channel=ending)
    assert watched(end) == ["The evidence for the channel Leased ends at midnight UTC"]
    cast.approved_evidence(channel=ending, valid_from=end + timedelta(days=3))
    assert watched(end + timedelta(days=1)) == ["The evidence for the channel Leased has ended"]


@pytest.mark.req("CHN-07")
def test_services_are_watched_and_withdrawn_or_unapproved_evidence_is_not(end: date) -> None:
    cast.approved_evidence(service="stripe", valid_until=end)
    gone = cast.approved_evidence(service="adyen", valid_until=end)
    evidence.withdraw(evidence=gone, actor=None, reason="Not used any more")
    cast.evidence(service="paypal", valid_until=end)
    assert watched(end) == ["The evidence for the service stripe ends at midnight UTC"]


def test_a_run_is_bounded_and_the_next_one_goes_on(ending: Channel, end: date, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        cast.approved_evidence(service=name, valid_until=end)
    monkeypatch.setattr(dates, "NOTICES_MAX", 3)
    with clock.at(noon(end)):
        assert [watch_dates() for _ in range(3)] == [3, 1, 0]
    assert Notice.objects.count() == 4


@pytest.mark.req("CHN-02")
def test_a_notice_leads_to_the_page_where_something_can_be_done(ending: Channel, end: date, root: User) -> None:
    watched(end)
    client = Client()
    client.force_login(root, backend="django.contrib.auth.backends.ModelBackend")
    notice = Notice.objects.get()
    assert "contract.pdf" in pages.text(client.get(notice.link))
    assert "no call goes to the channel until other evidence is approved" in notice.body


@pytest.mark.req("CHN-03")
def test_a_review_that_is_too_old_is_told_once_a_month_until_there_is_a_newer_one(
    mock_channel: Channel, root: User
) -> None:
    day = clock.today()
    cast.terms(mock_channel, reviewed_at=day)
    assert watched(day + timedelta(days=TERMS_REVIEW_DAYS_MAX)) == []
    late = day + timedelta(days=TERMS_REVIEW_DAYS_MAX + 1)
    told = ["The terms of Mock provider have to be reviewed"]
    next_month = (late.replace(day=1) + timedelta(days=32)).replace(day=1)
    assert watched(late) == told
    assert watched(next_month - timedelta(days=1)) == []
    assert watched(next_month) == told
    client = Client()
    client.force_login(root, backend="django.contrib.auth.backends.ModelBackend")
    link = Notice.objects.order_by("pk").last().link
    assert pages.fields(client, link)["provider"] == str(mock_channel.account.provider_id)
    with clock.at(noon(next_month)):
        cast.terms(mock_channel)
    assert watched((next_month + timedelta(days=32)).replace(day=1)) == []


def test_terms_that_were_never_reviewed_become_overdue_too_and_unused_providers_do_not(mock_channel: Channel) -> None:
    late = clock.today() + timedelta(days=TERMS_REVIEW_DAYS_MAX + 1)
    Channel.objects.update(status=Channel.Status.DISABLED)
    assert watched(late) == []
    Channel.objects.update(status=Channel.Status.ENABLED)
    assert watched(late) == ["The terms of Mock provider have to be reviewed"]
    assert "never been reviewed" in Notice.objects.get().body


@pytest.fixture
def retiring(chat_model: Model, end: date) -> Iterator[Model]:
    """A model that retires shortly before noon of that day, for another. The terms have just been reviewed."""
    chat_model.replacement = Model.objects.create(name="mock-gpt-2")
    chat_model.retires_at = noon(end) - timedelta(minutes=1)
    chat_model.save()
    cast.terms(Channel.objects.get())
    return chat_model


@pytest.mark.req("CHN-14")
def test_operators_and_managers_are_warned_before_a_model_retires(
    retiring: Model, end: date, acme: Organisation, globex: Organisation, raw_key: str
) -> None:
    told = {offset: titles for offset in range(-32, 3) if (titles := watched(end + timedelta(days=offset)))}
    assert told == {
        -30: ["The model mock-gpt retires in 30 days"] * 2,
        -7: ["The model mock-gpt retires in 7 days"] * 2,
        -1: ["The model mock-gpt retires in 1 day"] * 2,
    }
    heard = Notice.objects.values_list("audience", "organisation__slug").order_by("pk")[:2]
    assert list(heard) == [("operators", None), ("managers", "acme")]
    notice = Notice.objects.filter(organisation=acme).first()
    assert "Use mock-gpt-2 instead." in notice.body
    assert f"{end:%d %b %Y} 11:59 UTC" in notice.body
    assert notice.link == "/o/acme/models"


@pytest.mark.req("CHN-14")
def test_only_those_hear_of_a_retirement_who_could_call_the_model(
    retiring: Model, mock_channel: Channel, end: date, acme: Organisation, ben: User, globex: Organisation, gus: User
) -> None:
    cast.api_key(acme, ben)
    cast.api_key(globex, gus)
    mock_channel.organisations_allowed.add(globex)
    day = end - timedelta(days=1)

    def heard() -> set[str]:
        watched(day)
        found = set(Notice.objects.exclude(organisation=None).values_list("organisation__slug", flat=True))
        Notice.objects.all().delete()
        return found

    assert heard() == {"globex"}
    mock_channel.organisations_allowed.clear()
    Channel.objects.update(price_groups_allowed=["default"])
    assert heard() == {"acme", "globex"}
    api_keys.revoke(api_key=globex.api_keys.get(), actor=gus, reason="Gone")
    assert heard() == {"acme"}
    Channel.objects.update(is_test=True)
    assert heard() == set()
    Channel.objects.update(is_test=False, status=Channel.Status.DISABLED)
    assert heard() == set()
    Channel.objects.update(status=Channel.Status.ENABLED)
    cast.terms(mock_channel, no_external_clients=True)
    Organisation.objects.update(is_external=True)
    assert heard() == set()


def test_a_new_date_is_told_anew_and_many_organisations_take_several_runs(
    retiring: Model, end: date, acme: Organisation, ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.api_key(acme, ben)
    for number in range(4):
        owner = cast.person(f"owner{number}")
        cast.api_key(cast.organisation(f"customer{number}", owner=owner), owner)
    monkeypatch.setattr(dates, "NOTICES_MAX", 4)
    with clock.at(noon(end - timedelta(days=1))):
        assert [watch_dates() for _ in range(3)] == [4, 2, 0]
    assert Notice.objects.exclude(organisation=None).values("organisation").distinct().count() == 5
    monkeypatch.undo()
    retiring.retires_at += timedelta(days=5)
    retiring.save()
    assert watched(end) == ["The model mock-gpt retires in 5 days"] * 6


def test_without_evidence_asked_for_nothing_changes_in_what_is_told(ending: Channel, end: date) -> None:
    with override_settings(CHANNEL_EVIDENCE_REQUIRED=False):
        assert watched(end) == ["The evidence for the channel Leased ends at midnight UTC"]
