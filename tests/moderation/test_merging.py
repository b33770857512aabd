"""Cases put in order: merged, split, about somebody else, in another category."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEvent, Organisation, User
from moderation.errors import IllegalMove, NotPermitted, VersionConflict
from moderation.models import Case, CaseEvent, Demand, Report, SlaClock
from moderation.services import acts, chains, evidence, merging, reports, restrictions, subjects
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk
from tests.moderation.test_reports import appealed, decided, submit

pytestmark = pytest.mark.django_db
WHY = "They are one matter"


def test_a_merged_case_ends_in_another_that_keeps_the_earliest_receipt_and_the_highest_level(
    acme: Organisation, ira: User
) -> None:
    earlier = clock.now() - timedelta(days=2)
    older, newer = desk.case_of(acme, "DC-PHISH", received_at=earlier), desk.case_of(acme)
    merging.merge(case=older, into=newer, actor=ira, reason=WHY)
    older.refresh_from_db()
    newer.refresh_from_db()
    assert (older.state, older.merged_into) == ("merged", newer)
    assert (newer.state, newer.level, newer.received_at) == ("new", "L2", earlier)
    assert desk.clock_of(newer, SlaClock.Kind.RESOLUTION).started_at == earlier
    assert desk.clock_of(older, SlaClock.Kind.RESOLUTION).stopped_at is not None
    assert [event.after for event in desk.told(newer, CaseEvent.Kind.MERGED)] == [f"with {older.reference}"]
    assert [event.after for event in desk.told(older, CaseEvent.Kind.MERGED)] == [f"into {newer.reference}"]


@pytest.mark.edge(12)
def test_an_older_report_merged_into_a_newer_case_makes_its_clocks_count_from_there(
    acme: Organisation, ira: User
) -> None:
    earlier = clock.now() - timedelta(days=1)
    spam, phish = desk.category("DC-SPAM"), desk.category("DC-PHISH")
    mail = {"channel": "mail", "received_at": earlier, "actor": ira, "reason": "Came by mail"}
    older = submit(organisation=acme, category=spam, **mail)
    newer = submit(organisation=acme, category=phish)
    merging.merge(case=older.case, into=newer.case, actor=ira, reason=WHY)
    older.refresh_from_db()
    newer.case.refresh_from_db()
    assert (older.case, newer.case.received_at, newer.case.level) == (newer.case, earlier, "L2")
    assert older.category == spam


def test_merging_the_milder_and_later_changes_neither_level_nor_clock(acme: Organisation, ira: User) -> None:
    worse = desk.case_of(acme, "DC-PHISH", received_at=clock.now() - timedelta(days=1))
    due = desk.clock_of(worse, SlaClock.Kind.RESOLUTION).due_at
    merging.merge(case=desk.case_of(acme), into=worse, actor=ira, reason=WHY)
    assert worse.level == "L2"
    assert desk.clock_of(worse, SlaClock.Kind.RESOLUTION).due_at == due
    assert desk.told(worse, CaseEvent.Kind.LEVEL) == []


def test_what_belongs_to_a_case_goes_with_it(acme: Organisation, ira: User, root: User) -> None:
    goes, stays = submit(organisation=acme).case, desk.case_of(acme)
    standing = restrictions.impose(
        organisation=acme, scope="feature", target="chat", case=goes, category=goes.category, actor=root, reason=WHY
    )
    due = clock.now() + timedelta(days=3)
    asked = Demand.objects.create(
        reference="Q-1", case=goes, organisation=acme, kind="information", text="?", due_at=due
    )
    kept = evidence.store_ids(case=goes, name="Ids", facts={"call": "up-1"}, source="staff", actor=ira)
    epoch = Organisation.objects.get(pk=acme.pk).epoch
    goes.refresh_from_db()
    merging.merge(case=goes, into=stays, actor=ira, reason=WHY)
    standing.refresh_from_db()
    asked.refresh_from_db()
    kept.refresh_from_db()
    assert (standing.case, asked.case, Report.objects.get().case, kept.case) == (stays, stays, stays, stays)
    assert desk.told(stays, CaseEvent.Kind.EVIDENCE)[0].after.startswith(f"evidence {kept.pk} taken over")
    assert Organisation.objects.get(pk=acme.pk).epoch > epoch


def test_both_chains_still_verify(acme: Organisation, ira: User) -> None:
    goes, stays = desk.case_of(acme), desk.case_of(acme)
    merging.merge(case=goes, into=stays, actor=ira, reason=WHY)
    merging.split(
        case=_with_two_reports(acme), reports=[Report.objects.latest("pk")], actor=ira, reason="Another matter"
    )
    assert list(chains.verify()) == []


@pytest.mark.edge(13)
def test_nothing_is_merged_into_a_case_under_appeal_or_out_of_one(acme: Organisation, rex: User) -> None:
    under, other = desk.in_review(acme, rex), desk.case_of(acme)
    appealed(under, rex)
    under.refresh_from_db()
    for pair in ((other, under), (under, other)):
        with pytest.raises(IllegalMove):
            merging.merge(case=pair[0], into=pair[1], actor=rex, reason=WHY)
    assert set(Case.objects.values_list("state", flat=True)) == {"in_review", "new"}


@pytest.mark.parametrize("state", ["proposed", "held", "decided", "remediation", "no_violation", "closed"])
def test_what_is_being_decided_or_was_decided_is_left_alone(acme: Organisation, rex: User, state: str) -> None:
    report = submit(organisation=acme)
    other = desk.case_of(acme)
    Case.objects.filter(pk=report.case_id).update(state=state)
    for case in (report.case,):
        case.refresh_from_db()
    case = report.case
    by = {"actor": rex, "reason": WHY}
    refused = (
        lambda: merging.merge(case=other, into=case, **by),
        lambda: merging.merge(case=case, into=other, **by),
        lambda: merging.split(case=case, reports=[report], **by),
        lambda: subjects.set_subject(case=case, organisation=acme, **by),
        lambda: subjects.set_category(case=case, category=desk.category("DC-PHISH"), **by),
    )
    for act in refused:
        with pytest.raises(IllegalMove):
            act()
    case.refresh_from_db()
    assert (case.state, case.category.code) == (state, "PA-OTHER")


def test_a_reopened_case_keeps_its_decision_and_goes_into_no_other(acme: Organisation, rex: User) -> None:
    again, other = desk.in_review(acme, rex), desk.case_of(acme)
    decided(again, rex)
    Case.objects.filter(pk=again.pk).update(state="in_review")
    again.refresh_from_db()
    with pytest.raises(IllegalMove, match="decided before"):
        merging.merge(case=again, into=other, actor=rex, reason=WHY)


def test_cases_about_different_people_are_two(acme: Organisation, globex: Organisation, ira: User) -> None:
    ours, theirs, nobodys = desk.case_of(acme), desk.case_of(globex), submit().case
    for case, into in ((ours, theirs), (ours, nobodys), (ours, ours)):
        with pytest.raises(ValidationError):
            merging.merge(case=case, into=into, actor=ira, reason=WHY)
    merging.merge(case=nobodys, into=ours, actor=ira, reason=WHY)
    assert Report.objects.get().organisation == acme


def test_a_sealed_case_is_never_opened_by_merging(acme: Organisation, kim: User, rex: User, root: User) -> None:
    sealed, plain = desk.case_of(acme, "CS-CSAM"), desk.case_of(acme)
    kim = desk.allowed(kim, "view_case")
    with pytest.raises(ValidationError, match="sealed"):
        merging.merge(case=sealed, into=plain, actor=kim, reason=WHY)
    for other in (rex, root):
        with pytest.raises(NotPermitted):
            merging.merge(case=sealed, into=plain, actor=other, reason=WHY)
        with pytest.raises(NotPermitted):
            merging.merge(case=plain, into=sealed, actor=other, reason=WHY)
    more = desk.case_of(acme, "CS-GROOM")
    merging.merge(case=more, into=sealed, actor=kim, reason="The same person did both")
    assert set(AuditEvent.objects.filter(actor=kim).values_list("reason", flat=True)) == {acts.SEALED_REASON}


def test_merging_needs_the_right_the_newest_look_a_reason_and_no_tie(
    acme: Organisation, ira: User, ada: User, lea: User
) -> None:
    case, into = desk.case_of(acme), desk.case_of(acme)
    with pytest.raises(VersionConflict):
        merging.merge(case=case, into=into, actor=ira, reason=WHY, expected_version=case.version + 1)
    with pytest.raises(ValidationError, match="reason"):
        merging.merge(case=case, into=into, actor=ira, reason=" ")
    for role in ("auditor", "child safety"):
        with pytest.raises(NotPermitted):
            merging.merge(case=case, into=into, actor=desk.worker(f"x{role[:3]}", role), reason=WHY)
    cast.member(acme, lea)
    desk.allowed(ada, "view_case", "triage_case")
    for tied in (lea, User.objects.get(pk=ada.pk)):
        with pytest.raises(NotPermitted):
            merging.merge(case=case, into=into, actor=tied, reason=WHY)
    assert not Case.objects.filter(state="merged").exists()


def _with_two_reports(organisation: Organisation) -> Case:
    report = submit(organisation=organisation)
    submit(organisation=organisation)
    report.case.refresh_from_db()
    return report.case


def test_a_report_is_split_off_into_a_case_of_its_own(acme: Organisation, ira: User) -> None:
    came = clock.now() - timedelta(days=1)
    mail = {"channel": "mail", "received_at": came, "actor": ira, "reason": "Came by mail"}
    first, second = submit(organisation=acme), submit(organisation=acme, **mail)
    case = first.case
    case.refresh_from_db()
    part = merging.split(case=case, reports=[second], actor=ira, reason="Another matter")
    second.refresh_from_db()
    first.refresh_from_db()
    assert (second.case, first.case) == (part, case)
    assert (part.organisation, part.category, part.received_at) == (acme, case.category, came)
    assert desk.told(part, CaseEvent.Kind.SPLIT)[0].before == case.reference
    assert part.reference in desk.told(case, CaseEvent.Kind.SPLIT)[0].after


def test_what_is_split_off_is_never_milder_than_the_case_or_its_category(acme: Organisation, rex: User) -> None:
    case = _with_two_reports(acme)
    Case.objects.filter(pk=case.pk).update(level="L2")
    case.refresh_from_db()
    assert merging.split(case=case, reports=[Report.objects.first()], actor=rex, reason=WHY).level == "L2"


def test_a_split_leaves_something_and_takes_only_what_is_there(acme: Organisation, ira: User) -> None:
    case, elsewhere = _with_two_reports(acme), submit()
    mine = list(case.reports.all())
    for taken in ([], mine, [elsewhere], [mine[0], elsewhere]):
        with pytest.raises(ValidationError):
            merging.split(case=case, reports=taken, actor=ira, reason=WHY)
    with pytest.raises(NotPermitted):
        merging.split(case=case, reports=mine[:1], actor=desk.worker("otto", "auditor"), reason=WHY)
    assert Case.objects.count() == 2


def test_a_case_about_nobody_learns_whom_it_is_about(acme: Organisation, ben: User, ira: User) -> None:
    report = submit()
    key = cast.api_key(acme, ben).api_key
    case = subjects.set_subject(case=report.case, organisation=acme, api_key=key, actor=ira, reason="The key leaked")
    case.refresh_from_db()
    report.refresh_from_db()
    assert (case.organisation, case.user, case.project, case.api_key) == (acme, ben, key.project, key)
    assert report.organisation == acme
    [event] = desk.told(case, CaseEvent.Kind.SUBJECT)
    assert (event.before, "Acme" in event.after) == ("", True)
    # And what comes in now finds it.
    assert submit(organisation=acme).case == case


def test_whom_it_is_about_belongs_to_the_organisation(
    acme: Organisation, globex: Organisation, ben: User, gus: User, ira: User
) -> None:
    case = desk.case_of(acme)
    theirs = cast.api_key(globex, gus).api_key
    for wrong in ({"user": gus}, {"api_key": theirs}, {"project": theirs.project}):
        with pytest.raises(ValidationError):
            subjects.set_subject(case=case, organisation=acme, actor=ira, reason=WHY, **wrong)
    case.refresh_from_db()
    assert case.user is None
    former = globex.memberships.get(user=gus)
    former.is_active = False
    former.save()
    subjects.set_subject(case=case, organisation=globex, user=gus, actor=ira, reason="He did it before he left")


def test_a_case_with_measures_does_not_change_sides(
    acme: Organisation, globex: Organisation, ira: User, root: User
) -> None:
    case = desk.case_of(acme)
    restrictions.impose(
        organisation=acme, scope="feature", target="chat", case=case, category=case.category, actor=root, reason=WHY
    )
    case.refresh_from_db()
    with pytest.raises(IllegalMove, match="lift"):
        subjects.set_subject(case=case, organisation=globex, actor=ira, reason=WHY)


def test_nobody_makes_a_case_one_about_themselves_or_their_own_house(acme: Organisation, ira: User) -> None:
    cast.member(acme, ira)
    case = submit().case
    with pytest.raises(NotPermitted):
        subjects.set_subject(case=case, organisation=acme, actor=ira, reason=WHY)
    assert Case.objects.get(pk=case.pk).organisation is None


@pytest.mark.req("MOD-38")
def test_a_reviewers_category_stands_beside_the_reporters(acme: Organisation, rex: User) -> None:
    report = submit(organisation=acme, category=desk.category("DC-SPAM"))
    due = desk.clock_of(report.case, SlaClock.Kind.RESOLUTION).due_at
    phish = desk.category("DC-PHISH")
    case = subjects.set_category(case=report.case, category=phish, actor=rex, reason="It asks for passwords")
    report.refresh_from_db()
    assert (report.category.code, case.category.code, case.level) == ("DC-SPAM", "DC-PHISH", "L2")
    assert desk.clock_of(case, SlaClock.Kind.RESOLUTION).due_at < due
    milder = subjects.set_category(case=case, category=desk.category("PA-OTHER"), actor=rex, reason="Neither")
    assert (milder.category.code, milder.level) == ("PA-OTHER", "L2")
    told = [(event.before, event.after) for event in desk.told(case, CaseEvent.Kind.CATEGORY)]
    assert told == [("DC-SPAM", "DC-PHISH"), ("DC-PHISH", "PA-OTHER")]


def test_a_case_is_sealed_by_whoever_works_on_it_and_unsealed_by_few(
    acme: Organisation, rex: User, kim: User, root: User
) -> None:
    case, csam, spam = desk.case_of(acme), desk.category("CS-CSAM"), desk.category("DC-SPAM")
    subjects.set_category(case=case, category=csam, actor=rex, reason="This is far worse")
    assert case.level == "L1"
    for refused in (rex, root, kim):
        with pytest.raises(NotPermitted):
            subjects.set_category(case=case, category=spam, actor=refused, reason="Not that bad")
    kim = desk.allowed(kim, "downgrade_case")
    subjects.set_category(case=case, category=spam, actor=kim, reason="A drawing of a tree")
    assert (case.category.code, case.level) == ("DC-SPAM", "L1")
    assert AuditEvent.objects.filter(action="case.category").latest("pk").reason == acts.SEALED_REASON


@pytest.mark.parametrize("role", ["auditor", "intake"])
def test_a_category_is_set_by_those_who_triage_or_review(acme: Organisation, role: str) -> None:
    case = desk.case_of(acme)
    words = {"category": desk.category("DC-SPAM"), "actor": desk.worker("wim", role), "reason": WHY}
    if role == "intake":
        assert subjects.set_category(case=case, **words).category.code == "DC-SPAM"
        with pytest.raises(ValidationError, match="another category"):
            subjects.set_category(case=case, **words)
    else:
        with pytest.raises(NotPermitted):
            subjects.set_category(case=case, **words)


def test_reports_of_a_merged_case_are_closed_with_the_one_that_goes_on(acme: Organisation, rex: User) -> None:
    goes, stays = submit(organisation=acme).case, desk.case_of(acme)
    goes.refresh_from_db()
    merging.merge(case=goes, into=stays, actor=rex, reason=WHY)
    assert reports.close_for(case=stays, finding="violation", actor=rex, reason="Decided on the facts") == 1
