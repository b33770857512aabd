"""Asking a provider how an order stands, and taking note of it."""

from billing.models import TopUpOrder
from billing.payments.refusals import ProviderAway
from billing.payments.registry import seam_of
from billing.payments.seam import Facts, Pointer


def facts_of(order: TopUpOrder, *, went_back: bool = False) -> Facts | None:
    """What the order's provider says of it now; None when it knows of nothing. Over the network: never in a
    transaction. Raises ProviderAway, ProviderRefused."""
    facts = seam_of(order.provider).look(pointer_to(order, went_back=went_back))
    if facts is not None and facts.reference != order.reference:
        raise ProviderAway("The provider told of another order than it was asked for.")
    return facts


def pointer_to(order: TopUpOrder, *, session: str = "", payment: str = "", went_back: bool = False) -> Pointer:
    """How the provider finds an order. session, payment: the provider's names, should the order not know them yet."""
    return Pointer(
        reference=order.reference,
        session=order.session_reference or session,
        payment=order.payment_reference or payment,
        went_back=went_back or order.money_back.exists(),
    )
