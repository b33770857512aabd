"""Restrictions: on something that exists, felt by the next call, ended by the clock or by a person."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent, Membership, Organisation, User
from channels.models import Model
from moderation import selectors
from moderation.models import PolicyCategory, Restriction
from moderation.services import cases, restrictions
from newapi.gateway import catalogue_loader, passports, policy
from newapi.kernel import clock, errors, places, secrets
from newapi.kernel.meters import bank
from tests import cast
from tests.moderation import desk

HOUR = timedelta(hours=1)


def impose(organisation: Organisation, scope: str = "organisation", **options: object) -> Restriction:
    """A restriction by a job of the platform."""
    words = {"reason": "Rates beaten", "actor": None, **options}
    return restrictions.impose(organisation=organisation, scope=scope, **words)


def targets(organisation: Organisation, user: User, model: Model) -> dict[str, str]:
    """Something of every scope in an organisation."""
    return {
        "organisation": "",
        "project": str(organisation.projects.get().pk),
        "member": str(user.pk),
        "api_key": str(cast.api_key(organisation, user).api_key.pk),
        "model": model.name,
        "feature": "embeddings",
    }


@pytest.mark.parametrize("scope", Restriction.Scope.values)
@pytest.mark.django_db
def test_each_scope_is_in_force_from_now_until_its_end(
    acme: Organisation, ben: User, chat_model: Model, rex: User, scope: str
) -> None:
    target = targets(acme, ben, chat_model)[scope]
    end = clock.now() + HOUR
    impose(acme, scope, target=target, category=desk.category("PA-RATE"), ends_at=end, actor=rex)
    [standing] = selectors.restrictions_of(organisation_id=acme.pk)
    assert (standing.scope, standing.target, standing.policy_code) == (scope, target, "PA-RATE")
    assert standing.holds_at(clock.now_ms())
    assert standing.holds_at(clock.to_ms(end) - 1)
    assert not standing.holds_at(clock.to_ms(end))
    with clock.shifted(3601):
        assert selectors.restrictions_of(organisation_id=acme.pk) == ()
    row = AuditEvent.objects.get(action="restriction.impose")
    assert (row.actor, row.organisation, row.reason) == (rex, acme, "Rates beaten")


@pytest.mark.req("GW-27")
@pytest.mark.django_db
@pytest.mark.parametrize("scope", ["organisation", "project", "member", "api_key"])
def test_the_gateways_passport_refuses_the_restricted_and_only_until_the_end(
    acme: Organisation, globex: Organisation, ben: User, gus: User, chat_model: Model, scope: str
) -> None:
    key, other = cast.api_key(acme, ben), cast.api_key(globex, gus)
    things = {**targets(acme, ben, chat_model), "api_key": str(key.api_key.pk)}
    case = desk.case_of(acme)
    impose(acme, scope, target=things[scope], case=case, ends_at=clock.now() + HOUR)
    catalogue, origin = catalogue_loader.load(), policy.Origin("192.0.2.1", places.NOWHERE, "")
    passport = passports.load(secrets.digest(key.raw))
    assert passport is not None
    with pytest.raises(errors.Restricted) as refused:
        policy.check_key(passport, catalogue, origin, now_ms=clock.now_ms())
    assert refused.value.details["policy_code"] == "PA-RATE"
    assert refused.value.details["case"] == case.reference
    # The same passport, cached by a worker that hears of nothing more: the clock alone ends it.
    policy.check_key(passport, catalogue, origin, now_ms=clock.now_ms() + 3_600_001)
    untouched = passports.load(secrets.digest(other.raw))
    assert untouched is not None
    policy.check_key(untouched, catalogue, origin, now_ms=clock.now_ms())


@pytest.mark.django_db
@pytest.mark.parametrize("scope", ["project", "member", "api_key", "model", "feature"])
def test_what_is_not_the_organisations_cannot_be_restricted_in_it(
    acme: Organisation, globex: Organisation, gus: User, chat_model: Model, scope: str
) -> None:
    foreign = {**targets(globex, gus, chat_model), "model": "no-such-model", "feature": "images"}
    for target in (foreign[scope], "", "0", "-1", "x" * 150, "9" * 150, "٣"):
        with pytest.raises(ValidationError):
            impose(acme, scope, target=target)
    assert not Restriction.objects.exists()


@pytest.mark.django_db
def test_the_id_of_a_target_is_written_one_way_only(acme: Organisation, ben: User) -> None:
    """The gateway compares texts: `017` would restrict nothing while looking as if it did."""
    project = acme.projects.get()
    for text in (f"0{project.pk}", f" {project.pk}", f"+{project.pk}"):
        with pytest.raises(ValidationError):
            impose(acme, "project", target=text)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"scope": "galaxy"}, "scope"),
        ({"target": "7"}, "target"),
        ({"reason": " "}, "reason"),
        ({"ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, "ends_at"),
        ({"ends_at": datetime(2099, 1, 1)}, "ends_at"),
        (
            {
                "starts_at": datetime(2099, 1, 2, tzinfo=UTC),
                "ends_at": datetime(2099, 1, 1, tzinfo=UTC),
            },
            "ends_at",
        ),
    ],
    ids=["scope", "target", "reason", "past", "naive", "end-before-start"],
)
def test_nonsense_restricts_nothing(acme: Organisation, words: dict[str, object], complaint: str) -> None:
    before = Organisation.objects.get(pk=acme.pk).epoch
    with pytest.raises(ValidationError) as refused:
        impose(acme, **{"scope": "organisation", **words})
    assert complaint in refused.value.message_dict
    assert not Restriction.objects.exists()
    assert Organisation.objects.get(pk=acme.pk).epoch == before


@pytest.mark.django_db
def test_a_start_in_the_past_means_at_once_and_one_to_come_is_waited_for(acme: Organisation) -> None:
    now = clock.now()
    assert impose(acme, starts_at=now - 5 * HOUR).starts_at >= now
    impose(acme, "feature", target="chat", starts_at=now + HOUR)
    to_come = next(one for one in selectors.restrictions_of(organisation_id=acme.pk) if one.scope == "feature")
    assert not to_come.holds_at(clock.now_ms())
    assert to_come.holds_at(clock.to_ms(now + HOUR))


@pytest.mark.django_db
def test_a_restriction_of_a_case_is_told_in_it_and_takes_its_category(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex, "CY-MALWARE")
    restriction = impose(acme, "feature", target="chat", case=case, actor=rex)
    assert restriction.category == case.category
    restrictions.lift(restriction=restriction, actor=rex, reason="Explained")
    told = [(event.kind, event.actor, event.reason) for event in case.events.all()][-2:]
    assert told == [("restricted", rex, "Rates beaten"), ("lifted", rex, "Explained")]


@pytest.mark.django_db
def test_a_case_of_another_organisation_or_one_that_is_done_carries_no_restriction(
    acme: Organisation, globex: Organisation, rex: User
) -> None:
    with pytest.raises(ValidationError, match="another organisation"):
        impose(acme, case=desk.case_of(globex))
    done = desk.acquit(desk.in_review(acme, rex), rex).case
    with pytest.raises(ValidationError, match="done"):
        impose(acme, case=done)


@pytest.mark.django_db
def test_a_retired_category_is_cited_by_no_new_restriction(acme: Organisation) -> None:
    PolicyCategory.objects.filter(code="PA-RATE").update(is_retired=True)
    with pytest.raises(ValidationError, match="retired"):
        impose(acme, category=desk.category("PA-RATE"))


@pytest.mark.django_db
def test_edge_24_lifting_one_of_two_leaves_the_other(acme: Organisation, rex: User) -> None:
    first, second = impose(acme), impose(acme, category=desk.category("PA-RATE"))
    assert restrictions.lift(restriction=first, actor=rex, reason="Mistaken")
    [left] = selectors.restrictions_of(organisation_id=acme.pk)
    assert left.policy_code == "PA-RATE"
    first.refresh_from_db()
    assert (first.lifted_by, second.lifted_at) == (rex, None)


@pytest.mark.django_db
def test_a_restriction_is_lifted_once_and_not_after_its_end(acme: Organisation, rex: User, lea: User) -> None:
    restriction, short = impose(acme), impose(acme, ends_at=clock.now() + HOUR)
    copy = Restriction.objects.get(pk=restriction.pk)
    assert restrictions.lift(restriction=restriction, actor=rex, reason="Explained")
    assert not restrictions.lift(restriction=copy, actor=lea, reason="Explained again")
    with clock.shifted(3601):
        assert not restrictions.lift(restriction=short, actor=rex, reason="Over anyway")
    with pytest.raises(ValidationError, match="reason"):
        restrictions.lift(restriction=short, actor=rex, reason="")
    restriction.refresh_from_db()
    short.refresh_from_db()
    assert (restriction.lifted_by, short.lifted_at) == (rex, None)
    assert AuditEvent.objects.filter(action="restriction.lift").count() == 1


@pytest.mark.django_db
def test_the_database_itself_refuses_a_target_without_scope_or_an_end_before_the_start(
    acme: Organisation,
) -> None:
    now = clock.now()
    for words in (
        {"scope": "organisation", "target": "7"},
        {"scope": "model", "target": ""},
        {"scope": "organisation", "starts_at": now, "ends_at": now},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Restriction.objects.create(organisation=acme, reason="By hand", **words)


@pytest.mark.django_db(transaction=True)
def test_both_imposing_and_lifting_make_every_worker_reload_before_its_next_call(acme: Organisation) -> None:
    """The epoch in Redis is what ADMIT compares with the one of a worker's cached passport."""
    impose(acme)
    fields = {"posted": 0, "pending": 0, "funded": 0, "acked": 0, "epoch": 1}
    bank.connection().hset(bank.keys.till(acme.pk), mapping=fields)
    seen = []
    restriction = impose(acme)
    for act in (
        lambda: None,
        lambda: restrictions.lift(restriction=restriction, actor=None, reason="Explained"),
        lambda: restrictions.lift(restriction=restriction, actor=None, reason="Explained twice"),
    ):
        act()
        acme.refresh_from_db()
        till = bank.till_state(acme.pk)
        assert till is not None
        assert till.epoch == acme.epoch == acme.epoch_published
        seen.append(till.epoch)
    assert seen[1] == seen[0] + 1
    assert seen[2] == seen[1]


