"""Promotions: nothing is given before somebody else has reviewed it, after its end, elsewhere, or beyond its budget."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent, Notice, Organisation, User
from billing.errors import BillingRefusal
from billing.models import Grant, LedgerTransaction, PaymentProvider, Promotion, PromotionUse, TopUpOrder
from billing.payments.seam import Facts, Standing
from billing.services import orders, promotion_rules, promotions, wallets
from billing.services.promotion_rules import PromotionRefused
from newapi.kernel import clock, ids
from newapi.kernel.money import NANO
from tests.billing import offers
from tests.billing.books import in_account
from tests.billing.threads import together

Kind = LedgerTransaction.Kind


def given(promotion: Promotion, organisation: Organisation, nano: int = NANO, key: str = "gain") -> PromotionUse:
    """What somebody who gives by a promotion does: book, and count, in one transaction."""
    with transaction.atomic():
        booked = wallets.credit(
            organisation=organisation,
            amount_nano=nano,
            kind=Kind.GRANT,
            idempotency_key=key,
            actor=None,
            reason="Gain",
        )
        return promotions.use(promotion=promotion, organisation=organisation, nano=nano, booked=booked)


def test_a_promotion_is_usable_after_its_review(acme: Organisation, root: User) -> None:
    promotion = offers.submitted(by=root)
    with pytest.raises(PromotionRefused, match="has not been reviewed"):
        promotions.require(promotion=promotion, organisation=acme, nano=1)
    promotions.review(promotion=promotion, document="LEGAL-17", actor=offers.lena(), reason="Looked at it")
    use = given(promotion, acme)
    promotion.refresh_from_db()
    assert (use.number, use.nano, promotion.given_nano) == (1, NANO, NANO)
    assert promotion.review_document == "LEGAL-17"


@pytest.mark.req("BIL-07")
def test_nothing_is_given_before_approval(acme: Organisation, root: User) -> None:
    promotion = offers.submitted(by=root)
    with pytest.raises(PromotionRefused, match="has not been reviewed"):
        given(promotion, acme)
    assert acme.wallets.get().balance_nano == 100 * NANO
    assert promotions.for_top_ups(acme) == []


@pytest.mark.req("BIL-07")
def test_who_hands_in_never_reviews(acme: Organisation, root: User) -> None:
    promotion = offers.submitted(by=root)
    with pytest.raises(BillingRefusal, match="Somebody else has to review it"):
        promotions.review(promotion=promotion, document="LEGAL-17", actor=root, reason="It is fine")
    # Nor with a copy of it in which it stands that somebody else has handed it in.
    promotion.submitted_by = None
    with pytest.raises(BillingRefusal, match="does not wait"):
        promotions.review(promotion=promotion, document="LEGAL-17", actor=root, reason="It is fine")
    promotion.refresh_from_db()
    assert promotion.reviewed_at is None
    assert not AuditEvent.objects.filter(action="promotion.review").exists()


@pytest.mark.req("BIL-07")
@pytest.mark.parametrize("document", ["", "  ", "x" * 201])
def test_a_review_names_its_document(root: User, document: str) -> None:
    promotion = offers.submitted(by=root)
    with pytest.raises(BillingRefusal, match="Name the review"):
        promotions.review(promotion=promotion, document=document, actor=offers.lena(), reason="Looked at it")


@pytest.mark.req("BIL-07")
def test_it_gives_from_its_start_until_just_before_its_end(acme: Organisation) -> None:
    start = clock.now() + timedelta(hours=1)
    end = start + timedelta(hours=1)
    promotion = offers.running(starts_at=start, ends_at=end, times_per_organisation=2)
    before = timedelta(milliseconds=500)
    for moment, why in ((start - before, "begins"), (end, "ended"), (end + timedelta(days=1), "ended")):
        with clock.at(moment), pytest.raises(PromotionRefused, match=why):
            given(promotion, acme, key=str(moment))
    with clock.at(start):
        given(promotion, acme, key="first")
    with clock.at(end - before):
        given(promotion, acme, key="last")
    assert PromotionUse.objects.count() == 2


@pytest.mark.req("BIL-07")
@pytest.mark.parametrize(
    ("countries", "country", "is_for"),
    [
        ([], "DE", True),
        ([], "", True),
        (["DE", "FR"], "DE", True),
        (["DE", "FR"], "US", False),
        (["DE", "FR"], "", False),
    ],
)
def test_it_is_for_its_countries_alone(acme: Organisation, countries: list[str], country: str, is_for: bool) -> None:
    Organisation.objects.filter(pk=acme.pk).update(country=country)
    acme.refresh_from_db()
    promotion = offers.running(countries=countries)
    assert promotions.for_top_ups(acme) == ([promotion] if is_for else [])
    if is_for:
        assert given(promotion, acme).number == 1
    else:
        with pytest.raises(PromotionRefused, match="is not for"):
            given(promotion, acme)
        assert acme.wallets.get().balance_nano == 100 * NANO


def test_another_currency_another_kind_and_the_switched_off_gain_nothing(acme: Organisation) -> None:
    euros = offers.running(currency="EUR")
    with pytest.raises(PromotionRefused, match="is not in USD"):
        promotions.require(promotion=euros, organisation=acme, nano=1)
    codes = offers.running("codes")
    with pytest.raises(PromotionRefused, match="is for redemption codes"):
        promotions.require(promotion=codes, organisation=acme, nano=1, kind=Promotion.Kind.TOP_UP)
    acme.is_active = False
    with pytest.raises(PromotionRefused, match="switched off"):
        promotions.require(promotion=codes, organisation=acme, nano=1)


def test_each_organisation_gains_so_often(acme: Organisation, globex: Organisation) -> None:
    promotion = offers.running(times_per_organisation=2)
    assert [given(promotion, acme, key=f"a{number}").number for number in range(2)] == [1, 2]
    with pytest.raises(PromotionRefused, match="as often as it may"):
        given(promotion, acme, key="a3")
    assert given(promotion, globex, key="g").number == 1
    assert acme.wallets.get().balance_nano == 102 * NANO


def test_the_budget_is_used_to_its_last_nano_and_no_further(acme: Organisation, globex: Organisation) -> None:
    promotion = offers.running(budget_nano=3 * NANO)
    with pytest.raises(PromotionRefused, match=r"has 3\.00 USD left, of 3\.000000001"):
        given(promotion, acme, 3 * NANO + 1)
    given(promotion, acme, 3 * NANO, key="all")
    assert promotion_rules.standing(Promotion.objects.get()) == "Used up"
    with pytest.raises(PromotionRefused, match="given away all"):
        given(promotion, globex, 1, key="more")


def test_a_stopped_promotion_gives_nothing_and_stays_stopped(acme: Organisation, root: User) -> None:
    promotion = offers.running()
    promotions.stop(promotion=promotion, actor=root, reason="A mistake in the text")
    with pytest.raises(PromotionRefused, match="was stopped"):
        given(promotion, acme)
    with pytest.raises(BillingRefusal, match="over already"):
        promotions.stop(promotion=promotion, actor=root, reason="Again")
    assert AuditEvent.objects.filter(action="promotion.stop", reason="A mistake in the text", actor=root).count() == 1


def test_one_that_was_stopped_or_has_ended_is_not_reviewed_any_more(root: User) -> None:
    stopped, late = offers.submitted(by=root), offers.submitted(by=root)
    promotions.stop(promotion=stopped, actor=root, reason="Not this one")
    with pytest.raises(BillingRefusal, match="does not wait"):
        promotions.review(promotion=stopped, document="LEGAL-17", actor=offers.lena(), reason="Too late")
    with clock.shifted(11 * 86_400), pytest.raises(BillingRefusal, match="does not wait"):
        promotions.review(promotion=late, document="LEGAL-17", actor=offers.lena(), reason="Too late")


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        ("top_up", {"bonus_percent": 0}, "bonus_percent"),
        ("top_up", {"bonus_percent": 101}, "bonus_percent"),
        ("top_up", {"inviter_nano": 1}, "inviter_nano"),
        ("codes", {"bonus_percent": 5}, "bonus_percent"),
        ("invitation", {"inviter_nano": 0, "invitee_nano": 0}, "inviter_nano"),
        ("invitation", {"inviter_nano": -1}, "inviter_nano"),
        ("invitation", {"budget_nano": 8 * NANO - 1}, "budget_nano"),
        ("codes", {"budget_nano": 0}, "budget_nano"),
        ("codes", {"currency": "usd"}, "currency"),
        ("codes", {"name": ""}, "name"),
        ("codes", {"countries": ["Germany"]}, "countries"),
        ("codes", {"countries": "DE"}, "countries"),
        ("codes", {"countries": [7]}, "countries"),
        ("codes", {"grant_days": 0}, "grant_days"),
        ("codes", {"times_per_organisation": 0}, "times_per_organisation"),
        ("codes", {"ends_at": clock.now() - timedelta(days=1)}, "ends_at"),
        ("codes", {"starts_at": clock.now() + timedelta(days=20)}, "ends_at"),
    ],
)
def test_what_makes_no_sense_is_not_handed_in(db: None, kind: str, fields: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        offers.submitted(kind, **fields)
    assert field in caught.value.message_dict
    assert not Promotion.objects.exists()


def test_a_name_is_used_once(root: User) -> None:
    offers.submitted(name="Spring")
    with pytest.raises(ValidationError, match="already exists"):
        offers.submitted(name="Spring")


def test_handing_in_and_reviewing_are_on_record_and_operators_are_told(root: User) -> None:
    promotion = offers.submitted(by=root, countries=["FR", "DE", "FR"])
    assert promotion.countries == ["DE", "FR"]
    handed_in = AuditEvent.objects.get(action="promotion.submit")
    assert (handed_in.actor, handed_in.changes["bonus_percent"]) == (root, [None, 10])
    told = Notice.objects.get(kind="promotion.submitted")
    assert told.audience == Notice.Audience.OPERATORS
    promotions.review(promotion=promotion, document="LEGAL-17", actor=offers.lena(), reason="Looked at it")
    assert AuditEvent.objects.get(action="promotion.review").reason == "Looked at it"


def test_uses_are_never_changed(acme: Organisation) -> None:
    use = given(offers.running(), acme)
    with pytest.raises(IntegrityError), transaction.atomic():
        PromotionUse.objects.filter(pk=use.pk).update(nano=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        use.delete()


@pytest.mark.req("BIL-07")
@pytest.mark.django_db(transaction=True)
def test_parallel_uses_never_give_more_than_the_budget(acme: Organisation, globex: Organisation) -> None:
    promotion = offers.running(budget_nano=5 * NANO, times_per_organisation=50)

    def gain(number: int) -> Callable[[], PromotionUse]:
        return lambda: given(promotion, acme if number % 2 else globex, key=f"race-{number}")

    results = together(*(gain(number) for number in range(12)))
    assert sum(isinstance(result, PromotionUse) for result in results) == 5
    assert sum(isinstance(result, PromotionRefused) for result in results) == 7
    promotion.refresh_from_db()
    assert promotion.given_nano == sum(PromotionUse.objects.values_list("nano", flat=True)) == 5 * NANO
    assert sum(one.wallets.get().balance_nano for one in (acme, globex)) == 205 * NANO


@pytest.mark.req("BIL-07")
@pytest.mark.django_db(transaction=True)
def test_of_two_uses_at_once_only_the_last_allowed_one_counts(acme: Organisation) -> None:
    promotion = offers.running()
    works = [lambda number=number: given(promotion, acme, key=f"race-{number}") for number in range(8)]
    results = together(*works)
    assert sum(isinstance(result, PromotionUse) for result in results) == 1
    assert sum(isinstance(result, PromotionRefused) for result in results) == 7
    assert acme.wallets.get().balance_nano == 101 * NANO


def paid_for(organisation: Organisation, promotion: Promotion | None, *, minor: int = 2_500) -> TopUpOrder:
    """An order that its provider says is paid, and all that follows from that."""
    provider, _ = PaymentProvider.objects.get_or_create(
        slug="test",
        defaults={"name": "Test", "protocol": "stripe", "base_url": "https://pay.example", "currency": "USD"},
    )
    order = TopUpOrder.objects.create(
        organisation=organisation,
        provider=provider,
        purpose="compliant_service_fee",
        reference=f"TU{TopUpOrder.objects.count()}",
        once=ids.uuid7(),
        amount_minor=minor,
        currency="USD",
        promotion=promotion,
        state=TopUpOrder.State.OPEN,
        expires_at=clock.now() + timedelta(days=30),
    )
    facts = Facts(
        provider_id=provider.pk,
        reference=order.reference,
        standing=Standing.PAID,
        currency="USD",
        payment_reference=f"pi_{order.reference}",
        paid_minor=minor,
    )
    for _ in range(2):  # news come twice
        order = orders.apply(order=order, facts=facts)
    return order


@pytest.mark.req("BIL-07")
def test_a_top_up_brings_its_bonus_once_with_an_end(acme: Organisation) -> None:
    promotion = offers.running(bonus_percent=10, grant_days=30)
    order = paid_for(acme, promotion)
    bonus = Grant.objects.get(transaction__idempotency_key=f"promotion:{promotion.pk}:{order.reference}")
    assert (bonus.amount_nano, bonus.category) == (5 * NANO // 2, Grant.Category.PROMOTIONAL)
    assert timedelta(days=29, hours=23) < bonus.expires_at - clock.now() <= timedelta(days=30)
    assert acme.wallets.get().balance_nano == 127 * NANO + NANO // 2
    assert PromotionUse.objects.get().transaction == bonus.transaction
    promotion.refresh_from_db()
    assert promotion.given_nano == bonus.amount_nano
    assert in_account(None, "promotion") == -bonus.amount_nano


@pytest.mark.parametrize(
    ("percent", "minor", "bonus_nano"),
    [(100, 1, 10_000_000), (33, 1, 3_300_000), (1, 1, 100_000), (7, 12_345, 8_641_500_000)],
)
def test_a_bonus_is_exact(acme: Organisation, percent: int, minor: int, bonus_nano: int) -> None:
    paid_for(acme, offers.running(bonus_percent=percent), minor=minor)
    assert PromotionUse.objects.get().nano == bonus_nano


@pytest.mark.req("BIL-07")
def test_a_promotion_that_ended_before_the_payment_gives_no_bonus_and_the_organisation_is_told(
    acme: Organisation,
) -> None:
    promotion = offers.running()
    with clock.at(promotion.ends_at):
        order = paid_for(acme, promotion)
    assert order.state == TopUpOrder.State.CREDITED
    assert acme.wallets.get().balance_nano == 125 * NANO
    assert not PromotionUse.objects.exists()
    assert "ended" in Notice.objects.get(kind="top_up.no_bonus").body


def test_a_bonus_beyond_the_budget_or_the_times_is_not_given(acme: Organisation, globex: Organisation) -> None:
    promotion = offers.running(budget_nano=3 * NANO)
    paid_for(acme, promotion)  # 2.50
    paid_for(acme, promotion)  # a second time
    paid_for(globex, promotion)  # only 0.50 is left
    assert [use.organisation for use in PromotionUse.objects.all()] == [acme]
    assert (acme.wallets.get().balance_nano, globex.wallets.get().balance_nano) == (152_500_000_000, 125 * NANO)


def test_an_order_without_a_promotion_has_no_bonus(acme: Organisation) -> None:
    order = paid_for(acme, None)
    assert promotions.apply_to_top_up(order=order) is None
    assert promotions.take_back_bonus(order=order, returned_nano=NANO, once="r", actor=None, reason="Refund") is None
    assert acme.wallets.get().balance_nano == 125 * NANO


def test_a_bonus_is_not_booked_before_what_it_is_a_part_of(acme: Organisation) -> None:
    order = paid_for(acme, None)
    order.promotion, order.transaction = offers.running(), None
    with pytest.raises(ValueError, match="booked after"):
        promotions.apply_to_top_up(order=order)


def test_what_goes_back_of_a_top_up_takes_its_share_of_the_bonus_once(acme: Organisation) -> None:
    order = paid_for(acme, offers.running(bonus_percent=10))
    for _ in range(2):
        promotions.take_back_bonus(order=order, returned_nano=10 * NANO, once="refund:1", actor=None, reason="Refund")
    bonus = Grant.objects.get(transaction__kind=Kind.GRANT)
    assert bonus.remaining_nano == 3 * NANO // 2
    # More than is left of it is never taken, nor out of what was paid for.
    booked = LedgerTransaction.objects.count()
    promotions.take_back_bonus(order=order, returned_nano=15 * NANO, once="refund:2", actor=None, reason="Refund")
    bonus.refresh_from_db()
    assert (bonus.remaining_nano, LedgerTransaction.objects.count()) == (0, booked + 1)
    assert promotions.take_back_bonus(order=order, returned_nano=NANO, once="refund:3", actor=None, reason="x") is None
    assert acme.wallets.get().balance_nano == 125 * NANO


def test_a_bonus_taken_back_returns_when_the_dispute_was_won_and_stays_in_a_frozen_wallet(
    acme: Organisation, root: User
) -> None:
    order = paid_for(acme, offers.running(bonus_percent=10))
    whole = {"order": order, "returned_nano": 25 * NANO, "actor": root, "reason": "Dispute"}
    wallets.freeze(organisation=acme, actor=root, reason="Looks odd")
    assert promotions.take_back_bonus(once="dispute:1", **whole) is None
    wallets.thaw(organisation=acme, actor=root, reason="All is well")
    assert promotions.take_back_bonus(once="dispute:1", **whole) is not None
    assert acme.wallets.get().balance_nano == 125 * NANO
    for _ in range(2):
        promotions.give_back_bonus(order=order, once="dispute:1", actor=root, reason="Won")
    assert acme.wallets.get().balance_nano == 127_500_000_000
    assert promotions.give_back_bonus(order=order, once="dispute:2", actor=root, reason="Won") is None


def test_the_bonuses_offered_are_those_that_would_be_given_the_largest_first(
    acme: Organisation, globex: Organisation
) -> None:
    small, large = offers.running(bonus_percent=5), offers.running(bonus_percent=20)
    offers.running("codes")
    offers.submitted(bonus_percent=50)
    offers.running(currency="EUR")
    assert promotions.for_top_ups(acme) == [large, small]
    paid_for(acme, large)
    assert promotions.for_top_ups(acme) == [small]
    assert promotions.for_top_ups(globex) == [large, small]
