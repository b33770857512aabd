"""Price lists: seen before they are published, published once and together, dearer only after their notice."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError

from accounts.models import AuditEvent, User
from billing.models import PriceImport, PriceImportRow, PriceVersion
from billing.services import imports, prices
from channels.models import Channel, Model, ModelAlias
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast

pytestmark = pytest.mark.django_db

CHAT = {"input_cost_per_token": 2e-6, "output_cost_per_token": 8e-6, "mode": "chat"}


def listed(**entries: dict[str, Any]) -> bytes:
    """A list; underscores in names become hyphens."""
    return json.dumps({name.replace("_", "-"): entry for name, entry in entries.items()}).encode()


def read(data: bytes, actor: User | None = None, **settings: Any) -> PriceImport:
    settings = {"currency": "USD", "name": "map.json", **settings}
    return imports.read(data=data, actor=actor, reason="Test set-up", **settings)


def publish(of: PriceImport) -> list[PriceVersion]:
    return imports.publish(of=of, actor=None, reason="Looked at")


def verdicts(of: PriceImport) -> dict[str, str]:
    return dict(of.rows.values_list("listed_name", "verdict"))


def current(model: Model) -> PriceVersion:
    return model.prices.filter(effective_from__lte=clock.now(), region="").latest("effective_from")


@pytest.fixture
def models(mock_channel: Channel) -> dict[str, Model]:
    """Priced at 2 and 8, as `same` in the lists; and one without a price."""
    made = {name: cast.model(name, on=mock_channel) for name in ("same", "cheaper", "dearer", "broken", "gratis")}
    return made | {"new": cast.model("new", on=mock_channel, priced=False)}


LIST = listed(
    same=CHAT,
    cheaper={**CHAT, "input_cost_per_token": 1.25e-7},
    dearer={**CHAT, "output_cost_per_token": 9e-6, "unheard_of_cost": 1},
    broken={**CHAT, "input_cost_per_token": -1},
    gratis={"input_cost_per_token": 0, "output_cost_per_token": 0},
    new={**CHAT, "cache_read_input_token_cost": 5.46875e-7, "input_cost_per_token_batches": 1e-6},
    elsewhere=CHAT,
)


@pytest.mark.req("BIL-08")
def test_a_list_is_read_into_verdicts_and_nothing_is_published(models: dict[str, Model], root: User) -> None:
    before = PriceVersion.objects.count()
    made = read(LIST, root)
    assert verdicts(made) == {
        "same": "same",
        "cheaper": "changed",
        "dearer": "changed",
        "broken": "refused",
        "gratis": "refused",
        "new": "new",
        "elsewhere": "unknown",
    }
    assert set(imports.chosen_rows(made).values_list("listed_name", flat=True)) == {"cheaper", "dearer", "new"}
    assert made.rows.get(listed_name="broken").warnings == ["“input_cost_per_token” is negative."]
    assert "unheard_of_cost" in made.rows.get(listed_name="dearer").warnings[0]
    assert PriceVersion.objects.count() == before
    event = AuditEvent.objects.get(action="price_import.read")
    assert (event.actor, event.reason, event.changes["sha256"][1]) == (root, "Test set-up", made.sha256)


@pytest.mark.req("BIL-08")
def test_what_is_chosen_is_published_to_the_last_digit(models: dict[str, Model], root: User) -> None:
    made = read(LIST)
    published = imports.publish(of=made, actor=root, reason="Looked at")
    assert {version.model.name for version in published} == {"cheaper", "dearer", "new"}
    assert current(models["cheaper"]).input_nano == 125_000_000
    new = current(models["new"])
    assert (new.input_nano, new.cached_input_nano, new.per_units) == (2 * NANO, 546_875_000, 1_000_000)
    assert [(tier["service"], tier["rates"]["input"]) for tier in new.tiers] == [("batch", NANO)]
    assert made.rows.get(listed_name="new").version == new
    made.refresh_from_db()
    assert made.state == "published"
    audited = AuditEvent.objects.filter(action="price.publish", actor=root, reason="Looked at")
    assert audited.count() == 3


@pytest.mark.req("BIL-09")
def test_a_dearer_price_waits_for_its_notice_and_a_cheaper_one_does_not(
    models: dict[str, Model], settings: LazySettings
) -> None:
    settings.PRICE_NOTICE_DAYS = 14
    publish(read(LIST))
    assert current(models["cheaper"]).output_nano == 8 * NANO
    assert current(models["cheaper"]).input_nano == 125_000_000
    assert current(models["dearer"]).output_nano == 8 * NANO
    dearer = models["dearer"].prices.latest("effective_from")
    assert dearer.output_nano == 9 * NANO
    ahead = dearer.effective_from - clock.now()
    assert timedelta(days=14) - timedelta(seconds=5) < ahead < timedelta(days=14, minutes=3)


@pytest.mark.req("BIL-08")
def test_the_same_list_again_is_nothing_to_do(models: dict[str, Model]) -> None:
    publish(read(LIST))
    again = read(LIST)
    assert {verdict for name, verdict in verdicts(again).items() if name in ("same", "cheaper", "dearer", "new")} == {
        "same"
    }
    assert not imports.chosen_rows(again).exists()
    with pytest.raises(ValidationError, match="Nothing is chosen"):
        publish(again)
    again.refresh_from_db()
    assert again.state == "preview"


def test_a_price_to_come_is_scheduled_and_not_earlier_than_asked(models: dict[str, Model]) -> None:
    when = clock.now() + timedelta(days=30)
    publish(read(LIST, effective_from=when))
    for name in ("cheaper", "dearer"):
        assert models[name].prices.latest("effective_from").effective_from == when
    with pytest.raises(ValidationError, match="never applies to the past"):
        read(LIST, effective_from=clock.now() - timedelta(seconds=1))


def test_the_markup_is_in_every_amount(models: dict[str, Model]) -> None:
    made = read(listed(new={**CHAT, "input_cost_per_audio_token": 4e-5}), markup_ppm=-125_000)
    publish(made)
    new = current(models["new"])
    assert (new.input_nano, new.output_nano, new.extra_rates) == (
        1_750_000_000,
        7 * NANO,
        {"input_audio": 35 * NANO},
    )
    with pytest.raises(ValidationError, match="markup"):
        read(LIST, markup_ppm=10_000_001)


def test_zero_is_free_only_when_it_is_chosen_on_purpose(models: dict[str, Model]) -> None:
    made = read(LIST)
    gratis = made.rows.get(listed_name="gratis")
    imports.choose_all(of=made, is_chosen=True)
    gratis.refresh_from_db()
    assert not gratis.is_chosen
    assert "only if the model is to be free" in gratis.warnings[0]
    imports.choose(of=made, shown=[gratis.pk], chosen=[gratis.pk])
    publish(made)
    assert current(models["gratis"]).is_free


def test_only_what_can_be_published_can_be_chosen(models: dict[str, Model]) -> None:
    made = read(LIST)
    every = list(made.rows.values_list("pk", flat=True))
    imports.choose(of=made, shown=every, chosen=every)
    chosen = set(imports.chosen_rows(made).values_list("listed_name", flat=True))
    assert chosen == {"cheaper", "dearer", "new", "gratis"}
    imports.choose(of=made, shown=every, chosen=[])
    assert not imports.chosen_rows(made).exists()


def test_rows_of_another_list_are_not_chosen_by_their_ids(models: dict[str, Model]) -> None:
    mine, other = read(LIST), read(LIST)
    imports.choose_all(of=other, is_chosen=False)
    ids = list(other.rows.values_list("pk", flat=True))
    imports.choose(of=mine, shown=ids, chosen=ids)
    assert not imports.chosen_rows(other).exists()


def test_a_list_is_decided_on_once(models: dict[str, Model]) -> None:
    made = read(LIST)
    publish(made)
    for again in (
        lambda: publish(made),
        lambda: imports.discard(of=made, actor=None, reason="No"),
        lambda: imports.choose(of=made, shown=[], chosen=[]),
        lambda: imports.choose_all(of=made, is_chosen=True),
    ):
        with pytest.raises(ValidationError, match="decided on already"):
            again()


def test_a_discarded_list_leaves_its_name_and_no_price(models: dict[str, Model]) -> None:
    before = PriceVersion.objects.count()
    made = read(LIST)
    imports.discard(of=made, actor=None, reason="Wrong file")
    made.refresh_from_db()
    assert (made.state, made.rows.count(), PriceVersion.objects.count()) == ("discarded", 0, before)


def test_what_has_changed_since_it_was_looked_at_is_not_replaced_unseen(models: dict[str, Model]) -> None:
    made = read(LIST)
    with clock.shifted(60):
        cast.price(models["cheaper"], input_nano=NANO, output_nano=8 * NANO)
        with pytest.raises(ValidationError, match="changed since the list was read: cheaper"):
            publish(made)
    made.refresh_from_db()
    assert made.state == "preview"
    assert current(models["new"].__class__.objects.get(name="same")).input_nano == 2 * NANO


def test_all_is_published_or_nothing(models: dict[str, Model]) -> None:
    """A version that begins at the very moment of another one is refused, and takes all the others with it."""
    when: datetime = clock.now() + timedelta(days=40)
    prices.publish(
        model=models["dearer"],
        currency="USD",
        effective_from=when,
        actor=None,
        reason="Scheduled",
        input_nano=NANO,
        output_nano=NANO,
    )
    made = read(LIST, effective_from=when)
    before = PriceVersion.objects.count()
    with pytest.raises(ValidationError, match=r"^\[.dearer: "):
        publish(made)
    assert PriceVersion.objects.count() == before
    made.refresh_from_db()
    assert made.state == "preview"


def test_a_model_is_found_by_its_alias_unless_its_name_is_listed(models: dict[str, Model]) -> None:
    ModelAlias.objects.create(name="newest", model=models["new"])
    assert verdicts(read(listed(newest=CHAT))) == {"newest": "new"}
    assert verdicts(read(listed(newest=CHAT, new=CHAT))) == {"newest": "unknown", "new": "new"}


def test_each_price_group_and_currency_has_its_own(models: dict[str, Model]) -> None:
    made = read(listed(same=CHAT), price_group="partners")
    assert verdicts(made) == {"same": "new"}
    euros = read(listed(same=CHAT), currency="EUR")
    assert verdicts(euros) == {"same": "new"}
    assert "taken as EUR" in euros.warnings[0]


def test_a_price_that_ours_cannot_hold_is_refused(models: dict[str, Model]) -> None:
    made = read(listed(new={**CHAT, "output_cost_per_token": 0.3}))
    assert verdicts(made) == {"new": "refused"}
    assert PriceImportRow.objects.get(of=made).rates == {}


def test_lists_that_wait_have_an_end(models: dict[str, Model]) -> None:
    for _ in range(imports.OPEN_MAX):
        read(listed(same=CHAT))
    with pytest.raises(ValidationError, match="20 lists wait"):
        read(listed(same=CHAT))
    imports.discard(of=PriceImport.objects.first(), actor=None, reason="Enough")
    read(listed(same=CHAT))


def test_what_is_no_list_changes_nothing() -> None:
    with pytest.raises(ValidationError, match="not JSON"):
        read(b"{")
    assert not PriceImport.objects.exists()
