"""Redeeming: one guarded statement decides, and what follows from it is booked in the same transaction."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accounts.models import Organisation, User
from billing import code_symbols
from billing.errors import WalletFrozen
from billing.models import CodeBatch, LedgerTransaction, Promotion, Redemption, RedemptionCode
from billing.services import promotion_rules, promotions, wallets
from billing.services.codes import books
from billing.services.codes.errors import CodeMistyped, CodeRefused
from billing.services.grants import Terms
from billing.services.promotion_rules import PromotionRefused
from newapi.kernel import clock, secrets

# Two codes of one batch, redeemed by one organisation at once, want the same number; the second asks again.
_TRIES_MAX = 5


def redeem(*, raw: str, organisation: Organisation, user: User | None, address: str | None = None) -> Redemption:
    """Turn a code into a grant, all or nothing.

    Raises CodeMistyped without asking the database, CodeRefused for every code that is not to be redeemed here,
    WalletFrozen whatever the code is.
    """
    digests = _digests(raw)
    # Asked before the code is, so that the answer says nothing of it.
    if wallets.open(organisation=organisation).frozen_at is not None:
        raise WalletFrozen(organisation)
    for _ in range(_TRIES_MAX):
        try:
            return _redeem(digests, organisation, user, address)
        except PromotionRefused:
            break
        except IntegrityError:
            # Somebody of the same organisation was quicker with this code, or with another one of its batch.
            continue
    raise CodeRefused


def find(*, raw: str) -> RedemptionCode | None:
    """The code that somebody typed, for an admin who looks it up. Raises CodeMistyped."""
    return RedemptionCode.objects.select_related("batch").filter(digest__in=_digests(raw)).first()


def _digests(raw: str) -> list[bytes]:
    """What the code could be stored as: one for each field key. Raises CodeMistyped."""
    symbols = code_symbols.read(raw)
    if symbols is None:
        raise CodeMistyped
    return [secrets.code_digest(symbols, key_id=key_id) for key_id in settings.FIELD_KEYS]


@transaction.atomic
def _redeem(digests: list[bytes], organisation: Organisation, user: User | None, address: str | None) -> Redemption:
    """Raises CodeRefused; PromotionRefused when it gives no more; IntegrityError when somebody was quicker."""
    now = clock.now()
    if not _usable(digests, organisation).update(uses=F("uses") + 1):
        raise CodeRefused
    code = RedemptionCode.objects.select_related("batch", "batch__promotion").get(digest__in=digests)
    batch = code.batch
    booked = wallets.credit(
        organisation=organisation,
        amount_nano=batch.value_nano,
        kind=LedgerTransaction.Kind.REDEMPTION,
        idempotency_key=f"redeem:{code.pk}:{organisation.pk}",
        actor=user,
        reason=f"Code {code} of “{batch.name}”",
        address=address,
        source=books.source_of(batch),
        terms=Terms(
            category=batch.category,
            priority=batch.priority,
            expires_at=now + timedelta(days=batch.grant_days) if batch.grant_days else None,
        ),
    )
    if batch.promotion is not None:
        promotions.use(promotion=batch.promotion, organisation=organisation, nano=batch.value_nano, booked=booked)
    return Redemption.objects.create(
        code=code,
        batch=batch,
        organisation=organisation,
        user=user,
        number=1 + Redemption.objects.filter(batch=batch, organisation=organisation).count(),
        transaction=booked,
        grant=booked.grant,
        at=now,
    )


def _usable(digests: list[bytes], organisation: Organisation) -> QuerySet[RedemptionCode]:
    """The code, if everything that could speak against it does not. Asked at once, so that no answer takes longer.

    `uses` is compared on the row that is changed, so that of two at once the second sees the first's.
    """
    own = Redemption.objects.filter(organisation=organisation)
    batch = CodeBatch.objects.filter(pk=OuterRef("batch_id"))
    return RedemptionCode.objects.filter(
        ~Exists(own.filter(code=OuterRef("pk"))),
        Exists(batch.filter(_is_open(), _is_for(organisation)).filter(uses_per_organisation__gt=_taken(own))),
        digest__in=digests,
        voided_at=None,
        uses__lt=Subquery(batch.values("uses_per_code")),
    )


def _is_open() -> Q:
    """Out, and between its dates, from the first moment until just before the last; its promotion runs."""
    now = clock.now()
    running = Promotion.objects.filter(promotion_rules.in_force())
    return Q(state=CodeBatch.State.OUT, starts_at__lte=now, expires_at__gt=now) & (
        Q(promotion=None) | Q(promotion__in=running)
    )


def _is_for(organisation: Organisation) -> Q:
    """Its currency; and of an issuer, only its own organisation and its clients may redeem (BIL-04)."""
    issuers = {organisation.pk, organisation.client_of_id} - {None}
    return Q(currency=organisation.currency) & (Q(issuer=None) | Q(issuer__in=issuers))


def _taken(own: QuerySet[Redemption]) -> Any:
    """How many codes of the batch the organisation has redeemed."""
    counted = own.filter(batch=OuterRef("pk")).order_by().values("batch").annotate(taken=Count("pk")).values("taken")
    return Coalesce(Subquery(counted), 0)
