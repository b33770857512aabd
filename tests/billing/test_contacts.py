"""Signs without a number are no number, and are not taken for none."""

import pytest
from django.core.exceptions import ValidationError

from billing.services import contacts


@pytest.mark.req("BIL-06")
@pytest.mark.parametrize("written", ["+", "00", " - ", "()", "+ ."])
def test_signs_without_a_number_are_refused(written: str) -> None:
    with pytest.raises(ValidationError, match="country code"):
        contacts.normal_phone(written)


def test_blank_is_no_number() -> None:
    assert contacts.normal_phone("  ") == ""
