"""Two jobs, two hands, two reviewers at the same moment: one mail, one appeal, one reviewer."""

import pytest
from django.conf import LazySettings
from django.core import mail

from accounts.models import Organisation, User
from moderation.errors import IllegalMove, VersionConflict
from moderation.models import Appeal, CaseNotice, NoticeHook, SlaClock
from moderation.services import appeals, delivery, hooks
from tests.moderation import desk
from tests.moderation.test_at_once import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.req("NOT-01", "NOT-02")
@pytest.mark.parametrize("attempt", range(3))
def test_of_jobs_that_run_at_once_one_mails_a_notice_and_begins_its_measure_once(
    acme: Organisation, sue: User, attempt: int
) -> None:
    made = desk.decided(acme, sue, code="CY-MALWARE", steps=(desk.SUSPENSION,))
    done = at_once(*[delivery.deliver] * 4)
    assert sorted(done) == [0, 0, 0, 1]
    assert len(mail.outbox) == 1
    notice = CaseNotice.objects.get()
    assert notice.deliveries.get(channel="email").tries == 1
    assert made.actions.get().state == "in_force"
    assert acme.restrictions.count() == 1


@pytest.mark.req("MOD-29")
@pytest.mark.parametrize("attempt", range(3))
def test_of_appeals_sent_at_once_one_is_taken(acme: Organisation, ada: User, rex: User, attempt: int) -> None:
    decision = desk.decided(acme, rex)
    delivery.deliver()
    sent = at_once(
        lambda: appeals.submit(decision=decision, grounds="By link", via="link"),
        lambda: appeals.submit(decision=decision, grounds="By login", via="portal", user=ada),
        lambda: appeals.submit(decision=decision, grounds="By link again", via="link"),
    )
    assert [type(one) for one in sent if isinstance(one, Exception)] == [IllegalMove] * 2
    assert Appeal.objects.count() == 1
    assert SlaClock.objects.filter(appeal__isnull=False).count() == 2
    assert CaseNotice.objects.filter(once__startswith="appeal:").count() == 1


@pytest.mark.req("MOD-28")
def test_of_two_reviewers_who_take_an_appeal_at_once_one_has_it(acme: Organisation, rex: User) -> None:
    decision = desk.decided(acme, rex)
    delivery.deliver()
    appeal = appeals.submit(decision=decision, grounds="No", via="link")
    people = [desk.allowed(desk.worker(name, "auditor"), "review_appeal") for name in ("rita", "otto")]
    views = [Appeal.objects.select_related("decision__case__category").get(pk=appeal.pk) for _ in people]
    done = at_once(
        *[
            lambda view=view, person=person: appeals.assign(
                appeal=view, reviewer=person, actor=person, reason="My turn"
            )
            for view, person in zip(views, people, strict=True)
        ]
    )
    assert [type(one) for one in done if isinstance(one, Exception)] == [VersionConflict]
    appeal.refresh_from_db()
    assert (appeal.state, appeal.reviewer in people, appeal.version) == ("assigned", True, 2)
    assert len([event for event in desk.told(decision.case, "appeal") if "assigned" in event.after]) == 1


def test_of_two_who_set_the_first_webhook_at_once_the_second_changes_it(
    acme: Organisation, ada: User, settings: LazySettings
) -> None:
    settings.NOTICE_WEBHOOK_PRIVATE_ADDRESSES = True
    urls = [f"https://localhost/{number}" for number in range(4)]
    made = at_once(*[lambda url=url: hooks.save(organisation=acme, url=url, actor=ada, reason="Ours") for url in urls])
    assert [one for one in made if isinstance(one, Exception)] == []
    assert sum(bool(secret) for _, secret in made) == 1
    assert NoticeHook.objects.get().url in urls
