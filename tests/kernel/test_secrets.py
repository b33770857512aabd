"""Secrets: keys are told apart without a store, sealed texts open only where they belong."""

import pytest
from django.test import override_settings

from newapi.kernel import secrets


def test_a_minted_key_is_well_formed_and_any_changed_symbol_is_noticed() -> None:
    raw = secrets.mint_api_key()
    assert secrets.is_well_formed(raw)
    for index in range(3, len(raw)):
        changed = raw[:index] + ("A" if raw[index] != "A" else "B") + raw[index + 1 :]
        assert not secrets.is_well_formed(changed)


@pytest.mark.parametrize("raw", ["", "na-", "x" * 49, "na-" + "é" * 46, "sk-" + "A" * 46])
def test_anything_else_is_not(raw: str) -> None:
    assert not secrets.is_well_formed(raw)


@pytest.mark.req("CHN-08")
def test_a_sealed_text_opens_only_in_its_own_row() -> None:
    sealed = secrets.seal("sk-live", bound_to="row:1")
    assert "sk-live" not in sealed
    assert secrets.unseal(sealed, bound_to="row:1") == "sk-live"
    with pytest.raises(secrets.SealBroken):
        secrets.unseal(sealed, bound_to="row:2")
    with pytest.raises(secrets.SealBroken):
        secrets.unseal(sealed[:-6] + "AAAAA=", bound_to="row:1")


def test_an_old_field_key_still_opens_and_is_known_to_be_old() -> None:
    sealed = secrets.seal("sk-live", bound_to="row:1")
    with override_settings(FIELD_KEYS={"new": b"1" * 32, "test": b"0" * 32}):
        assert secrets.unseal(sealed, bound_to="row:1") == "sk-live"
        assert secrets.current_key_id() == "new"
        assert secrets.seal("x", bound_to="r").startswith("new.")
    with override_settings(FIELD_KEYS={"new": b"1" * 32}), pytest.raises(secrets.SealBroken):
        secrets.unseal(sealed, bound_to="row:1")


@pytest.mark.req("BIL-05")
def test_a_codes_digest_depends_on_the_code_and_on_the_key_and_is_neither() -> None:
    keys = {"new": b"1" * 32, "test": b"0" * 32}
    with override_settings(FIELD_KEYS=keys):
        digests = {secrets.code_digest(text, key_id=key_id) for text in ("A" * 20, "B" * 20) for key_id in keys}
        assert len(digests) == 4
        assert {len(digest) for digest in digests} == {32}
        assert not digests & {secrets.digest("A" * 20), b"A" * 20, *keys.values()}
        assert secrets.code_digest("A" * 20, key_id="test") == secrets.code_digest("A" * 20, key_id="test")
        with pytest.raises(secrets.SealBroken):
            secrets.code_digest("A" * 20, key_id="gone")
