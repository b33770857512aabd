"""Placing an order: everything that can be known before anybody pays is checked here."""

import secrets
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse

from accounts.models import Notice, Organisation, User
from accounts.services import audit, notices
from billing.errors import IdempotencyConflict, WalletFrozen
from billing.models import PaymentProvider, Promotion, Purpose, RechargeAcceptance, TopUpOrder
from billing.payments import minor, nudges, turns
from billing.payments.refusals import AgreementMissing, NoPublicPurchase, PaymentRefusal, ProviderOff
from billing.payments.registry import SEAMS, seam_of
from billing.services import agreements, promotions, risk
from channels.services import evidence
from newapi.kernel import clock
from newapi.kernel.secrets import SealBroken

# How long there is to pay.
LIFE = timedelta(hours=12)


@transaction.atomic
def place(
    *,
    organisation: Organisation,
    user: User | None,
    provider: PaymentProvider,
    amount_minor: int,
    purpose: str,
    once: uuid.UUID,
    promotion: Promotion | None = None,
    agreement: RechargeAcceptance | None = None,
    saves_method: bool = False,
    kind: TopUpOrder.Kind = TopUpOrder.Kind.CHECKOUT,
    address: str | None = None,
) -> TopUpOrder:
    """Order a top-up; a job opens it at the provider after commit, or it is HELD with `why` (BIL-15).

    amount_minor: in the provider's currency. once: names the form or reason, so that the same one orders once; the
    standing order is returned then. The caller has checked that the user may top up. Raises ValidationError, of
    which IdempotencyConflict, NoPublicPurchase, ProviderOff, WalletFrozen and AgreementMissing (BIL-18) are.
    """
    asked = {
        "organisation_id": organisation.pk,
        "provider_id": provider.pk,
        "amount_minor": amount_minor,
        "purpose": purpose,
    }
    if standing := TopUpOrder.objects.filter(once=once).first():
        return _the_same(standing, asked)
    if purpose not in Purpose.values:
        raise PaymentRefusal({"purpose": "Say what the money is for."})
    _check(organisation, provider, amount_minor)
    acceptance = agreement or agreements.accepted(organisation=organisation, user=user)
    _check_agreement(organisation, user, acceptance, kind)
    if promotion is not None:
        promotions.require(promotion=promotion, organisation=organisation, nano=1, kind=Promotion.Kind.TOP_UP)
    # From here on the organisation's orders go one after the other, so that they are counted right.
    wallet = turns.wallet_in_turn(organisation)
    # Who came first with the same form may be crediting the order by now, and would wait for this wallet.
    if standing := TopUpOrder.objects.filter(once=once).first():
        return _the_same(standing, asked)
    if wallet.frozen_at is not None:
        raise WalletFrozen(organisation)
    order = TopUpOrder(
        organisation=organisation,
        user=user,
        provider=provider,
        kind=kind,
        purpose=purpose,
        once=once,
        amount_minor=amount_minor,
        currency=provider.currency,
        promotion=promotion,
        agreement=acceptance,
        saves_method=saves_method and SEAMS[provider.protocol].keeps_methods,
    )
    _begin(order, why=risk.check(organisation=organisation, provider=provider, amount_minor=amount_minor))
    try:
        with transaction.atomic():
            order.save()
    except IntegrityError:
        return _the_same(TopUpOrder.objects.get(once=once), asked)
    _record(order, user, address)
    return order


def _begin(order: TopUpOrder, *, why: str) -> None:
    """Its name, its first state, and when something happens next; with a reason it waits for a person."""
    now = clock.now()
    order.reference = f"TU{now:%y%m%d}{secrets.token_hex(10).upper()}"
    order.state = TopUpOrder.State.HELD if why else TopUpOrder.State.CREATED
    order.why = why
    order.expires_at = now + LIFE
    order.poll_at = None if why else now


def _the_same(standing: TopUpOrder, asked: dict[str, object]) -> TopUpOrder:
    if any(getattr(standing, name) != value for name, value in asked.items()):
        raise IdempotencyConflict(str(standing.once))
    return standing


def _check(organisation: Organisation, provider: PaymentProvider, amount_minor: int) -> None:
    if settings.TOP_UPS_INTERNAL:
        raise NoPublicPurchase
    if not organisation.is_active:
        raise PaymentRefusal("The organisation is closed.")
    current = PaymentProvider.objects.get(pk=provider.pk)
    if not current.is_active:
        raise ProviderOff(f"{current.name} takes no payments at the moment.")
    if current.currency != organisation.currency:
        raise ProviderOff(f"{current.name} takes {current.currency}; the wallet is in {organisation.currency}.")
    if not current.least_minor <= amount_minor <= current.most_minor:
        least, most = (minor.display(one, current.currency) for one in (current.least_minor, current.most_minor))
        raise PaymentRefusal({"amount_minor": f"{current.name} takes {least} to {most}."})
    try:
        seam_of(current).check_amount(amount_minor)
    except ValueError as error:
        raise PaymentRefusal({"amount_minor": str(error)}) from None
    except SealBroken:
        raise ProviderOff(f"{current.name} takes no payments at the moment: its settings are broken.") from None
    if not evidence.is_there(service=current.slug):
        # What is missing concerns the operators; who pays is told that this way is closed.
        raise ProviderOff(f"{current.name} takes no payments at the moment.")


def _check_agreement(
    organisation: Organisation, user: User | None, acceptance: RechargeAcceptance | None, kind: str
) -> None:
    """The version in force, accepted by who orders; what is charged by itself needs anybody's acceptance."""
    newest = agreements.in_force()
    if newest is None:
        return
    if (
        acceptance is None
        or acceptance.agreement_id != newest.pk
        or acceptance.organisation_id != organisation.pk
        or (kind == TopUpOrder.Kind.CHECKOUT and (user is None or acceptance.user_id != user.pk))
    ):
        raise AgreementMissing(newest)


def _record(order: TopUpOrder, user: User | None, address: str | None) -> None:
    amount = minor.display(order.amount_minor, order.currency)
    audit.record(
        actor=user,
        action="top_up_order.place",
        target=order,
        reason=f"Ordered a top-up of {amount}",
        changes={"amount_minor": [None, order.amount_minor], "state": [None, order.state]},
        address=address,
    )
    if order.state != TopUpOrder.State.HELD:
        if order.kind == TopUpOrder.Kind.CHECKOUT:
            nudges.after_commit(nudges.OPEN_TOP_UPS)
        return
    notices.post(
        once=f"top_up:{order.pk}:held",
        kind="top_up.held",
        title=f"A top-up of {amount} by {order.organisation} waits for review",
        body=order.why,
        audience=Notice.Audience.OPERATORS,
        level=Notice.Level.WARNING,
        link=reverse("admin:billing_topuporder_change", args=[order.pk]),
    )
