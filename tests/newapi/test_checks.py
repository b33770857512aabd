"""System checks: what would make the product unsafe or half-working is said at start."""

import pytest
from django.core.checks import run_checks
from django.test import override_settings


def found(*, deploy: bool = False) -> set[str | None]:
    """The ids of what the checks say."""
    return {message.id for message in run_checks(include_deployment_checks=deploy)}


@pytest.mark.req("MOD-12")
@pytest.mark.parametrize("contact", ["", "   ", "nobody"])
def test_without_an_abuse_contact_the_product_does_not_start(contact: str) -> None:
    with override_settings(ABUSE_CONTACT=contact):
        assert "newapi.E002" in found()


@pytest.mark.req("MOD-12")
def test_a_deployment_is_told_that_the_address_it_came_with_reaches_nobody() -> None:
    assert "newapi.W001" in found(deploy=True)
    assert "newapi.W001" not in found()
    with override_settings(ABUSE_CONTACT="abuse@acme.example"):
        assert not {"newapi.W001", "newapi.E002"} & found(deploy=True)
