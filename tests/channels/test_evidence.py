"""Authorisation evidence: two people, one day at a time, and no channel without."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.test import Client, override_settings

from accounts.models import AuditEvent, User
from channels import access
from channels.admin import governance_forms
from channels.governance import State, authorised_windows, in_words, state_of
from channels.models import AuthorisationEvidence, Channel
from channels.services import catalogue, evidence
from newapi.kernel import clock
from tests import cast
from tests.admin import pages

DOCUMENT = b"%PDF contract number 4711"


@pytest.fixture
def bare(db: None) -> Channel:
    """A channel that was saved before it has any evidence."""
    return cast.channel("Bare", evidence=False, status=Channel.Status.DISABLED)


@pytest.fixture
def clerk(db: None) -> Callable[..., Client]:
    """Logs in a person of the staff with these rights in the channels app."""

    def log_in(name: str, *rights: str) -> Client:
        user = cast.person(name, is_staff=True)
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="channels", codename__in=rights))
        return entered(user)

    return log_in


def entered(user: User) -> Client:
    """A browser in which a person is logged in."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def form(channel: Channel | None, **fields: object) -> dict[str, object]:
    """What the page for new evidence sends."""
    return {
        "channel": channel.pk if channel else "",
        "service": "",
        "kind": "enterprise_contract",
        "legal_owner": "Platform Inc.",
        "document_name": "",
        "document_sha256": "",
        "valid_from": "2026-01-01",
        "valid_until": "",
        "reason": pages.REASON,
        **fields,
    }


def is_open(channel: Channel, moment: datetime) -> bool:
    """Whether calls may go to a channel at a moment, as far as evidence is concerned."""
    windows = authorised_windows().get(channel.pk, ())
    return access.in_window(windows, clock.to_ms(moment))


@pytest.mark.req("CHN-01")
def test_a_channel_cannot_be_enabled_until_its_evidence_is_approved(bare: Channel, root: User) -> None:
    bare.status = Channel.Status.ENABLED
    with pytest.raises(ValidationError, match="No approved authorisation evidence is in force"):
        evidence.check_may_enable(bare)
    waiting = cast.evidence(channel=bare)
    with pytest.raises(ValidationError, match="No approved"):
        evidence.check_may_enable(bare)
    evidence.approve(evidence=waiting, actor=root, reason="Seen")
    evidence.check_may_enable(bare)


@pytest.mark.req("CHN-01")
def test_a_new_channel_starts_disabled_and_one_that_is_enabled_can_still_be_edited(bare: Channel) -> None:
    with pytest.raises(ValidationError, match="Save it disabled"):
        evidence.check_may_enable(Channel(name="New", account=bare.account))
    evidence.check_may_enable(Channel(name="New", account=bare.account, status=Channel.Status.DISABLED))
    Channel.objects.filter(pk=bare.pk).update(status=Channel.Status.ENABLED)
    bare.refresh_from_db()
    evidence.check_may_enable(bare)


def test_a_deployer_may_do_without_evidence(bare: Channel) -> None:
    bare.status = Channel.Status.ENABLED
    with override_settings(CHANNEL_EVIDENCE_REQUIRED=False):
        evidence.check_may_enable(bare)
        evidence.require(service="stripe")


@pytest.mark.req("CHN-01")
def test_evidence_that_begins_later_enables_nothing_yet(bare: Channel, root: User) -> None:
    tomorrow = clock.today() + timedelta(days=1)
    cast.approved_evidence(channel=bare, valid_from=tomorrow)
    bare.status = Channel.Status.ENABLED
    with pytest.raises(ValidationError, match="No approved"):
        evidence.check_may_enable(bare)
    with clock.shifted(86_400):
        evidence.check_may_enable(bare)


@pytest.mark.req("CHN-01")
def test_nobody_approves_what_they_handed_in_and_no_job_approves(bare: Channel, ada: User, root: User) -> None:
    piece = cast.evidence(channel=bare, actor=root)
    with pytest.raises(ValidationError, match="Somebody else has to approve"):
        evidence.approve(evidence=piece, actor=root, reason="Quick")
    with pytest.raises(ValidationError, match="A person has to approve"):
        evidence.approve(evidence=piece, actor=None, reason="Quick")
    with pytest.raises(IntegrityError), transaction.atomic():
        AuthorisationEvidence.objects.update(approved_by=root, approved_at=clock.now())
    assert authorised_windows() == {}
    evidence.approve(evidence=piece, actor=ada, reason="Seen")
    assert list(authorised_windows()) == [bare.pk]


