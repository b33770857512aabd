"""A code becomes a grant, once, for whom it is meant, between its dates; every other answer is the same."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Organisation, User
from billing.errors import WalletFrozen
from billing.models import Grant, LedgerTransaction, PromotionUse, Redemption, RedemptionCode, Wallet
from billing.services import codes, promotions, verifier
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books, crashes, vouchers
from tests.billing.threads import together

REFUSED = "This code cannot be redeemed here. Nothing was changed."


def redeem(raw: str, organisation: Organisation, user: User | None = None) -> Redemption:
    return codes.redeem(raw=raw, organisation=organisation, user=user, address="203.0.113.7")


def many(count: int) -> list[Organisation]:
    owner = cast.person("mona")
    return [cast.organisation(f"shop{number}", owner=owner, funds_nano=0) for number in range(count)]


def assert_refused(raw: str, organisation: Organisation) -> None:
    """The one answer, and nothing changed."""
    before = (
        list(RedemptionCode.objects.values_list("pk", "uses")),
        Redemption.objects.count(),
        LedgerTransaction.objects.count(),
    )
    with pytest.raises(codes.CodeRefused) as refused:
        redeem(raw, organisation)
    assert refused.value.messages == [REFUSED]
    after = (
        list(RedemptionCode.objects.values_list("pk", "uses")),
        Redemption.objects.count(),
        LedgerTransaction.objects.count(),
    )
    assert after == before


@pytest.mark.req("BIL-05")
def test_a_code_becomes_a_grant_with_its_terms(acme: Organisation, ada: User) -> None:
    batch, issued = vouchers.issued(2, priority=7, grant_days=90)
    redemption = redeem(issued[0], acme, ada)
    grant = redemption.grant
    assert (grant.category, grant.priority, grant.amount_nano, grant.remaining_nano) == (
        Grant.Category.PROMOTIONAL, 7, 5 * NANO, 5 * NANO,
    )  # fmt: skip
    assert grant.expires_at == redemption.at + timedelta(days=90)
    booked = redemption.transaction
    assert (booked.kind, booked.idempotency_key, booked.actor) == (
        "redemption", f"redeem:{redemption.code.pk}:{acme.pk}", ada,
    )  # fmt: skip
    assert books.wallet_of(acme).balance_nano == 105 * NANO
    assert books.in_account(None, "promotion") == -5 * NANO
    assert (redemption.number, redemption.code.uses, redemption.user, redemption.batch) == (1, 1, ada, batch)
    event = AuditEvent.objects.filter(action="wallet.credit").first()
    assert (event.actor, event.organisation, event.address) == (ada, acme, "203.0.113.7")


def test_a_code_without_days_lasts_for_good_however_it_is_written(acme: Organisation) -> None:
    raw = vouchers.code()
    assert redeem(f" {raw.lower().replace('-', ' ')} ", acme).grant.expires_at is None


def test_a_sold_code_takes_from_what_is_owed_for_codes(acme: Organisation) -> None:
    _, issued = vouchers.issued(3, **vouchers.SOLD)
    redemption = redeem(issued[0], acme)
    assert redemption.grant.category == Grant.Category.PAID
    assert (books.in_account(None, "codes"), books.in_account(None, "promotion")) == (10 * NANO, 0)


@pytest.mark.req("BIL-05")
def test_a_code_is_redeemed_once(acme: Organisation, globex: Organisation) -> None:
    raw = vouchers.code()
    redeem(raw, acme)
    assert_refused(raw, acme)
    assert_refused(raw, globex)


@pytest.mark.req("BIL-05")
def test_23_a_mistyped_or_swapped_symbol_is_said_without_asking_the_database(acme: Organisation) -> None:
    raw = vouchers.code()
    wrong = [raw[:-1] + ("0" if raw[-1] != "0" else "1"), "0" * 19, "", "hello", raw + "0"]
    left, right = next((i, i + 1) for i in range(4) if raw[i] != raw[i + 1])
    wrong.append(raw[:left] + raw[right] + raw[left] + raw[right + 1 :])
    with CaptureQueriesContext(connection) as queries:
        for typed in wrong:
            with pytest.raises(codes.CodeMistyped, match="Check the code"):
                redeem(typed, acme)
    assert len(queries) == 0
    redeem(raw, acme)


@pytest.mark.req("BIL-05")
@pytest.mark.parametrize(
    ("field", "offset_ms", "is_redeemed"),
    [("expires_at", 0, False), ("expires_at", -1, True), ("starts_at", 0, True), ("starts_at", -1, False)],
)
def test_24_a_code_is_refused_at_exactly_the_moment_at_which_it_expires(
    acme: Organisation, monkeypatch: pytest.MonkeyPatch, field: str, offset_ms: int, is_redeemed: bool
) -> None:
    start = clock.from_ms(clock.now_ms() + 3_600_000)
    batch, (raw,) = vouchers.issued(1, starts_at=start, expires_at=start + timedelta(days=1))
    moment: datetime = getattr(batch, field)
    monkeypatch.setattr(clock, "now_ms", lambda: clock.to_ms(moment) + offset_ms)
    if is_redeemed:
        assert redeem(raw, acme).at == moment + timedelta(milliseconds=offset_ms)
    else:
        assert_refused(raw, acme)


@pytest.mark.req("BIL-05")
def test_everything_that_is_not_redeemed_has_one_answer(acme: Organisation, globex: Organisation) -> None:
    used, voided, foreign = vouchers.code(), vouchers.code(), vouchers.code(currency="EUR")
    redeem(used, globex)
    codes.void_code(code=vouchers.row(voided), takes_back=False, actor=None, reason="Lost")
    dead_batch, (dead, _) = vouchers.issued(2)
    codes.void(batch=dead_batch, takes_back=False, actor=None, reason="Lost")
    early = vouchers.code(starts_at=clock.now() + timedelta(hours=1))
    theirs = vouchers.code(issuer=globex, purpose="internal_settlement")
    unknown = "00000-00000-00000-00000"
    for raw in (used, voided, foreign, dead, early, theirs, unknown):
        assert_refused(raw, acme)
    late = vouchers.code()
    with clock.shifted(31 * 86_400):
        assert_refused(late, acme)


def test_every_answer_takes_the_same_work(acme: Organisation, globex: Organisation) -> None:
    used, theirs = vouchers.code(), vouchers.code(issuer=globex, purpose="internal_settlement")
    redeem(used, globex)
    asked = []
    for raw in (used, theirs, "00000-00000-00000-00000"):
        with CaptureQueriesContext(connection) as queries, pytest.raises(codes.CodeRefused):
            redeem(raw, acme)
        asked.append([query["sql"].split(" ")[0] for query in queries])
    assert asked[0] == asked[1] == asked[2]


@pytest.mark.req("BIL-04")
def test_codes_of_an_issuer_are_for_its_own_organisation_and_its_clients(
    acme: Organisation, globex: Organisation, gus: User
) -> None:
    client = cast.organisation("client", owner=gus, client_of=acme)
    others = cast.organisation("others", owner=gus, client_of=globex)
    _, (one, two) = vouchers.issued(2, issuer=acme, purpose="internal_settlement")
    for outsider in (globex, others):
        assert_refused(one, outsider)
    assert vouchers.row(one).uses == 0
    redeem(one, acme)
    redeem(two, client)
    of_client = vouchers.code(issuer=client, purpose="enterprise_client")
    # Whose client somebody is does not make the other way round.
    assert_refused(of_client, acme)


def test_an_organisation_redeems_as_many_of_a_batch_as_it_says(acme: Organisation, globex: Organisation) -> None:
    _, issued = vouchers.issued(4, uses_per_organisation=2)
    assert [redeem(raw, acme).number for raw in issued[:2]] == [1, 2]
    assert_refused(issued[2], acme)
    assert redeem(issued[2], globex).number == 1


def test_a_code_of_many_uses_is_for_as_many_organisations_once_each(acme: Organisation, globex: Organisation) -> None:
    raw = vouchers.code(uses_per_code=2, uses_per_organisation=5)
    redeem(raw, acme)
    assert_refused(raw, acme)
    redeem(raw, globex)
    assert_refused(raw, cast.organisation("third", owner=cast.person("tom")))


def test_a_frozen_wallet_is_said_before_the_code_is_looked_at(acme: Organisation) -> None:
    raw = vouchers.code()
    Wallet.objects.filter(organisation=acme).update(frozen_at=clock.now())
    for typed in (raw, "00000-00000-00000-00000"):
        with pytest.raises(WalletFrozen):
            redeem(typed, acme)
    assert vouchers.row(raw).uses == 0


def test_codes_of_a_former_field_key_are_redeemed_while_that_is_kept(acme: Organisation) -> None:
    raw = vouchers.code()
    with override_settings(FIELD_KEYS={"new": b"1" * 32}):
        assert_refused(raw, acme)
    with override_settings(FIELD_KEYS={"new": b"1" * 32, "test": b"0" * 32}):
        assert redeem(raw, acme).grant.amount_nano == 5 * NANO


@pytest.mark.req("BIL-07")
def test_codes_of_a_promotion_are_redeemed_while_it_runs_and_out_of_its_budget(
    acme: Organisation, globex: Organisation
) -> None:
    running = vouchers.promotion(budget_nano=8 * NANO)
    _, (one, two) = vouchers.issued(2, promotion=running)
    redemption = redeem(one, acme)
    use = PromotionUse.objects.get()
    assert (use.organisation, use.nano, use.transaction) == (acme, 5 * NANO, redemption.transaction)
    # 3 USD are left of the budget.
    assert_refused(two, globex)
    other = vouchers.promotion(name="Another")
    raw = vouchers.code(promotion=other)
    with clock.shifted(8 * 86_400):
        assert_refused(raw, acme)
    promotions.stop(promotion=other, actor=None, reason="Enough")
    assert_refused(raw, acme)


@pytest.mark.req("BIL-05")
@pytest.mark.django_db(transaction=True)
def test_22_code_redeemed_by_50_organisations_max_1() -> None:
    shops = many(50)
    raw = vouchers.code()
    got = together(*(lambda shop=shop: redeem(raw, shop) for shop in shops))
    assert sum(isinstance(one, Redemption) for one in got) == 1
    assert sum(isinstance(one, codes.CodeRefused) for one in got) == 49, got
    assert vouchers.row(raw).uses == Redemption.objects.count() == Grant.objects.count() == 1
    assert books.in_account(None, "promotion") == -5 * NANO
    assert verifier.verify() == []


@pytest.mark.req("BIL-05")
@pytest.mark.django_db(transaction=True)
def test_of_100_parallel_redemptions_of_one_code_one_is_credited(acme: Organisation) -> None:
    raw = vouchers.code(uses_per_organisation=100)
    got = together(*(lambda: redeem(raw, acme) for _ in range(100)))
    assert sum(isinstance(one, Redemption) for one in got) == 1
    assert sum(isinstance(one, codes.CodeRefused) for one in got) == 99, got
    assert books.wallet_of(acme).balance_nano == 105 * NANO


@pytest.mark.django_db(transaction=True)
def test_parallel_redemptions_keep_within_the_uses_of_a_code_and_of_an_organisation(acme: Organisation) -> None:
    shops = many(8)
    shared = vouchers.code(uses_per_code=3)
    got = together(*(lambda shop=shop: redeem(shared, shop) for shop in shops))
    assert sum(isinstance(one, Redemption) for one in got) == vouchers.row(shared).uses == 3
    _, issued = vouchers.issued(8, uses_per_organisation=3)
    got = together(*(lambda raw=raw: redeem(raw, acme) for raw in issued))
    assert sorted(one.number for one in got if isinstance(one, Redemption)) == [1, 2, 3]
    assert sum(isinstance(one, codes.CodeRefused) for one in got) == 5, got
    assert books.wallet_of(acme).balance_nano == 115 * NANO
    assert verifier.verify() == []


@pytest.mark.req("BIL-05")
@pytest.mark.django_db(transaction=True)
def test_a_redemption_killed_at_any_step_is_whole_or_not_there(acme: Organisation) -> None:
    _, issued = vouchers.issued(400, uses_per_organisation=400, **vouchers.SOLD)
    steps = 0
    work: Callable[[int], object] = lambda step: redeem(issued[step], acme)  # noqa: E731
    for steps in crashes.at_every_step(work):
        redeemed = Redemption.objects.count()
        assert redeemed == RedemptionCode.objects.filter(uses=1).count()
        assert books.wallet_of(acme).balance_nano == (100 + 5 * redeemed) * NANO, f"after a kill at step {steps}"
        assert books.in_account(None, "codes") == 5 * (400 - redeemed) * NANO
        if not Redemption.objects.filter(code=vouchers.row(issued[steps])).exists():
            redeem(issued[steps], acme)
    assert steps > 20
    assert verifier.verify() == []
