"""Detectors and signals in the admin: versions published by a form, signals judged by acts, with reasons and rights."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import APIKey, AuditEvent, Organisation, User
from moderation import policy
from moderation.models import Case, DetectorRule, PolicyCategory, Signal
from moderation.services import signals
from moderation.services.signals import Subject
from newapi.kernel import clock
from tests import cast
from tests.admin import pages
from tests.moderation import calls


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    """The categories and the first version of each rule."""
    policy.seed(PolicyCategory)
    calls.seed()


@pytest.fixture
def attack(rules: None) -> DetectorRule:
    """The rule that notices attacks."""
    return DetectorRule.objects.get(detector="attack")


@pytest.fixture
def key(acme: Organisation, ben: User) -> APIKey:
    """Ben's."""
    return cast.api_key(acme, ben).api_key


def noticed(key: APIKey, rule: DetectorRule | None, code: str = "CY-ATTACK", *, days_ago: float = 0) -> Signal:
    """A signal about a key."""
    with clock.shifted(-days_ago * 86_400):
        signal = signals.notice(
            about=f"{rule or 'upstream'}:{code}:{Signal.objects.count()}",
            subject=Subject(f"k:{key.pk}", key.organisation_id, key.pk, key.user_id),
            category_id=PolicyCategory.objects.get(code=code).pk,
            rule_id=rule.pk if rule else None,
            source="detector" if rule else "upstream",
            is_shadow=rule is not None and rule.mode == "shadow",
            count=1234,
            facts={"malformed requests": 1234},
            request_ids=["01920000-aaaa"],
            window=timedelta(minutes=10),
        )
    assert signal is not None
    return signal


@pytest.mark.req("GW-35")
def test_a_new_version_is_published_from_the_values_that_count_now(
    boss: Client, root: User, attack: DetectorRule
) -> None:
    url = pages.act(attack, "new_version")
    assert pages.fields(boss, url) | {"csrfmiddlewaretoken": ""} == {
        "csrfmiddlewaretoken": "",
        "mode": "signal",
        "requests_min": "50",
        "minutes": "5",
        "category": str(attack.category_id),
        "reason": "",
        "seen_version": "1",
    }
    response = pages.send(boss, url, requests_min="80", mode="shadow", reason="Too many clients trip it")
    made = DetectorRule.objects.get(detector="attack", version=2)
    assert response.url == pages.change(made)
    assert (made.mode, made.parameters, made.author) == ("shadow", {"requests_min": 80, "minutes": 5}, root)
    assert made.note == "Too many clients trip it"
    assert AuditEvent.objects.get(action="detector.publish").actor == root
    page = unescape(pages.text(boss.get(pages.change(made))))
    assert "80 requests" in page
    assert "in force" in page
    old = unescape(pages.text(boss.get(pages.change(attack))))
    assert "replaced by v2" in old
    assert "50 requests" in old
    # From the page of an old version too, one starts from the newest.
    assert pages.fields(boss, url)["requests_min"] == "80"


@pytest.mark.req("GW-35")
@pytest.mark.parametrize(
    "changed",
    [{"requests_min": "4"}, {"requests_min": ""}, {"requests_min": "many"}, {"mode": "block"}, {"reason": ""},
     {"category": ""}, {"seen_version": "0"}],
)  # fmt: skip
def test_a_version_that_is_refused_is_shown_again_and_changes_nothing(
    boss: Client, attack: DetectorRule, changed: dict[str, str]
) -> None:
    response = pages.send(boss, pages.act(attack, "new_version"), **changed)
    assert response.status_code == 200
    assert DetectorRule.objects.filter(detector="attack").count() == 1


@pytest.mark.req("GW-12", "GW-35")
def test_phrases_are_typed_one_a_line_and_may_hold_commas(boss: Client) -> None:
    rule = DetectorRule.objects.get(detector="jailbreak")
    url = pages.act(rule, "new_version")
    assert "ignore previous instructions" in pages.fields(boss, url)["phrases"].splitlines()
    pages.send(boss, url, mode="block", phrases="Open, sesame\r\n\r\n  let me  in\r\nopen, SESAME")
    made = DetectorRule.objects.get(detector="jailbreak", version=2)
    assert (made.mode, made.parameters) == ("block", {"phrases": ["open, sesame", "let me in"]})
    refused = unescape(pages.text(pages.send(boss, url, phrases="abc")))
    assert "“abc” must have 4 to 200 characters" in refused