@pytest.mark.req("CHN-02")
def test_a_window_opens_with_its_first_day_and_closes_after_its_last(bare: Channel) -> None:
    first, last = clock.today() + timedelta(days=10), clock.today() + timedelta(days=12)
    cast.approved_evidence(channel=bare, valid_from=first, valid_until=last)
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    end = begin + timedelta(days=3)
    moment = timedelta(milliseconds=1)
    assert [is_open(bare, at) for at in (begin - moment, begin, end - moment, end)] == [False, True, True, False]
    with clock.at(end - timedelta(seconds=5)):
        assert authorised_windows() == {bare.pk: ((clock.to_ms(begin), clock.to_ms(end)),)}
    with clock.at(end):
        assert authorised_windows() == {}


def test_pieces_add_up_and_only_what_counts_is_told(bare: Channel, root: User) -> None:
    today = clock.today()
    cast.approved_evidence(channel=bare, valid_from=today + timedelta(days=30))
    cast.approved_evidence(channel=bare, valid_from=date(2025, 1, 1), valid_until=today + timedelta(days=9))
    cast.evidence(channel=bare)
    gone = cast.approved_evidence(channel=bare)
    evidence.withdraw(evidence=gone, actor=root, reason="Cancelled")
    cast.approved_evidence(service="stripe")
    noon = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
    ((_, gap), (again, end)) = authorised_windows()[bare.pk]
    assert gap is not None
    assert (end, again - gap) == (None, 20 * 86_400_000)
    assert [is_open(bare, noon + timedelta(days=days)) for days in (0, 9, 10, 29, 30)] == [
        True,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.req("CHN-01")
def test_withdrawn_evidence_ends_now_for_good_and_is_announced_to_every_worker(
    mock_channel: Channel, root: User
) -> None:
    piece = mock_channel.evidence.get()
    version = catalogue.current_version()
    evidence.withdraw(evidence=piece, actor=root, reason="Contract cancelled")
    assert authorised_windows() == {}
    assert catalogue.current_version() > version
    for again in (evidence.withdraw, evidence.approve):
        with pytest.raises(ValidationError):
            again(evidence=piece, actor=root, reason="Once more")
    assert authorised_windows() == {}


@pytest.mark.req("CHN-01")
def test_approval_is_announced_once_and_on_record(bare: Channel, root: User, ada: User) -> None:
    piece = cast.evidence(channel=bare, actor=ada, reason="The new contract")
    version = catalogue.current_version()
    evidence.approve(evidence=piece, actor=root, reason="Compared with the original", address="192.0.2.7")
    assert catalogue.current_version() > version
    with pytest.raises(ValidationError, match="not waiting"):
        evidence.approve(evidence=piece, actor=root, reason="Again")
    rows = AuditEvent.objects.filter(object_type="channels.authorisationevidence").order_by("pk")
    assert [(row.action, row.actor, row.reason) for row in rows] == [
        ("authorisation_evidence.submit", ada, "The new contract"),
        ("authorisation_evidence.approve", root, "Compared with the original"),
    ]
    assert rows[0].changes["document_sha256"] == [None, "a1" * 32]


def test_what_has_ended_while_it_waited_cannot_be_approved(bare: Channel, root: User) -> None:
    piece = cast.evidence(channel=bare, valid_until=clock.today())
    with clock.shifted(86_400), pytest.raises(ValidationError, match="It ended on"):
        evidence.approve(evidence=piece, actor=root, reason="Late")


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"channel": None}, "Choose a channel"),
        ({"service": "stripe"}, "not both"),
        ({"valid_until": date(2019, 1, 1)}, "ends before it begins"),
        ({"valid_until": date(2020, 1, 2)}, "ended already"),
        ({"document_sha256": "a1"}, "64 hexadecimal digits"),
        ({"document_name": " "}, "cannot be blank"),
        ({"kind": "hearsay"}, "not a valid choice"),
        ({"legal_owner": ""}, "cannot be blank"),
    ],
)
def test_what_proves_nothing_is_refused(bare: Channel, wrong: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        cast.evidence(**{"channel": bare, **wrong})
    assert not AuthorisationEvidence.objects.exists()
    assert not AuditEvent.objects.filter(action__startswith="authorisation").exists()


@pytest.mark.req("CHN-07")
def test_another_partys_service_needs_evidence_of_its_own(mock_channel: Channel, root: User) -> None:
    with pytest.raises(ValidationError, match="service “stripe”"):
        evidence.require(service="stripe")
    piece = cast.evidence(service="stripe", valid_until=clock.today())
    cast.approved_evidence(service="adyen")
    with pytest.raises(ValidationError):
        evidence.require(service="stripe")
    evidence.approve(evidence=piece, actor=root, reason="Seen")
    evidence.require(service="stripe")
    with clock.shifted(86_400), pytest.raises(ValidationError):
        evidence.require(service="stripe")


def test_states_are_what_the_words_and_the_filter_say(bare: Channel, root: User) -> None:
    today = clock.today()
    pieces = {
        State.WAITING: cast.evidence(channel=bare),
        State.TO_COME: cast.approved_evidence(channel=bare, valid_from=today + timedelta(days=1)),
        State.IN_FORCE: cast.approved_evidence(channel=bare, valid_until=today + timedelta(days=30)),
        State.ENDING: cast.approved_evidence(channel=bare, valid_until=today + timedelta(days=29)),
        State.ENDED: cast.approved_evidence(channel=bare, valid_until=today),
        State.WITHDRAWN: cast.approved_evidence(channel=bare),
    }
    evidence.withdraw(evidence=pieces[State.WITHDRAWN], actor=root, reason="Cancelled")
    AuthorisationEvidence.objects.filter(pk=pieces[State.ENDED].pk).update(valid_until=today - timedelta(days=1))
    client = entered(root)
    for state, piece in pieces.items():
        piece.refresh_from_db()
        assert state_of(piece, today) is state
        page = pages.text(client.get(pages.list_of(AuthorisationEvidence), {"state": state.name.lower()}))
        shown = [other for other in pieces.values() if pages.change(other) in page]
        assert shown == [piece], state
        assert in_words(piece, today) in page
    assert in_words(pieces[State.ENDING], today) == "In force, ends in 30 days"


# At the pages


@pytest.mark.req("CHN-01")
def test_one_hands_in_a_file_and_another_approves_it(bare: Channel, clerk: Callable[..., Client]) -> None:
    carla = clerk("carla", "view_authorisationevidence", "add_authorisationevidence", "view_channel")
    file = SimpleUploadedFile("contract.pdf", DOCUMENT)
    assert carla.post(pages.add(AuthorisationEvidence), form(bare, document=file)).status_code == 302
    piece = AuthorisationEvidence.objects.get()
    assert (piece.document_name, piece.document_sha256) == ("contract.pdf", sha256(DOCUMENT).hexdigest())
    assert (piece.submitted_by.email, piece.approved_by) == ("carla@example.com", None)
    page = pages.text(carla.get(pages.change(piece)))
    assert "Waiting for approval" in page
    grouped = re.search("(?:[0-9a-f]{8} ){7}[0-9a-f]{8}", page)
    assert grouped is not None
    assert grouped[0].replace(" ", "") == piece.document_sha256
    assert pages.change(piece) in pages.text(carla.get(pages.list_of(AuthorisationEvidence), {"q": grouped[0]}))
    assert carla.post(pages.act(piece, "approve"), {"reason": pages.REASON}).status_code == 403

    dora = clerk("dora", "view_authorisationevidence", "change_authorisationevidence")
    asked = pages.text(dora.get(pages.act(piece, "approve")))
    assert piece.document_sha256 in asked.replace(" ", "")
    assert "carla@example.com" in asked
    assert pages.send(dora, pages.act(piece, "approve"), reason="").status_code == 200
    assert authorised_windows() == {}
    answer = dora.post(pages.act(piece, "approve"), {"reason": pages.REASON}, follow=True)
    assert "Approved. In force, without an end." in pages.text(answer)
    assert list(authorised_windows()) == [bare.pk]
    told = AuditEvent.objects.get(action="authorisation_evidence.approve")
    assert (told.actor.email, told.reason) == ("dora@example.com", pages.REASON)


@pytest.mark.req("CHN-01")
def test_a_superuser_cannot_approve_what_they_handed_in(bare: Channel, root: User) -> None:
    boss = entered(root)
    boss.post(pages.add(AuthorisationEvidence), form(bare, document=SimpleUploadedFile("a.pdf", DOCUMENT)))
    piece = AuthorisationEvidence.objects.get()
    answer = boss.post(pages.act(piece, "approve"), {"reason": pages.REASON})
    assert "Somebody else has to approve it" in pages.text(answer)
    piece.refresh_from_db()
    assert piece.approved_at is None


@pytest.mark.req("CHN-01")
def test_evidence_is_withdrawn_with_a_reason_and_never_edited_or_deleted(mock_channel: Channel, root: User) -> None:
    piece = mock_channel.evidence.get()
    boss = entered(root)
    assert boss.post(pages.change(piece), form(mock_channel, legal_owner="Mallory")).status_code == 403
    assert boss.post(pages.delete(piece), {"reason": pages.REASON}).status_code == 403
    assert boss.post(pages.act(piece, "withdraw"), {"reason": ""}).status_code == 200
    assert authorised_windows() != {}
    boss.post(pages.act(piece, "withdraw"), {"reason": "Contract cancelled"})
    piece.refresh_from_db()
    assert (piece.withdrawn_by, piece.legal_owner) == (root, "Platform Inc.")
    assert AuditEvent.objects.get(action="authorisation_evidence.withdraw").reason == "Contract cancelled"
    page = pages.text(boss.get(pages.change(piece)))
    assert pages.act(piece, "withdraw") not in page
    assert pages.act(piece, "approve") not in page


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        ({}, "Pick the document, or type its fingerprint"),
        ({"document_sha256": "a1" * 32}, "Name the document."),
        ({"document_sha256": "xyz", "document_name": "a.pdf"}, "64 hexadecimal digits."),
        (
            {"document": SimpleUploadedFile("a.pdf", DOCUMENT), "document_sha256": "a1" * 32},
            f"has another fingerprint: {sha256(DOCUMENT).hexdigest()}",
        ),
        ({"document_sha256": "a1" * 32, "document_name": "a.pdf", "service": "stripe"}, "not both"),
        ({"document_sha256": "a1" * 32, "document_name": "a.pdf", "channel": ""}, "Choose a channel"),
        ({"document_sha256": "a1" * 32, "document_name": "a.pdf", "valid_until": "2025-01-01"}, "before it begins"),
        ({"document_sha256": "a1" * 32, "document_name": "a.pdf", "reason": ""}, "This field is required"),
    ],
)
def test_the_form_says_what_is_wrong_and_keeps_nothing(
    bare: Channel, root: User, sent: dict[str, object], complaint: str
) -> None:
    answer = entered(root).post(pages.add(AuthorisationEvidence), {**form(bare), **sent})
    assert answer.status_code == 200
    assert complaint in pages.text(answer)
    assert not AuthorisationEvidence.objects.exists()


