"""Every order in which news can come, each once or twice, ends in one state: for Stripe and for EPay.

All of them are walked as a tree. Where two ways lead to the same rows with the same news still to come, they go on
alike, so one of them is followed. A repetition that changes nothing is not followed either: whatever may come after it
may come without it, from the same rows, and is walked there.

Each piece of news is answered for as of its own moment, as if the provider's database lagged that far behind: the
hardest case, because late facts may then contradict earlier ones.
"""

from collections.abc import Callable
from typing import Any

from django.db import transaction

from accounts.models import Organisation
from billing.models import Grant, LedgerTransfer, MoneyBack, PaymentEvent, PaymentProvider, TopUpOrder
from billing.payments.looking import facts_of
from billing.services import inbox, orders
from newapi.kernel import clock
from tests.billing.books import in_account, wallet_of
from tests.payments.conftest import Order
from tests.payments.fake_epay import FakeEPay
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import USD, assert_right, fresh


def walk(kinds: int, deliver: Callable[[int, int], None], state: Callable[[], Any]) -> tuple[set[Any], int]:
    """Deliver each of so many kinds of news once or twice, in every order. Returns the final states, and the steps."""
    ends, seen, steps = set(), set(), 0

    def go(times: tuple[int, ...]) -> None:
        nonlocal steps
        now = state()
        if (times, now) in seen:
            return
        seen.add((times, now))
        if all(times):
            ends.add(now)
        for kind, already in enumerate(times):
            if already == 2:
                continue
            before = transaction.savepoint()
            deliver(kind, already)
            steps += 1
            if not already or state() != now:
                go((*times[:kind], already + 1, *times[kind + 1 :]))
            transaction.savepoint_rollback(before)

    go((0,) * kinds)
    return ends, steps


def state_of(order: TopUpOrder) -> Any:
    """All that matters of the rows; not their numbers, and not what waits in the inbox for nothing."""
    placed, wallet = fresh(order), wallet_of(order.organisation)
    back = MoneyBack.objects.filter(order=order).order_by("kind", "amount_minor")
    kinds = ("debit_account__kind", "credit_account__kind", "amount_nano")
    grants = Grant.objects.order_by("amount_nano", "remaining_nano")
    return (
        (placed.state, placed.paid_minor, placed.payment_reference, placed.refunded_minor, placed.is_disputed),
        tuple(back.values_list("kind", "state", "amount_minor", "provider_reference")),
        (wallet.funded_nano, wallet.owed_nano, wallet.balance_nano, wallet.drawn_nano),
        tuple(LedgerTransfer.objects.order_by(*kinds).values_list(*kinds)),
        tuple(grants.values_list("category", "amount_nano", "remaining_nano")),
        PaymentEvent.objects.exclude(state="done").count(),
    )


def assert_final(order: TopUpOrder, ends: set[Any], *, refunded: int, disputed: int) -> None:
    """There is one, and it is the right one."""
    assert len(ends) == 1, ends
    ((placed, _, wallet, _, _, waiting),) = ends
    assert placed[0] == "credited"
    assert placed[3:] == (refunded * 100, disputed > 0)
    assert wallet[2] == (100 + 500 - refunded - disputed) * USD
    assert waiting == 0


def test_stripe_news_in_every_order_once_or_twice_ends_in_one_state(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    reference = placed.reference
    news = [(fake_of_stripe.created(reference), fake_of_stripe.remember())]
    expired = (fake_of_stripe.expire(reference), fake_of_stripe.remember())
    news += [
        (act(), fake_of_stripe.remember())
        for act in (
            lambda: fake_of_stripe.complete_unpaid(reference),
            lambda: fake_of_stripe.arrive(reference),
            lambda: fake_of_stripe.refund_there(fake_of_stripe.payment_of(reference), 200_00),
            lambda: fake_of_stripe.dispute(fake_of_stripe.payment_of(reference), 300_00),
        )
    ]
    news.append(expired)
    assert len(news) == 6
    copies = [fake_of_stripe.again(event) for event, _ in news]

    def deliver(kind: int, already: int) -> None:
        event, moment = news[kind]
        fake_of_stripe.serve(moment)
        # The second time it comes under its own name, and under another one, as from a webhook set up twice.
        for one in [event, copies[kind]] if already else [event]:
            body, headers = fake_of_stripe.sign(one)
            inbox.receive(provider=stripe, body=body, headers=headers)
        inbox.work()

    ends, steps = walk(len(news), deliver, lambda: state_of(placed))
    assert steps >= 64 * 6
    assert_final(placed, ends, refunded=200, disputed=300)


def test_epay_news_in_every_order_once_or_twice_ends_in_one_state(
    acme: Organisation, epay: PaymentProvider, opened: Order, fake_of_epay: FakeEPay
) -> None:
    placed = opened(epay)
    fake_of_epay.visit(placed.pay_url)
    unpaid = fake_of_epay.remember()
    query = fake_of_epay.pay(placed.reference)
    paid = fake_of_epay.remember()
    fake_of_epay.refund_there(placed.reference, "120.00")
    refunded = fake_of_epay.remember()

    def ask(moment: Any) -> None:
        fake_of_epay.shown = moment
        facts = facts_of(fresh(placed), went_back=True)
        assert facts is not None
        orders.apply(order=placed, facts=facts)

    def notify() -> None:
        fake_of_epay.shown = paid
        inbox.receive(provider=epay, body=query.encode(), headers={})
        inbox.work()

    def time_passes() -> None:
        fake_of_epay.shown = unpaid
        with clock.shifted(13 * 3600):
            orders.poll()

    kinds = [lambda: ask(unpaid), notify, time_passes, lambda: ask(refunded)]
    ends, steps = walk(len(kinds), lambda kind, already: kinds[kind](), lambda: state_of(placed))
    assert steps >= 16 * 4
    assert_final(placed, ends, refunded=120, disputed=0)


def test_the_books_are_right_whichever_end_comes_first(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    """The same with everything true at once: the first news books it all, the others nothing."""
    placed = opened(stripe)
    reference = placed.reference
    payment = fake_of_stripe.payment_of(reference)
    news = [
        fake_of_stripe.expire(reference),
        fake_of_stripe.pay(reference),
        fake_of_stripe.refund_there(payment, 200_00),
        fake_of_stripe.dispute(payment, 300_00),
    ]
    for first in news:
        before = transaction.savepoint()
        for event in (first, *news):
            body, headers = fake_of_stripe.sign(event)
            inbox.receive(provider=stripe, body=body, headers=headers)
            inbox.work()
            assert wallet_of(acme).balance_nano == 100 * USD
        assert in_account(None, "clearing") == -100 * USD
        assert_right(acme)
        transaction.savepoint_rollback(before)
