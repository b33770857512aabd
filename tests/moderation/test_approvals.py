"""Approvals: asked by one, decided by another, never of what is prohibited, ended by the clock or by an act."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.test import Client

from accounts.models import APIKey, AuditEvent, Notice, Organisation, User
from channels.models import Model
from moderation import selectors
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import Approval, PolicyCategory
from moderation.services import approval_rules, approvals, conflicts
from newapi.kernel import clock
from tests import cast
from tests.admin import pages
from tests.moderation import desk
from tests.moderation.test_at_once import at_once

DAY = timedelta(days=1)
PROMISES = Approval.LABEL_PROMISES
ALLOWED = {
    "CS-PIIMIN", "DC-IMPERS", "EC-SANCTION", "HD-CI", "HD-FIN", "HD-LE", "HD-LEGAL", "HD-MED", "IP-PUBLICITY",
    "PA-SCRAPE", "PV-BIOMETRIC", "PV-DATA", "PV-EMOTION", "SX-ADULT", "VI-GRAPHIC",
}  # fmt: skip


@pytest.fixture
def staff_client() -> Callable[[User], Client]:
    """Logs a person into the admin."""

    def log_in(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return log_in


@pytest.fixture
def dora(categories: None) -> User:
    """Decides on applications."""
    return _with_rights("dora", "view_approval", "add_approval", "change_approval")


@pytest.fixture
def dirk(categories: None) -> User:
    """Decides as well."""
    return _with_rights("dirk", "view_approval", "add_approval", "change_approval")


def _with_rights(name: str, *codenames: str) -> User:
    user = cast.person(name, is_staff=True)
    permissions = Permission.objects.filter(content_type__app_label="moderation", codename__in=codenames)
    user.user_permissions.set(permissions)
    return user


def ask(organisation: Organisation, actor: User, code: str = "SX-ADULT", **options: object) -> Approval:
    """An application for a use case, made as a member makes it."""
    words = {"purpose": "A novel for adults, behind an age check", "reason": "By a member", **options}
    return approvals.request(
        organisation=organisation, kind="use_case", category=desk.category(code), actor=actor, **words
    )


def ask_label(organisation: Organisation, actor: User, **options: object) -> Approval:
    """An application to leave out the explicit label."""
    words = {"purpose": "Subtitles", "promises": PROMISES, "reason": "By a member", **options}
    return approvals.request(organisation=organisation, kind="label_opt_out", actor=actor, **words)


def grant(approval: Approval, actor: User, *, days: int | None = 30, **options: object) -> Approval:
    """An approval from now on."""
    ends_at = None if days is None else clock.now() + days * DAY
    return approvals.approve(approval=approval, ends_at=ends_at, actor=actor, reason="Age check seen", **options)


def in_force(organisation: Organisation) -> tuple[selectors.Granted, ...]:
    """What the gateway obeys now."""
    now_ms = clock.now_ms()
    return tuple(one for one in selectors.approvals_of(organisation_id=organisation.pk) if one.holds_at(now_ms))


@pytest.mark.req("GW-20")
@pytest.mark.django_db
def test_an_application_allows_nothing_until_another_person_approves_it(
    acme: Organisation, globex: Organisation, ada: User, dora: User, chat_model: Model
) -> None:
    key = cast.api_key(acme, ada).api_key
    asked = ask(acme, ada, api_key=key, models_allowed=[chat_model.name])
    assert in_force(acme) == ()
    epoch = Organisation.objects.get(pk=acme.pk).epoch
    grant(asked, dora)
    [granted] = in_force(acme)
    assert (granted.kind, granted.category, granted.api_key_id) == ("use_case", "SX-ADULT", key.pk)
    assert (granted.models, granted.has_human_review) == (frozenset({chat_model.name}), False)
    assert Organisation.objects.get(pk=acme.pk).epoch > epoch
    assert in_force(globex) == ()


@pytest.mark.edge(40)
@pytest.mark.req("GW-20")
@pytest.mark.django_db
def test_the_clock_alone_begins_and_ends_an_approval(acme: Organisation, ada: User, dora: User) -> None:
    start, end = clock.now() + DAY, clock.now() + 2 * DAY
    approvals.approve(approval=ask(acme, ada), starts_at=start, ends_at=end, actor=dora, reason="From tomorrow")
    [granted] = selectors.approvals_of(organisation_id=acme.pk)
    # One and the same cached object, as a worker that hears of nothing more holds it.
    assert not granted.holds_at(clock.to_ms(start) - 1)
    assert granted.holds_at(clock.to_ms(start))
    assert granted.holds_at(clock.to_ms(end) - 1)
    assert not granted.holds_at(clock.to_ms(end))
    with clock.shifted(2 * 86_400 + 1):
        assert selectors.approvals_of(organisation_id=acme.pk) == ()


@pytest.mark.edge(40)
@pytest.mark.req("GW-20")
@pytest.mark.django_db
def test_every_category_is_approvable_or_not_as_the_policy_says(acme: Organisation, ada: User, root: User) -> None:
    """Root is a superuser: the rule holds for everybody."""
    assert {category.code for category in approval_rules.approvable()} == ALLOWED
    for category in PolicyCategory.objects.exclude(code__in=ALLOWED):
        with pytest.raises(ValidationError) as refused:
            ask(acme, root, category.code, has_human_review=True)
        assert "category" in refused.value.message_dict
    assert not Approval.objects.exists()


@pytest.mark.django_db
def test_what_became_prohibited_or_was_put_in_by_hand_is_neither_approved_nor_obeyed(
    acme: Organisation, ada: User, root: User
) -> None:
    asked = ask(acme, ada)
    smuggled = Approval.objects.create(
        organisation=acme,
        kind="use_case",
        category=desk.category("TE-TERROR"),
        purpose="x",
        state="approved",
        starts_at=clock.now() - DAY,
    )
    Approval.objects.filter(pk=asked.pk).update(category=desk.category("WP-WMD"))
    asked.refresh_from_db()
    with pytest.raises(ValidationError, match="cannot be approved"):
        grant(asked, root)
    assert selectors.approvals_of(organisation_id=acme.pk) == ()
    assert smuggled.state == "approved"


@pytest.mark.req("GW-21")
@pytest.mark.django_db
@pytest.mark.parametrize("code", ["HD-MED", "HD-LEGAL", "HD-FIN", "HD-CI", "HD-LE"])
def test_restricted_domains_need_human_review(acme: Organisation, ada: User, dora: User, code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ask(acme, ada, code)
    assert "has_human_review" in refused.value.message_dict
    grant(ask(acme, ada, code, has_human_review=True), dora)
    [granted] = in_force(acme)
    assert (granted.category, granted.has_human_review) == (code, True)


@pytest.mark.req("GW-24")
@pytest.mark.django_db
@pytest.mark.parametrize("missing", PROMISES)
def test_a_label_opt_out_needs_every_promise(acme: Organisation, ada: User, missing: str) -> None:
    for given in ([name for name in PROMISES if name != missing], [], [missing], [*PROMISES, "and_more"]):
        with pytest.raises(ValidationError) as refused:
            ask_label(acme, ada, promises=given)
        assert "promises" in refused.value.message_dict
    assert not Approval.objects.exists()


@pytest.mark.req("GW-24")
@pytest.mark.django_db
def test_a_label_opt_out_lasts_until_it_is_revoked(acme: Organisation, ada: User, dora: User) -> None:
    assert set(approval_rules.PROMISE_TEXTS) == set(PROMISES)
    approval = grant(ask_label(acme, ada), dora, days=None)
    with clock.shifted(1000 * 86_400):
        [granted] = in_force(acme)
    assert (granted.kind, granted.category, granted.ends_ms) == ("label_opt_out", "", None)
    epoch = Organisation.objects.get(pk=acme.pk).epoch
    approvals.revoke(approval=approval, actor=dora, reason="Labels were left out")
    assert in_force(acme) == ()
    assert Organisation.objects.get(pk=acme.pk).epoch > epoch


@pytest.mark.django_db
def test_nobody_decides_on_their_own_application_or_without_the_right(
    acme: Organisation, ada: User, dora: User, root: User
) -> None:
    mine, roots = ask(acme, dora), ask(acme, root, "VI-GRAPHIC")
    viewer = _with_rights("vic", "view_approval", "add_approval")
    for approval, actor in ((mine, dora), (roots, root), (mine, ada), (mine, viewer)):
        for decide in (
            lambda approval=approval, actor=actor: grant(approval, actor),
            lambda approval=approval, actor=actor: approvals.refuse(approval=approval, actor=actor, reason="No need"),
        ):
            with pytest.raises(NotPermitted):
                decide()
    grant(mine, root)
    for actor in (ada, viewer):
        with pytest.raises(NotPermitted):
            approvals.revoke(approval=mine, actor=actor, reason="Not mine to end")
    assert [one.category for one in in_force(acme)] == ["SX-ADULT"]
    # Taking away needs no second person.
    approvals.revoke(approval=mine, actor=dora, reason="No longer needed")
    assert in_force(acme) == ()


@pytest.mark.edge(17, 22)
@pytest.mark.django_db
def test_nobody_decides_on_their_own_application_under_another_login(acme: Organisation, ada: User, dora: User) -> None:
    conflicts.declare(user=dora, same_person=ada, actor=dora, reason="My login at work")
    theirs = ask(acme, ada)
    with pytest.raises(NotPermitted, match="Whoever applied"):
        grant(theirs, dora)
    assert in_force(acme) == ()


@pytest.mark.django_db
def test_what_was_decided_is_not_decided_again(acme: Organisation, ada: User, dora: User, dirk: User) -> None:
    refused = approvals.refuse(approval=ask(acme, ada), actor=dora, reason="No age check")
    granted = grant(ask(acme, ada), dora)
    over = grant(ask(acme, ada, "PA-SCRAPE"), dora, days=1)
    revoked = approvals.revoke(approval=grant(ask(acme, ada, "PV-DATA"), dora), actor=dora, reason="Withdrawn")
    for approval in (refused, granted, revoked):
        with pytest.raises(IllegalMove):
            grant(approval, dirk)
        with pytest.raises(IllegalMove):
            approvals.refuse(approval=approval, actor=dirk, reason="Again")
    with clock.shifted(86_401):
        for approval in (refused, over, revoked):
            with pytest.raises(IllegalMove):
                approvals.revoke(approval=approval, actor=dirk, reason="Again")
    refused.refresh_from_db()
    assert (refused.decided_by, refused.decision_reason) == (dora, "No age check")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("days", "complaint"),
    [(None, "until when"), (0, "future"), (-1, "future"), (367, "At most 366 days")],
)
def test_a_use_case_is_approved_for_a_bounded_time(
    acme: Organisation, ada: User, dora: User, days: int | None, complaint: str
) -> None:
    asked = ask(acme, ada)
    with pytest.raises(ValidationError, match=complaint):
        grant(asked, dora, days=days)
    with pytest.raises(ValidationError, match="time zone"):
        approvals.approve(approval=asked, ends_at=datetime(2099, 1, 1), actor=dora, reason="No zone")
    with pytest.raises(ValidationError, match="after the start"):
        approvals.approve(
            approval=asked, starts_at=clock.now() + 9 * DAY, ends_at=clock.now() + DAY, actor=dora, reason="Backwards"
        )
    asked.refresh_from_db()
    assert (asked.state, asked.starts_at) == ("requested", None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"kind": "wish"}, "kind"),
        ({"category": None}, "category"),
        ({"purpose": "  "}, "purpose"),
        ({"purpose": "x" * 4001}, "purpose"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"models_allowed": ["no-such-model"]}, "models_allowed"),
        ({"models_allowed": [f"m{number}" for number in range(101)]}, "models_allowed"),
        ({"promises": list(PROMISES)}, "promises"),
        ({"kind": "label_opt_out", "promises": list(PROMISES)}, "category"),
        (
            {"kind": "label_opt_out", "promises": PROMISES, "category": None, "models_allowed": ["mock-gpt"]},
            "models_allowed",
        ),
    ],
)
def test_nonsense_is_not_applied_for(acme: Organisation, ada: User, words: dict[str, object], complaint: str) -> None:
    sound = {"kind": "use_case", "category": desk.category("SX-ADULT"), "purpose": "A novel", "reason": "By a member"}
    with pytest.raises(ValidationError) as refused:
        approvals.request(organisation=acme, actor=ada, **{**sound, **words})
    assert complaint in refused.value.message_dict
    assert not Approval.objects.exists()
    assert not AuditEvent.objects.filter(action="approval.request").exists()


@pytest.mark.django_db
def test_only_a_working_key_of_the_organisation_can_be_bound(
    acme: Organisation, globex: Organisation, ada: User, gus: User, dora: User
) -> None:
    foreign, own = cast.api_key(globex, gus).api_key, cast.api_key(acme, ada).api_key
    with pytest.raises(ValidationError, match="another organisation"):
        ask(acme, ada, api_key=foreign)
    asked = ask(acme, ada, api_key=own)
    APIKey.objects.filter(pk=own.pk).update(revoked_at=clock.now())
    with pytest.raises(ValidationError, match="revoked"):
        grant(Approval.objects.get(pk=asked.pk), dora)


@pytest.mark.django_db
def test_the_same_application_waits_once_and_at_most_twenty_wait(acme: Organisation, ada: User, dora: User) -> None:
    first = ask(acme, ada)
    with pytest.raises(ValidationError, match="waits for a decision already"):
        ask(acme, ada)
    approvals.refuse(approval=first, actor=dora, reason="No age check")
    ask(acme, ada)
    keys = [cast.api_key(acme, ada, f"Key {number}").api_key for number in range(20)]
    for key in keys[:19]:
        ask(acme, ada, api_key=key)
    with pytest.raises(ValidationError, match="20 applications wait"):
        ask(acme, ada, api_key=keys[19])


@pytest.mark.django_db
def test_every_step_is_on_record_and_told_to_those_concerned(acme: Organisation, ada: User, dora: User) -> None:
    approval = grant(ask(acme, ada, address="203.0.113.9"), dora)
    approvals.revoke(approval=approval, actor=dora, reason="Complaints came in")
    told = [(row.action, row.actor, row.reason) for row in AuditEvent.objects.filter(action__startswith="approval.")]
    assert sorted(told, key=lambda row: row[0]) == [
        ("approval.approve", dora, "Age check seen"),
        ("approval.request", ada, "By a member"),
        ("approval.revoke", dora, "Complaints came in"),
    ]
    assert AuditEvent.objects.get(action="approval.request").address == "203.0.113.9"
    assert AuditEvent.objects.get(action="approval.revoke").changes == {"state": ["approved", "revoked"]}
    notices = {notice.kind: notice for notice in Notice.objects.all()}
    assert set(notices) == {"approval.requested", "approval.approved", "approval.revoked"}
    assert (notices["approval.requested"].audience, notices["approval.requested"].organisation) == ("operators", None)
    last = notices["approval.revoked"]
    assert (last.audience, last.organisation, last.body) == ("managers", acme, "Complaints came in")
    assert last.link == "/o/acme/approvals"


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_decides(acme: Organisation, ada: User, dora: User, dirk: User) -> None:
    for code in ("SX-ADULT", "VI-GRAPHIC", "PV-DATA"):
        asked = ask(acme, ada, code)

        def approve(asked: Approval = asked) -> Approval:
            return grant(Approval.objects.get(pk=asked.pk), dora)

        def refuse(asked: Approval = asked) -> Approval:
            return approvals.refuse(approval=Approval.objects.get(pk=asked.pk), actor=dirk, reason="No")

        outcomes = at_once(approve, refuse)
        assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [IllegalMove]
        asked.refresh_from_db()
        assert asked.decided_by == next(one for one in outcomes if isinstance(one, Approval)).decided_by


@pytest.mark.django_db(transaction=True)
def test_of_two_who_apply_for_the_same_at_once_one_waits(acme: Organisation, ada: User) -> None:
    outcomes = at_once(lambda: ask(acme, ada), lambda: ask(acme, ada))
    assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [ValidationError]
    assert Approval.objects.count() == 1


@pytest.mark.req("GW-20", "GW-24")
@pytest.mark.django_db
def test_staff_apply_in_the_admin_and_a_colleague_decides(
    acme: Organisation, ada: User, root: User, dora: User, dirk: User, staff_client: Callable[[User], Client]
) -> None:
    key = cast.api_key(acme, ada, "Novels").api_key
    mine, theirs = staff_client(root), staff_client(dirk)
    sent = {"organisation": acme.pk, "kind": "use_case", "purpose": "purpose-canary"}
    url = pages.add(Approval)
    assert "TE-TERROR" not in pages.text(mine.get(url))
    assert "Say which one" in pages.text(pages.send(mine, url, **sent))
    assert "no key of that name" in pages.text(pages.send(mine, url, **sent, category="SX-ADULT", api_key="No such"))
    assert pages.send(mine, url, **sent, category="TE-TERROR").status_code == 200
    assert not Approval.objects.exists()
    response = pages.send(mine, url, **sent, category="SX-ADULT", api_key="Novels")
    assert response.status_code == 302, pages.text(response)
    made = Approval.objects.get()
    assert (made.state, made.api_key, made.requested_by) == ("requested", key, root)
    # Whoever entered it is offered no decision, and gets none.
    page = pages.text(mine.get(pages.change(made)))
    assert "purpose-canary" in page
    assert pages.act(made, "approve") not in page
    assert "Whoever applied does not decide" in pages.text(pages.send(mine, pages.act(made, "approve")))
    assert pages.act(made, "approve") in pages.text(theirs.get(pages.change(made)))
    assert pages.send(theirs, pages.act(made, "approve"), reason="").status_code == 200
    assert pages.send(theirs, pages.act(made, "approve")).status_code == 302
    made.refresh_from_db()
    assert (made.state, made.decided_by, made.decision_reason) == ("approved", dirk, pages.REASON)
    assert "In force" in pages.text(theirs.get(f"{pages.list_of(Approval)}?standing=in_force"))
    assert pages.send(theirs, pages.act(made, "revoke")).status_code == 302
    assert in_force(acme) == ()
    assert "Revoked" in pages.text(theirs.get(f"{pages.list_of(Approval)}?standing=revoked"))


@pytest.mark.django_db
def test_a_label_opt_out_is_entered_and_refused_in_the_admin(
    acme: Organisation, root: User, dora: User, staff_client: Callable[[User], Client]
) -> None:
    boss = staff_client(root)
    sent = {"organisation": acme.pk, "kind": "label_opt_out", "purpose": "Subtitles"}
    answer = pages.send(boss, pages.add(Approval), **sent, promises=list(PROMISES[:3]))
    assert "Every promise is needed" in pages.text(answer)
    assert pages.send(boss, pages.add(Approval), **sent, promises=list(PROMISES)).status_code == 302
    made = Approval.objects.get()
    assert pages.send(staff_client(dora), pages.act(made, "refuse")).status_code == 302
    made.refresh_from_db()
    assert (made.state, made.promises) == ("refused", list(PROMISES))


@pytest.mark.django_db
def test_the_wrong_staff_are_refused_at_every_page_and_no_field_can_be_posted(
    acme: Organisation, ada: User, root: User, staff_client: Callable[[User], Client]
) -> None:
    asked = ask(acme, ada)
    nobody = staff_client(cast.person("nils", is_staff=True))
    viewer = staff_client(_with_rights("vic", "view_approval"))
    sent = {"reason": pages.REASON, "ends_at_0": "2099-01-01", "ends_at_1": "00:00"}
    for act in ("approve", "refuse", "revoke"):
        for client in (nobody, viewer):
            assert client.get(pages.act(asked, act)).status_code == 403
            assert client.post(pages.act(asked, act), sent).status_code == 403
    assert viewer.get(pages.change(asked)).status_code == 200
    assert viewer.get(pages.add(Approval)).status_code == 403
    assert nobody.get(pages.change(asked)).status_code == 403
    assert staff_client(root).post(pages.change(asked), {"state": "approved", **sent}).status_code == 403
    asked.refresh_from_db()
    assert asked.state == "requested"


@pytest.mark.django_db
def test_an_organisations_page_tells_what_waits_and_what_is_allowed(
    acme: Organisation, ada: User, root: User, dora: User, staff_client: Callable[[User], Client]
) -> None:
    boss = staff_client(root)
    assert "none in force" in pages.text(boss.get(pages.change(acme)))
    granted = grant(ask(acme, ada), dora)
    waiting = ask_label(acme, ada)
    page = pages.text(boss.get(pages.change(acme)))
    assert "SX-ADULT" in page
    assert "Decide: Label opt-out" in page
    assert pages.change(waiting) in page
    assert f"until {granted.ends_at:%Y-%m-%d %H:%M} UTC" in page