@pytest.mark.req("GW-35")
def test_only_who_may_publish_does(staff: Callable[..., Client], attack: DetectorRule) -> None:
    url = pages.act(attack, "new_version")
    sent = {"mode": "off", "requests_min": 50, "minutes": 5, "category": attack.category_id, "seen_version": 1}
    for rights in ((), ("moderation.view_detectorrule",), ("moderation.add_detectorrule",)):
        person = staff(*rights)
        assert person.get(url).status_code == 403, rights
        assert person.post(url, {**sent, "reason": pages.REASON}).status_code == 403, rights
    assert DetectorRule.objects.filter(detector="attack").count() == 1
    allowed = staff("moderation.view_detectorrule", "moderation.add_detectorrule", "moderation.view_policycategory")
    assert pages.send(allowed, url, mode="off").status_code == 302
    assert "New version" not in pages.text(staff("moderation.view_detectorrule").get(pages.change(attack)))


def test_no_version_is_changed_or_deleted(boss: Client, attack: DetectorRule) -> None:
    before = DetectorRule.objects.values().get(pk=attack.pk)
    assert boss.post(pages.change(attack), {"mode": "off", "reason": pages.REASON}).status_code == 403
    assert boss.post(pages.delete(attack), {"reason": pages.REASON}).status_code == 403
    assert boss.get(pages.add(DetectorRule)).status_code == 403
    assert DetectorRule.objects.values().get(pk=attack.pk) == before


@pytest.mark.req("GW-35")
def test_the_list_shows_each_detector_once_with_what_it_has_noticed(
    boss: Client, root: User, attack: DetectorRule, key: APIKey
) -> None:
    noticed(key, attack)
    old, judged = noticed(key, attack, days_ago=5), noticed(key, attack, days_ago=6)
    noticed(key, attack, days_ago=40)
    signals.judge(signal=judged, verdict="false_positive", actor=root, reason="Theirs")
    signals.judge(signal=old, verdict="confirmed", actor=root, reason="Seen")
    newer = calls.publish("attack", "shadow")
    noticed(key, newer)
    [row] = [row for row in _rows(boss, pages.list_of(DetectorRule)) if row[0].startswith("Attacks")]
    assert row[:9] == ["Attacks on the platform", "Shadow", "v2", "CY-ATTACK", "1", "3", "1", "50 % of 2", "–"]
    assert len(_rows(boss, pages.list_of(DetectorRule))) == 9
    page = unescape(pages.text(boss.get(pages.change(newer))))
    assert "signals: 1, false positives: –" in page
    assert "signals: 4, false positives: 50 % of 2" in page


def test_the_lists_ask_as_often_for_many_rows(boss: Client, key: APIKey, attack: DetectorRule) -> None:
    def queries(url: str) -> int:
        boss.get(url)
        with CaptureQueriesContext(connection) as asked:
            assert boss.get(url).status_code == 200
        return len(asked)

    noticed(key, attack)
    before = [queries(pages.list_of(Signal)), queries(pages.list_of(DetectorRule))]
    for number in range(5):
        noticed(key, calls.publish("attack", "signal", requests_min=60 + number))
        noticed(cast.api_key(key.organisation, key.user, f"Key {number}").api_key, None, "HT-HATE")
    assert [queries(pages.list_of(Signal)), queries(pages.list_of(DetectorRule))] == before


@pytest.mark.req("GW-35")
@pytest.mark.parametrize(("act", "verdict"), [("confirm", "confirmed"), ("mistaken", "false_positive")])
def test_a_signal_is_judged_with_a_reason(
    boss: Client, root: User, key: APIKey, attack: DetectorRule, act: str, verdict: str
) -> None:
    signal = noticed(key, attack)
    assert pages.send(boss, pages.act(signal, act), reason="").status_code == 200
    assert pages.send(boss, pages.act(signal, act)).status_code == 302
    signal.refresh_from_db()
    assert (signal.verdict, signal.verdict_by) == (verdict, root)
    assert AuditEvent.objects.get(action="signal.judge").reason == pages.REASON
    again = pages.send(boss, pages.act(signal, act))
    assert "It says so already." in pages.text(again)
    assert AuditEvent.objects.filter(action="signal.judge").count() == 1


def test_only_who_may_judges_signals(staff: Callable[..., Client], key: APIKey, attack: DetectorRule) -> None:
    signal = noticed(key, attack)
    viewer, judge = staff("moderation.view_signal"), staff("moderation.view_signal", "moderation.change_signal")
    for act in ("confirm", "mistaken", "open_case"):
        assert viewer.get(pages.act(signal, act)).status_code == 403
        assert viewer.post(pages.act(signal, act), {"reason": pages.REASON}).status_code == 403
    assert "False positive" not in pages.text(viewer.get(pages.change(signal)))
    assert pages.send(judge, pages.act(signal, "mistaken")).status_code == 302
    assert judge.post(pages.change(signal), {"verdict": "open", "reason": pages.REASON}).status_code == 403


