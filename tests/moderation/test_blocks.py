"""Blocklists: every value checked and written one way, felt at once, ended by the clock or by a person."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import AuditEvent, Organisation, User
from channels.models import CatalogueState
from channels.services import catalogue
from moderation import selectors
from moderation.models import BlockEntry
from moderation.services import block_values, blocks
from newapi.kernel import clock
from tests import cast
from tests.admin import pages
from tests.moderation.test_at_once import at_once

HOUR = timedelta(hours=1)


def add(kind: str = "address", value: str = "203.0.113.0/24", **options: object) -> BlockEntry:
    """An entry by a job of the platform, unless somebody is named."""
    words = {"purpose": "abuse", "reason": "Floods of bad requests", "actor": None, **options}
    return blocks.add(kind=kind, value=value, **words)


def in_force() -> list[tuple[str, str]]:
    """What the gateway obeys now."""
    now_ms = clock.now_ms()
    return [(block.kind, block.value) for block in selectors.blocks_in_force() if block.holds_at(now_ms)]


@pytest.fixture
def browse(db: None) -> Callable[..., Client]:
    """Logs staff in who have exactly the rights that are named."""

    def log_in(name: str, *codenames: str) -> Client:
        user = cast.person(name, is_staff=True)
        rights = Permission.objects.filter(codename__in=codenames)
        user.user_permissions.set(rights)
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return log_in


@pytest.mark.req("GW-13")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "typed", "kept"),
    [
        ("address", "203.0.113.7", "203.0.113.7/32"),
        ("address", " 203.0.113.7/24 ", "203.0.113.0/24"),
        ("address", "10.0.0.0/8", "10.0.0.0/8"),
        ("address", "2001:DB8::/32", "2001:db8::/32"),
        ("address", "2000::/16", "2000::/16"),
        ("address", "::ffff:203.0.113.0/120", "203.0.113.0/24"),
        ("asn", "64500", "64500"),
        ("asn", "as64500", "64500"),
        ("asn", "4294967294", "4294967294"),
        ("country", "kp", "KP"),
        ("country", "XK", "XK"),
        ("user_agent", "  Evil-Crawler/2  ", "evil-crawler/2"),
        ("phrase", "How  to\nBUILD", "how to build"),
        ("phrase", "STRASSE", "strasse"),
        ("phrase", "straße", "strasse"),
    ],
)
def test_a_value_is_kept_one_way_however_it_was_typed(kind: str, typed: str, kept: str) -> None:
    entry = add(kind, typed)
    assert entry.value == kept
    assert in_force() == [(kind, kept)]
    with pytest.raises(ValidationError, match="already"):
        add(kind, kept)


@pytest.mark.req("GW-13")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        ("address", "0.0.0.0/0"),
        ("address", "::/0"),
        ("address", "10.0.0.0/7"),
        ("address", "2000::/15"),
        ("address", "::ffff:0:0/96"),
        ("address", "example.com"),
        ("address", "10.0.0.0/33"),
        ("address", ""),
        ("asn", "0"),
        ("asn", "-1"),
        ("asn", "4294967295"),
        ("asn", "AS"),
        ("asn", "064500"),
        ("asn", "٣"),
        ("country", "XX"),
        ("country", "UK"),
        ("country", "PRK"),
        ("country", ""),
        ("user_agent", "bot"),
        ("user_agent", " a b  "),
        ("phrase", "the"),
        ("phrase", "x" * 201),
        ("api_key", "999999"),
        ("api_key", "x"),
        ("api_key", "9" * 30),
        ("organisation", "999999"),
        ("organisation", "0"),
        ("wish", "203.0.113.7"),
    ],
)
def test_what_would_match_nothing_or_nearly_everything_is_refused(kind: str, typed: str) -> None:
    before = catalogue.current_version()
    with pytest.raises(ValidationError):
        add(kind, typed)
    assert not BlockEntry.objects.exists()
    assert not AuditEvent.objects.filter(action="block.add").exists()
    assert catalogue.current_version() == before


@pytest.mark.req("GW-33")
@pytest.mark.django_db
def test_a_sanctioned_country_is_listed_by_any_code_of_iso_3166() -> None:
    assert len(block_values.countries()) >= 249
    for code in ("KP", "IR", "SY", "CU", "RU", "BY"):
        add("country", code, purpose="sanctions", reason="Export control")
    assert {block.purpose for block in selectors.blocks_in_force()} == {"sanctions"}
    assert len(in_force()) == 6


@pytest.mark.req("GW-13")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"purpose": ""}, "purpose"),
        ({"purpose": "spite"}, "purpose"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
        ({"expires_at": datetime(2099, 1, 1)}, "expires_at"),
        ({"address": "203.0.113.200"}, "value"),
        ({"address": "::ffff:203.0.113.200"}, "value"),
    ],
    ids=["no-purpose", "unknown-purpose", "no-reason", "long-reason", "past", "naive", "own", "own-mapped"],
)
def test_an_entry_needs_purpose_reason_a_coming_end_and_spares_its_author(
    root: User, words: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        add(actor=root, **words)
    assert complaint in refused.value.message_dict
    assert not BlockEntry.objects.exists()


@pytest.mark.req("GW-13")
@pytest.mark.django_db
def test_an_entry_expires_by_the_clock_with_no_job_running(root: User) -> None:
    end = clock.now() + HOUR
    entry = add(expires_at=end, actor=root, address="198.51.100.1")
    [block] = selectors.blocks_in_force()
    # The same object, held by a worker that hears of nothing more.
    assert block.holds_at(clock.to_ms(end) - 1)
    assert not block.holds_at(clock.to_ms(end))
    assert (block.id, block.purpose, block.organisation_id) == (entry.pk, "abuse", None)
    with clock.shifted(3601):
        assert selectors.blocks_in_force() == ()
        assert add().value == entry.value  # what is over stands in nobody's way
    row = AuditEvent.objects.filter(action="block.add").earliest("pk")
    assert (row.actor, row.reason, row.address) == (root, "Floods of bad requests", "198.51.100.1")


@pytest.mark.req("GW-13")
@pytest.mark.django_db
def test_adding_and_withdrawing_raise_the_catalogues_version_which_every_worker_asks_for(root: User) -> None:
    entry, other = add(), add("country", "KP")
    before = catalogue.current_version()
    assert blocks.withdraw(entry=BlockEntry.objects.get(pk=entry.pk), actor=root, reason="Mistaken")
    assert catalogue.current_version() > before
    assert in_force() == [("country", "KP")]
    after = catalogue.current_version()
    assert not blocks.withdraw(entry=entry, actor=root, reason="Again")
    with pytest.raises(ValidationError, match="reason"):
        blocks.withdraw(entry=other, actor=root, reason="")
    assert catalogue.current_version() == after
    with clock.shifted(1):
        add("country", "IR")
    assert catalogue.current_version() > after
    entry.refresh_from_db()
    assert entry.withdrawn_by == root
    assert AuditEvent.objects.filter(action="block.withdraw", reason="Mistaken").count() == 1


@pytest.mark.django_db
def test_an_expired_entry_is_not_withdrawn(root: User) -> None:
    entry = add(expires_at=clock.now() + HOUR)
    with clock.shifted(3601):
        assert not blocks.withdraw(entry=entry, actor=root, reason="Over anyway")


@pytest.mark.req("GW-13")
@pytest.mark.django_db
def test_an_entry_may_be_for_the_calls_of_one_organisation(acme: Organisation, globex: Organisation, ada: User) -> None:
    add(organisation=acme)
    add(organisation=globex)
    add()
    with pytest.raises(ValidationError, match="already"):
        add(organisation=acme)
    assert [block.organisation_id for block in selectors.blocks_in_force()] == [acme.pk, globex.pk, None]
    key = cast.api_key(acme, ada).api_key
    for kind, pk in (("api_key", key.pk), ("organisation", acme.pk)):
        with pytest.raises(ValidationError, match="already"):
            add(kind, str(pk), organisation=globex)
        assert add(kind, str(pk)).value == str(pk)


@pytest.mark.django_db
def test_the_gateway_holds_the_oldest_entries_up_to_a_bound_and_more_are_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(selectors, "BLOCKS_MAX", 3)
    monkeypatch.setattr(blocks, "BLOCKS_MAX", 3)
    for number in range(3):
        add("asn", str(64500 + number))
    assert "not obeyed" not in caplog.text
    with pytest.raises(ValidationError, match="3 entries in force"):
        add("asn", "64510")
    BlockEntry.objects.create(kind="asn", value="64511", purpose="abuse", reason="Put in by hand")
    assert [value for _, value in in_force()] == ["64500", "64501", "64502"]
    assert "more than 3 blocklist entries" in caplog.text


@pytest.mark.django_db
def test_no_more_phrases_are_taken_than_each_call_can_be_tried_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "PHRASES_MAX", 2)
    add("phrase", "first phrase")
    second = add("phrase", "second phrase")
    with pytest.raises(ValidationError, match="2 phrases in force"):
        add("phrase", "third phrase")
    add("asn", "64500")
    blocks.withdraw(entry=second, actor=None, reason="Room for another")
    add("phrase", "third phrase")


@pytest.mark.django_db
def test_the_database_itself_refuses_an_end_before_the_beginning() -> None:
    now = clock.now()
    with pytest.raises(IntegrityError), transaction.atomic():
        BlockEntry.objects.create(
            kind="asn", value="1", purpose="abuse", reason="x", created_at=now, expires_at=now - HOUR
        )


@pytest.mark.django_db(transaction=True)
def test_of_two_who_block_the_same_at_once_one_is_told(root: User) -> None:
    if not CatalogueState.objects.exists():
        catalogue.bump()
    for number in range(5):
        value = str(64500 + number)
        outcomes = at_once(lambda value=value: add("asn", value), lambda value=value: add("asn", value))
        assert [type(one) for one in outcomes if isinstance(one, Exception)] == [ValidationError]
        assert BlockEntry.objects.filter(value=value).count() == 1


@pytest.mark.req("GW-13")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "field", "typed", "kept"),
    [
        ("address", "addresses", "203.0.113.9/24", "203.0.113.0/24"),
        ("asn", "network", "AS64500", "64500"),
        ("country", "country", "kp", "KP"),
        ("user_agent", "user_agent", "Evil-Crawler", "evil-crawler"),
        ("phrase", "phrase", "Forbidden Words", "forbidden words"),
    ],
)
def test_entries_are_added_and_withdrawn_in_the_admin(
    root: User, browse: Callable[..., Client], kind: str, field: str, typed: str, kept: str
) -> None:
    boss = browse("bea", "view_blockentry", "add_blockentry", "change_blockentry", "view_organisation")
    url = pages.add(BlockEntry)
    assert "Say which one" in pages.text(pages.send(boss, url, kind=kind, purpose="abuse"))
    assert "This field is required" in pages.text(pages.send(boss, url, kind=kind, **{field: typed}))
    assert pages.send(boss, url, kind=kind, purpose="abuse", **{field: typed}, reason="").status_code == 200
    assert not BlockEntry.objects.exists()
    response = pages.send(boss, url, kind=kind, purpose="abuse", **{field: typed})
    assert response.status_code == 302, pages.text(response)
    entry = BlockEntry.objects.get()
    assert (entry.value, entry.reason, entry.created_by.name) == (kept, pages.REASON, "Bea")
    listed = pages.text(boss.get(f"{pages.list_of(BlockEntry)}?state=in_force"))
    assert kept in listed
    assert "In force" in listed
    assert pages.act(entry, "withdraw") in pages.text(boss.get(pages.change(entry)))
    assert pages.send(boss, pages.act(entry, "withdraw")).status_code == 302
    assert in_force() == []
    assert "It was over already" in pages.text(pages.send(boss, pages.act(entry, "withdraw")))
    assert pages.act(entry, "withdraw") not in pages.text(boss.get(pages.change(entry)))
    assert "Withdrawn" in pages.text(boss.get(f"{pages.list_of(BlockEntry)}?state=over"))


@pytest.mark.req("GW-13")
@pytest.mark.django_db
def test_keys_and_organisations_are_blocked_by_name_in_the_admin(
    acme: Organisation, ada: User, browse: Callable[..., Client]
) -> None:
    key = cast.api_key(acme, ada, "Leaked").api_key
    boss = browse("bea", "view_blockentry", "add_blockentry", "view_organisation")
    url = pages.add(BlockEntry)
    sent = {"purpose": "security"}
    assert "Say whose key" in pages.text(pages.send(boss, url, kind="api_key", api_key="Leaked", **sent))
    told = {"kind": "api_key", "subject": acme.pk, **sent}
    assert "no key of that name" in pages.text(pages.send(boss, url, **told, api_key="No such"))
    assert pages.send(boss, url, **told, api_key=key.hint).status_code == 302
    assert pages.send(boss, url, kind="organisation", subject=acme.pk, **sent).status_code == 302
    assert in_force() == [("api_key", str(key.pk)), ("organisation", str(acme.pk))]
    entry = BlockEntry.objects.get(kind="api_key")
    assert "Leaked" in pages.text(boss.get(pages.change(entry)))


@pytest.mark.req("GW-13")
@pytest.mark.django_db
def test_a_range_with_the_admins_own_address_is_a_typing_error(browse: Callable[..., Client]) -> None:
    boss = browse("bea", "view_blockentry", "add_blockentry", "view_organisation")
    answer = pages.send(boss, pages.add(BlockEntry), kind="address", purpose="abuse", addresses="127.0.0.0/8")
    assert "contains your own address" in pages.text(answer)
    assert not BlockEntry.objects.exists()


@pytest.mark.django_db
def test_the_wrong_staff_neither_block_nor_withdraw(browse: Callable[..., Client]) -> None:
    entry = add()
    nobody, viewer = browse("nils"), browse("vic", "view_blockentry")
    sent = {"kind": "country", "country": "KP", "purpose": "abuse", "reason": pages.REASON}
    for client in (nobody, viewer):
        assert client.get(pages.add(BlockEntry)).status_code == 403
        assert client.post(pages.add(BlockEntry), sent).status_code == 403
        assert client.post(pages.act(entry, "withdraw"), sent).status_code == 403
        assert client.post(pages.change(entry), {"value": "0.0.0.0/0", **sent}).status_code == 403
    assert nobody.get(pages.list_of(BlockEntry)).status_code == 403
    assert viewer.get(pages.list_of(BlockEntry)).status_code == 200
    assert in_force() == [("address", "203.0.113.0/24")]
