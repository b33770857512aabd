"""Redeeming: one guarded update decides who uses a code, and what follows from it is in the same transaction."""

from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q

from accounts.models import Organisation, User
from billing import code_symbols
from billing.errors import WalletFrozen
from billing.models import CodeBatch, LedgerTransaction, Redemption, RedemptionCode
from billing.services import promotion_rules, promotions, wallets
from billing.services.codes import books
from billing.services.codes.errors import CodeMistyped, CodeRefused
from billing.services.grants import Terms
from billing.services.promotion_rules import PromotionRefused
from newapi.kernel import clock, secrets

_TRIES_MAX = 5


class Quicker(Exception):
    """Somebody was quicker with this code, or with another of its batch. Nothing was changed; ask again."""


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
        with suppress(Quicker):
            return _redeem(_usable(digests, organisation), organisation, user, address)
    raise CodeRefused


def find(*, raw: str) -> RedemptionCode | None:
    """The code that somebody typed, for an admin who looks it up. Raises CodeMistyped."""
    return _with_batch(_digests(raw))


def _digests(raw: str) -> list[bytes]:
    """What the code could be stored as: one for each field key. Raises CodeMistyped."""
    symbols = code_symbols.read(raw)
    if symbols is None:
        raise CodeMistyped
    return [secrets.code_digest(symbols, key_id=key_id) for key_id in settings.FIELD_KEYS]


def _with_batch(digests: list[bytes]) -> RedemptionCode | None:
    return RedemptionCode.objects.select_related("batch__promotion").filter(digest__in=digests).first()


def _usable(digests: list[bytes], organisation: Organisation) -> RedemptionCode:
    """The code, if nothing speaks against it. Raises CodeRefused.

    The same is asked of the database whatever the code is, so that no answer takes longer than another.
    """
    code = _with_batch(digests)
    own = Redemption.objects.filter(batch_id=code.batch_id if code else None, organisation=organisation)
    taken = own.aggregate(of_batch=Count("pk"), of_code=Count("pk", filter=Q(code=code)))
    if (
        code is None
        or taken["of_code"]
        or taken["of_batch"] >= code.batch.uses_per_organisation
        or code.uses >= code.batch.uses_per_code
        or code.voided_at is not None
        or not _is_open(code.batch)
        or not _is_for(code.batch, organisation)
    ):
        raise CodeRefused
    return code


def _is_open(batch: CodeBatch) -> bool:
    """Out, and between its dates, from the first moment until just before the last; its promotion runs."""
    if batch.state != CodeBatch.State.OUT or not batch.starts_at <= clock.now() < batch.expires_at:
        return False
    return batch.promotion is None or promotion_rules.standing(batch.promotion) == "Runs"


def _is_for(batch: CodeBatch, organisation: Organisation) -> bool:
    """Its currency; and of an issuer, only its own organisation and its clients may redeem (BIL-04)."""
    return batch.currency == organisation.currency and (
        batch.issuer_id is None or batch.issuer_id in (organisation.pk, organisation.client_of_id)
    )


@transaction.atomic
def _redeem(code: RedemptionCode, organisation: Organisation, user: User | None, address: str | None) -> Redemption:
    """Raises Quicker, CodeRefused."""
    batch, now = code.batch, clock.now()
    # Compared on the row that is changed, so that of two at once the second sees the first's; and of a batch that
    # was voided since it was read, nothing is used any more.
    still_out = CodeBatch.objects.filter(pk=batch.pk, state=CodeBatch.State.OUT).values("pk")
    standing = RedemptionCode.objects.filter(
        pk=code.pk, voided_at=None, uses__lt=batch.uses_per_code, batch__in=still_out
    )
    if not standing.update(uses=F("uses") + 1):
        raise Quicker
    code.uses += 1
    booked = wallets.credit(
        organisation=organisation,
        amount_nano=batch.value_nano,
        kind=LedgerTransaction.Kind.REDEMPTION,
        idempotency_key=f"redeem:{code.pk}:{organisation.pk}",
        actor=user,
        reason=f"Redemption code {code}",
        address=address,
        source=books.source_of(batch),
        terms=Terms(
            category=batch.category,
            priority=batch.priority,
            expires_at=now + timedelta(days=batch.grant_days) if batch.grant_days else None,
        ),
    )
    try:
        # The wallet is locked by now, so an organisation's redemptions are counted one after the other.
        number = 1 + Redemption.objects.filter(batch=batch, organisation=organisation).count()
        if number > batch.uses_per_organisation:
            raise Quicker
        if batch.promotion is not None:
            promotions.use(promotion=batch.promotion, organisation=organisation, nano=batch.value_nano, booked=booked)
        return Redemption.objects.create(
            code=code,
            batch=batch,
            organisation=organisation,
            user=user,
            number=number,
            transaction=booked,
            grant=booked.grant,
            at=now,
        )
    except PromotionRefused:
        raise CodeRefused from None
    except IntegrityError:
        raise Quicker from None