def test_the_page_of_a_signal_shows_what_was_counted_and_leads_to_a_filled_in_case(
    boss: Client, key: APIKey, attack: DetectorRule
) -> None:
    signal = noticed(key, attack)
    page = unescape(pages.text(boss.get(pages.change(signal))))
    for shown in ("Malformed requests", "1,234", "01920000-aaaa", str(attack), key.name):
        assert shown in page
    to = boss.get(pages.act(signal, "open_case"))
    given = parse_qs(urlsplit(to.url).query)
    assert given["organisation"] == [str(key.organisation_id)]
    assert given["category"] == [str(signal.category_id)]
    assert pages.send(boss, to.url).status_code == 302
    case = Case.objects.get()
    assert (case.category, case.source) == (signal.category, "automated")
    assert f"Signal {signal.pk}." in case.summary


def test_signals_are_found_by_each_filter(boss: Client, key: APIKey, attack: DetectorRule) -> None:
    shadow = DetectorRule.objects.get(detector="harvesting")
    noticed(key, attack)
    noticed(key, shadow, "PA-SCRAPE")
    noticed(key, None, "HT-HATE")
    found = {
        "detector=attack": ["CY-ATTACK"],
        "detector=nonsense": ["HT-HATE", "PA-SCRAPE", "CY-ATTACK"],
        "source__exact=upstream": ["HT-HATE"],
        "is_shadow__exact=1": ["PA-SCRAPE"],
        "verdict__exact=confirmed": [],
        f"category__id__exact={attack.category_id}": ["CY-ATTACK"],
        f"organisation__id__exact={key.organisation_id}": ["HT-HATE", "PA-SCRAPE", "CY-ATTACK"],
        "q=Acme": ["HT-HATE", "PA-SCRAPE", "CY-ATTACK"],
        "q=SCRAPE": ["PA-SCRAPE"],
    }
    for query, codes in found.items():
        rows = _rows(boss, f"{pages.list_of(Signal)}?{query}")
        assert [row[0] for row in rows] == codes, query


def test_signals_of_sealed_categories_are_for_the_few(
    boss: Client, root: User, staff: Callable[..., Client], key: APIKey
) -> None:
    sealed = noticed(key, None, "CS-CSAM")
    assert _rows(boss, pages.list_of(Signal)) == []
    for act in ("confirm", "mistaken", "open_case"):
        assert boss.get(pages.act(sealed, act)).status_code in (302, 404)
        assert boss.post(pages.act(sealed, act), {"reason": pages.REASON}).status_code in (302, 404)
    sealed.refresh_from_db()
    assert sealed.verdict == "open"
    for obj in (key, key.organisation):
        assert "not looked at" not in pages.text(boss.get(pages.change(obj)))
    kim = staff("moderation.view_signal", "moderation.change_signal", "moderation.view_sealed_case")
    assert pages.send(kim, pages.act(sealed, "confirm"), reason="Canary reason").status_code == 302
    row = AuditEvent.objects.get(action="signal.judge")
    assert "Canary" not in row.reason
    assert "CSAM" not in row.object_text
    root.user_permissions.add(Permission.objects.get(codename="view_sealed_case"))
    assert len(_rows(boss, pages.list_of(Signal))) == 1


def test_keys_and_organisations_say_that_signals_wait(
    boss: Client, root: User, key: APIKey, attack: DetectorRule
) -> None:
    signal = noticed(key, attack)
    noticed(key, DetectorRule.objects.get(detector="harvesting"), "PA-SCRAPE")
    for obj in (key, key.organisation):
        assert "1 not looked at" in pages.text(boss.get(pages.change(obj)))
    signals.judge(signal=signal, verdict="confirmed", actor=root, reason="Seen")
    for obj in (key, key.organisation):
        assert "not looked at" not in pages.text(boss.get(pages.change(obj)))


def _rows(client: Client, url: str) -> list[list[str]]:
    """The cells of a list, as text."""
    from html.parser import HTMLParser

    class Cells(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.rows: list[list[str]] = []
            self.depth = 0

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            classes = dict(attributes).get("class") or ""
            if tag == "tr":
                self.rows.append([])
            elif tag in ("td", "th") and "field-" in classes:
                self.rows[-1].append("")
                self.depth = 1

        def handle_endtag(self, tag: str) -> None:
            if tag in ("td", "th"):
                self.depth = 0

        def handle_data(self, data: str) -> None:
            if self.depth and data.strip():
                self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()

    reader = Cells()
    response = client.get(url)
    assert response.status_code == 200, url
    reader.feed(pages.text(response))
    return [row for row in reader.rows if row]
