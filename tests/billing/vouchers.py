"""Batches of codes as tests need them: ordered, made and downloaded through the services."""

from datetime import timedelta
from typing import Any

from billing.models import CodeBatch, Grant, Promotion, RedemptionCode
from billing.services import codes, promotions
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast

SOLD = {"category": Grant.Category.PAID}


def ordered(count: int = 3, **fields: Any) -> CodeBatch:
    """A batch of codes of 5 USD that are given away, valid from now for 30 days; not made yet."""
    values: dict[str, Any] = {
        "name": "Spring",
        "purpose": "compliant_service_fee",
        "currency": "USD",
        "value_nano": 5 * NANO,
        "expires_at": clock.now() + timedelta(days=30),
        "actor": None,
        "reason": "Test set-up",
    }
    return codes.make(count=count, **{**values, **fields})


def made(count: int = 3, **fields: Any) -> CodeBatch:
    """The same, ready to be downloaded."""
    batch = ordered(count, **fields)
    codes.make_waiting()
    batch.refresh_from_db()
    assert batch.state == CodeBatch.State.READY
    return batch


def taken(batch: CodeBatch) -> list[str]:
    """Its codes, as they stand in the one download."""
    text = "".join(codes.take(batch=batch, actor=None, reason="Test set-up").parts())
    batch.refresh_from_db()
    return [line.partition(",")[0] for line in text.splitlines()[1:]]


def issued(count: int = 3, **fields: Any) -> tuple[CodeBatch, list[str]]:
    """A batch that is out, and its codes."""
    batch = made(count, **fields)
    return batch, taken(batch)


def code(**fields: Any) -> str:
    """One code that is out."""
    return issued(1, **fields)[1][0]


def row(raw: str) -> RedemptionCode:
    """What is kept of a code."""
    found = codes.find(raw=raw)
    assert found is not None
    return found


def promotion(**fields: Any) -> Promotion:
    """A promotion for codes with a budget of 100 USD, reviewed by Olga; it runs for a week."""
    now = clock.now()
    values: dict[str, Any] = {
        "name": "Codes for everybody",
        "kind": Promotion.Kind.CODES,
        "currency": "USD",
        "starts_at": now,
        "ends_at": now + timedelta(days=7),
        "budget_nano": 100 * NANO,
        "times_per_organisation": 10,
        "actor": None,
        "reason": "Test set-up",
    }
    handed_in = promotions.submit(**{**values, **fields})
    return promotions.review(promotion=handed_in, document="LR-1", actor=cast.olga(), reason="Test set-up")