def test_a_fingerprint_can_be_typed_in_capitals(bare: Channel, root: User) -> None:
    typed = {"document_sha256": "A1" * 32, "document_name": "Contract 4711"}
    assert entered(root).post(pages.add(AuthorisationEvidence), form(bare, **typed)).status_code == 302
    assert AuthorisationEvidence.objects.get().document_sha256 == "a1" * 32


def test_a_document_that_is_too_large_is_not_read(bare: Channel, root: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(governance_forms, "DOCUMENT_BYTES_MAX", len(DOCUMENT) - 1)
    sent = form(bare, document=SimpleUploadedFile("a.pdf", DOCUMENT))
    assert "larger than 20 MB" in pages.text(entered(root).post(pages.add(AuthorisationEvidence), sent))
    assert not AuthorisationEvidence.objects.exists()


@pytest.mark.req("CHN-01")
def test_a_channels_page_says_by_what_right_it_is_used(bare: Channel, root: User, clerk: Callable[..., Client]) -> None:
    boss = entered(root)

    def page() -> str:
        return pages.text(boss.get(pages.change(bare)))

    assert "nobody has handed in evidence" in page()
    assert f"{pages.add(AuthorisationEvidence)}?channel={bare.pk}" in page()
    piece = cast.evidence(channel=bare)
    assert "waits for somebody else’s approval" in page()
    assert pages.change(piece) in page()
    evidence.approve(evidence=piece, actor=root, reason="Seen")
    assert "In force, without an end" in page()
    assert "No call goes here, because" not in page().partition("Authorisation")[2].partition("</section>")[0]
    blind = clerk("carla", "view_channel")
    assert "contract.pdf" not in pages.text(blind.get(pages.change(bare)))


def test_the_link_on_a_channels_page_fills_in_the_channel(bare: Channel, root: User) -> None:
    shown = pages.fields(entered(root), f"{pages.add(AuthorisationEvidence)}?channel={bare.pk}")
    assert shown["channel"] == str(bare.pk)
