"""The policy as its keepers change it: packs, documents that bind, texts by version, codes retired for good."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent, Organisation, User
from moderation import policy as shipped
from moderation import selectors
from moderation.errors import NotPermitted, VersionConflict
from moderation.models import Approval, PolicyCategory, PolicyDocument, PolicyPack, PolicyText
from moderation.services import approval_rules, approvals, policy
from newapi.kernel import clock
from tests.moderation import desk

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
WHY = "Counsel has asked for it"


def published(text: str, *, actor: User, code: str = "PA-RATE", language: str = "en", **options: object) -> PolicyText:
    """A next version of a text."""
    category = desk.category(code)
    return policy.publish_text(category=category, language=language, text=text, note=WHY, actor=actor, **options)


def bind(code: str, actor: User, *, binds: bool = True, days: int = 14) -> bool:
    """Say of a document whether it binds."""
    document = PolicyDocument.objects.get(code=code)
    return policy.set_binding(document=document, binds=binds, appeal_days=days, actor=actor, reason=WHY)


@pytest.mark.req("MOD-01")
def test_every_category_is_shipped_with_a_text_in_english_of_two_sentences_at_least() -> None:
    for category in PolicyCategory.objects.all():
        text = policy.text_in_force(category, "en")
        assert text is not None, category.code
        assert (text.version, text.language) == (1, "en")
        assert text.text.count(".") >= 2, category.code


def test_texts_as_shipped_are_made_once_and_never_over_what_there_is(root: User) -> None:
    from django.apps import apps

    published("Ours.", actor=root)
    count = PolicyText.objects.count()
    shipped.seed_texts(apps)
    assert PolicyText.objects.count() == count
    assert {code for code, language in shipped.texts() if language == "en"} == set(
        PolicyCategory.objects.values_list("code", flat=True)
    )


@pytest.mark.edge(41)
@pytest.mark.req("MOD-01", "NOT-05")
def test_edge_41_a_text_changed_after_the_act_the_old_version_is_the_one_in_force_at_the_act(root: User) -> None:
    acted_at = clock.now()
    category = desk.category("PA-RATE")
    old = policy.text_in_force(category, "en", acted_at)
    with clock.at(acted_at + DAY):
        new = published("Stricter.", actor=root)
        assert policy.text_in_force(category, "en") == new
        assert policy.text_in_force(category, "en", acted_at) == old
        assert policy.texts_in_force("en", acted_at)[category.pk] == old
        assert policy.texts_in_force("en")[category.pk] == new
    assert (old.version, new.version) == (1, 2)


def test_a_text_takes_effect_at_its_moment_and_not_before(root: User) -> None:
    now, category = clock.now(), desk.category("PA-RATE")
    new = published("Stricter.", actor=root, starts_at=now + DAY)
    with clock.at(new.starts_at - timedelta(milliseconds=1000)):
        assert policy.text_in_force(category, "en").version == 1
    with clock.at(new.starts_at):
        assert policy.text_in_force(category, "en") == new


def test_a_reader_gets_the_nearest_language_and_english_at_last(root: User) -> None:
    category = desk.category("PO-CULT")
    assert policy.text_in_force(category, "fr-CH").language == "en"
    swiss_later = published("Plus tard.", actor=root, code="PO-CULT", language="fr-CH", starts_at=clock.now() + DAY)
    french = published("Interdit.", actor=root, code="PO-CULT", language="fr")
    assert policy.text_in_force(category, "fr-CH") == french
    assert policy.texts_in_force("fr-CH")[category.pk] == french
    with clock.at(swiss_later.starts_at):
        assert policy.text_in_force(category, "fr-CH") == swiss_later
        assert policy.text_in_force(category, "fr") == french
    assert policy.text_in_force(category, "en", datetime(2019, 1, 1, tzinfo=UTC)) is None


@pytest.mark.req("MOD-01")
def test_a_text_is_never_changed_or_deleted(root: User) -> None:
    text = published("Stricter.", actor=root)
    for write in (
        lambda: PolicyText.objects.filter(pk=text.pk).update(text="Softer."),
        lambda: PolicyText.objects.filter(pk=text.pk).delete(),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            write()
    text.refresh_from_db()
    assert text.text == "Stricter."


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"text": "   "}, "text"),
        ({"text": "x" * 5_001}, "text"),
        ({"language": "English"}, "language"),
        ({"starts_at": datetime(2026, 1, 1, tzinfo=UTC)}, "starts_at"),
        ({"starts_at": datetime(2126, 1, 1)}, "starts_at"),
        ({"note": "  "}, "reason"),
    ],
)
def test_a_text_that_makes_no_sense_is_refused_and_nothing_is_written(root: User, wrong: dict, field: str) -> None:
    sound = {"category": desk.category("PA-RATE"), "language": "en", "text": "Stricter.", "note": WHY, "actor": root}
    count = PolicyText.objects.count()
    with pytest.raises(ValidationError) as error:
        policy.publish_text(**{**sound, **wrong})
    assert field in error.value.error_dict
    assert PolicyText.objects.count() == count


def test_no_text_begins_before_the_one_that_it_replaces_and_one_at_its_moment_replaces_it(root: User) -> None:
    later = published("Later.", actor=root, starts_at=clock.now() + 5 * DAY)
    with pytest.raises(ValidationError, match="Version 2 begins later"):
        published("Between.", actor=root)
    mended = published("Mended.", actor=root, starts_at=later.starts_at)
    with clock.at(later.starts_at):
        assert policy.text_in_force(later.category, "en") == mended


def test_who_saw_an_older_text_is_told_instead_of_writing_over_a_colleague(root: User) -> None:
    published("Ours.", actor=root, expected_version=1)
    with pytest.raises(VersionConflict):
        published("Mine.", actor=root, expected_version=1)


@pytest.mark.parametrize("role", ["auditor", "reviewer", "lead"])
def test_nobody_changes_the_policy_without_the_right_to_it(role: str) -> None:
    actor = desk.worker("pat", role)
    acts = [
        lambda: published("Softer.", actor=actor),
        lambda: bind("A", actor),
        lambda: policy.retire(category=desk.category("PA-OTHER"), actor=actor, reason=WHY),
        lambda: policy.switch_pack(pack=PolicyPack.objects.get(code="CN"), is_on=True, actor=actor, reason=WHY),
    ]
    for act in acts:
        with pytest.raises(NotPermitted):
            act()
    assert not AuditEvent.objects.exists()


@pytest.mark.req("MOD-01")
def test_a_pack_is_switched_on_and_off_and_the_general_one_always_is(acme: Organisation, root: User) -> None:
    pack = PolicyPack.objects.get(code="CN")
    assert policy.switch_pack(pack=pack, is_on=True, actor=root, reason=WHY)
    assert not policy.switch_pack(pack=pack, is_on=True, actor=root, reason=WHY)
    assert desk.case_of(acme, "PO-HONOUR").level == "L3"
    assert PolicyCategory.objects.in_force().count() == 85
    assert policy.switch_pack(pack=pack, is_on=False, actor=root, reason=WHY)
    with pytest.raises(ValidationError, match="not in force"):
        desk.case_of(acme, "PO-HONOUR")
    with pytest.raises(ValidationError, match="always on"):
        policy.switch_pack(pack=PolicyPack.objects.get(code="G"), is_on=False, actor=root, reason=WHY)
    told = AuditEvent.objects.filter(action="policy_pack.switch").order_by("pk")
    assert [row.changes["is_on"] for row in told] == [[False, True], [True, False]]


@pytest.mark.req("MOD-01")
def test_a_code_is_retired_once_and_for_good(acme: Organisation, root: User) -> None:
    case = desk.case_of(acme, "PA-OTHER")
    category = desk.category("PA-OTHER")
    assert policy.retire(category=category, actor=root, reason=WHY)
    assert not policy.retire(category=category, actor=root, reason=WHY)
    with pytest.raises(ValidationError, match="retired"):
        desk.case_of(acme, "PA-OTHER")
    with pytest.raises(ValidationError, match="retired"):
        published("Again.", actor=root, code="PA-OTHER")
    case.refresh_from_db()
    assert case.category == category
    assert AuditEvent.objects.get(action="policy_category.retire").reason == WHY


def test_a_code_that_a_detector_cites_is_not_retired(root: User) -> None:
    with pytest.raises(ValidationError, match="cites it"):
        policy.retire(category=desk.category("PA-JAILBREAK"), actor=root, reason=WHY)
    assert not desk.category("PA-JAILBREAK").is_retired


@pytest.mark.req("MOD-27")
def test_the_window_of_appeals_is_the_longest_of_the_documents_that_bind(root: User) -> None:
    assert policy.appeal_days() == 14
    bind("U", root, days=184)
    assert policy.appeal_days() == 184
    bind("T", root, days=30)
    assert policy.appeal_days() == 184
    bind("U", root, binds=False, days=184)
    assert policy.appeal_days() == 30
    for code in "MT":
        bind(code, root, binds=False)
    assert policy.appeal_days() == 14
    for days in (13, 731):
        with pytest.raises(ValidationError, match="14 to 730"):
            bind("U", root, days=days)


@pytest.mark.req("MOD-02", "MOD-03")
def test_the_strictest_document_that_binds_wins_and_what_was_approved_stops_with_the_next_call(
    acme: Organisation, ada: User, root: User
) -> None:
    """§8, 4: adult content may be approved under T and M; U forbids it outright."""
    adult = desk.category("SX-ADULT")
    asked = approvals.request(
        organisation=acme, kind="use_case", category=adult, purpose="A novel", actor=ada, reason="By a member"
    )
    ends_at = clock.now() + 30 * DAY
    approvals.approve(approval=asked, ends_at=ends_at, actor=root, reason="Ages are checked")
    assert len(selectors.approvals_of(organisation_id=acme.pk)) == 1
    acme.refresh_from_db()
    epoch = acme.epoch

    assert bind("U", root)
    assert policy.is_forbidden(adult)
    assert not approval_rules.can_be_approved(adult)
    assert adult not in approval_rules.approvable()
    assert selectors.approvals_of(organisation_id=acme.pk) == ()
    acme.refresh_from_db()
    assert acme.epoch > epoch
    with pytest.raises(ValidationError, match="cannot be approved"):
        approvals.request(
            organisation=acme, kind="use_case", category=adult, purpose="A play", actor=ada, reason="By a member"
        )
    assert not policy.is_forbidden(desk.category("PV-DATA"))
    assert desk.category("PV-DATA") in approval_rules.approvable()

    assert bind("U", root, binds=False)
    assert len(selectors.approvals_of(organisation_id=acme.pk)) == 1


def test_an_application_that_waited_while_a_document_came_to_bind_is_refused_approval(
    acme: Organisation, ada: User, root: User
) -> None:
    asked = approvals.request(
        organisation=acme,
        kind="use_case",
        category=desk.category("VI-GRAPHIC"),
        purpose="A film",
        actor=ada,
        reason="By a member",
    )
    bind("A", root)
    with pytest.raises(ValidationError, match="cannot be approved"):
        approvals.approve(approval=asked, ends_at=clock.now() + DAY, actor=root, reason="A documentary")
    assert Approval.objects.get(pk=asked.pk).state == "requested"
    assert approvals.refuse(approval=asked, actor=root, reason="The profile forbids it").state == "refused"


def test_the_right_to_change_packs_is_no_right_to_publish_texts() -> None:
    from django.contrib.auth.models import Permission

    keeper = desk.worker("pia", "auditor")
    keeper.user_permissions.add(Permission.objects.get(codename="change_policypack"))
    assert policy.switch_pack(pack=PolicyPack.objects.get(code="CN"), is_on=True, actor=keeper, reason=WHY)
    with pytest.raises(NotPermitted):
        published("Softer.", actor=keeper)


def test_the_general_pack_is_shipped_in_german_as_well() -> None:
    for category in PolicyCategory.objects.filter(pack="G"):
        text = policy.text_in_force(category, "de-AT")
        assert text is not None, category.code
        assert text.language == "de", category.code
    assert policy.text_in_force(desk.category("PO-CULT"), "de").language == "en"
