"""Redeeming: one guarded update decides who uses a code, and what follows from it is in the same transaction."""

import functools
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, QuerySet, Subquery

from accounts.models import Organisation, User
from billing import code_symbols
from billing.errors import WalletFrozen
from billing.models import CodeBatch, LedgerTransaction, Redemption, RedemptionCode, Wallet
from billing.services import promotion_rules, promotions, wallets
from billing.services.codes import books
from billing.services.codes.errors import CodeMistyped, CodeRefused
from billing.services.grants import Terms
from billing.services.promotion_rules import PromotionRefused
from newapi.kernel import clock, secrets, statements
from newapi.kernel.statements import Select, Update, slot

_TRIES_MAX = 5


class Quicker(Exception):
    """Somebody was quicker with this code, or with another of its batch. Nothing was changed; ask again."""


def redeem(*, raw: str, organisation: Organisation, user: User | None, address: str | None = None) -> Redemption:
    """Turn a code into a grant, all or nothing.

    Raises CodeMistyped without asking the database, CodeRefused for every code that is not to be redeemed here,
    WalletFrozen whatever the code is.
    """
    digests = _digests(raw)
    for _ in range(_TRIES_MAX):
        code = _usable(digests, organisation)
        if code is None:
            break
        with suppress(Quicker):
            return _redeem(code, organisation, user, address)
    # Of a frozen wallet the code is not used, whatever it is; so this answer says nothing of it.
    if wallets.open(organisation=organisation).frozen_at is not None:
        raise WalletFrozen(organisation)
    raise CodeRefused


def find(*, raw: str) -> RedemptionCode | None:
    """The code that somebody typed, for an admin who looks it up. Raises CodeMistyped."""
    return RedemptionCode.objects.select_related("batch__promotion").filter(digest__in=_digests(raw)).first()


def _digests(raw: str) -> list[bytes]:
    """What the code could be stored as: one for each field key. Raises CodeMistyped."""
    symbols = code_symbols.read(raw)
    if symbols is None:
        raise CodeMistyped
    return [secrets.code_digest(symbols, key_id=key_id) for key_id in settings.FIELD_KEYS]


def _usable(digests: list[bytes], organisation: Organisation) -> RedemptionCode | None:
    """The code, if nothing speaks against it, nor against the wallet.

    The same is asked of the database whatever the code is, so that no answer takes longer than another.
    """
    values = {f"digest{index}": digest for index, digest in enumerate(digests)}
    code: Any = _asked(len(digests)).first(organisation=organisation.pk, currency=organisation.currency, **values)
    if (
        code is None
        or code.is_frozen
        or code.is_taken
        or (code.taken_of_batch or 0) >= code.batch.uses_per_organisation
        or code.uses >= code.batch.uses_per_code
        or code.voided_at is not None
        or not _is_open(code.batch)
        or not _is_for(code.batch, organisation)
    ):
        return None
    return code


@functools.cache
def _asked(digests: int) -> Select[RedemptionCode]:
    """The code with one of so many digests, its batch and promotion, and what an organisation has redeemed of them."""
    organisation = slot(Redemption, "organisation")
    own = Redemption.objects.filter(organisation=organisation)
    wallet = Wallet.objects.filter(organisation=organisation, currency=slot(Wallet, "currency"))
    codes = RedemptionCode.objects.filter(
        digest__in=[slot(RedemptionCode, "digest", f"digest{index}") for index in range(digests)]
    )
    more = {
        "is_frozen": Exists(wallet.filter(frozen_at__isnull=False)),
        "is_taken": Exists(own.filter(code=OuterRef("pk"))),
        "taken_of_batch": Subquery(_last(own.filter(batch=OuterRef("batch")))),
    }
    return Select(lambda: codes.select_related("batch__promotion").annotate(**more).order_by())


def _last(redemptions: QuerySet[Redemption]) -> QuerySet[Redemption, int]:
    """The number of the last of an organisation's redemptions of a batch: how many there are, as none is deleted."""
    return redemptions.order_by("-number").values_list("number", flat=True)[:1]


def _last_of_batch() -> QuerySet[Redemption, int]:
    organisation, batch = slot(Redemption, "organisation"), slot(Redemption, "batch")
    return _last(Redemption.objects.filter(organisation=organisation, batch=batch))


_LAST = Select(_last_of_batch)


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


def _one_use_more() -> tuple[QuerySet[RedemptionCode], dict[str, Any]]:
    """Compared on the row that is changed, so that of two at once the second sees the first's.

    And of a batch that was voided since it was read, nothing is used any more.
    """
    still_out = CodeBatch.objects.filter(pk=slot(RedemptionCode, "batch"), state=CodeBatch.State.OUT).values("pk")
    uses_max = slot(RedemptionCode, "uses", "uses_max")
    standing = RedemptionCode.objects.filter(
        pk=slot(RedemptionCode, "id"), voided_at=None, uses__lt=uses_max, batch__in=still_out
    )
    return standing, {"uses": F("uses") + 1}


_USE = Update(_one_use_more)


@transaction.atomic
def _redeem(code: RedemptionCode, organisation: Organisation, user: User | None, address: str | None) -> Redemption:
    """Raises Quicker, CodeRefused."""
    batch, now = code.batch, clock.now()
    if not _USE(id=code.pk, batch=batch.pk, uses_max=batch.uses_per_code):
        raise Quicker
    code.uses += 1
    booked = wallets.bring_in(
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
        number = 1 + (_LAST.first(batch=batch.pk, organisation=organisation.pk) or 0)
        if number > batch.uses_per_organisation:
            raise Quicker
        if batch.promotion is not None:
            promotions.use(promotion=batch.promotion, organisation=organisation, nano=batch.value_nano, booked=booked)
        redemption = Redemption(
            code=code,
            batch=batch,
            organisation=organisation,
            user=user,
            number=number,
            transaction=booked,
            grant=booked.grant,
            at=now,
        )
        statements.insert([redemption])
    except PromotionRefused:
        raise CodeRefused from None
    except IntegrityError:
        raise Quicker from None
    return redemption