@pytest.mark.django_db(transaction=True)
def test_a_restriction_that_is_rolled_back_is_told_to_nobody(acme: Organisation) -> None:
    before = Organisation.objects.get(pk=acme.pk)
    with pytest.raises(RuntimeError), transaction.atomic():
        impose(acme)
        raise RuntimeError("the lights go out")
    after = Organisation.objects.get(pk=acme.pk)
    assert (after.epoch, after.epoch_published) == (before.epoch, before.epoch_published)
    assert selectors.restrictions_of(organisation_id=acme.pk) == ()


@pytest.mark.django_db
def test_a_member_who_was_switched_off_can_still_be_restricted(acme: Organisation, ben: User) -> None:
    Membership.objects.filter(organisation=acme, user=ben).update(is_active=False)
    assert impose(acme, "member", target=str(ben.pk)).target == str(ben.pk)


@pytest.mark.django_db
def test_raising_a_case_to_l1_makes_its_restrictions_cut_from_the_next_look_on(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    impose(acme, "organisation", case=case)
    [before] = selectors.restrictions_of(organisation_id=acme.pk)
    epoch = Organisation.objects.get(pk=acme.pk).epoch
    cases.set_level(case=case, level="L1", actor=rex, reason="Worse than it looked")
    [after] = selectors.restrictions_of(organisation_id=acme.pk)
    assert (before.cuts, after.cuts) == (False, True)
    assert Organisation.objects.get(pk=acme.pk).epoch > epoch
