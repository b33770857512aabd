"""The taxonomy: every code of the requirements is there, and none can be made to mean something else."""

from collections import Counter

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from accounts.models import Organisation
from moderation import policy
from moderation.models import PolicyCategory
from tests.moderation import desk

pytestmark = pytest.mark.django_db


@pytest.mark.req("MOD-01")
def test_a_fresh_database_has_every_category_of_the_taxonomy() -> None:
    """85 rows in requirements §7; the counts by level, class and pack are taken from there by hand."""
    rows = PolicyCategory.objects.all()
    assert rows.count() == 85
    assert Counter(row.level for row in rows) == {"L1": 11, "L2": 27, "L3": 41, "L4": 6}
    assert Counter(row.policy_class for row in rows) == {"P": 44, "R": 15, "C": 26}
    assert Counter(row.pack for row in rows) == {"G": 77, "CN": 8}
    assert set(rows.filter(is_sealed=True).values_list("code", flat=True)) == {"CS-CSAM", "CS-GROOM"}
    assert set(rows.filter(level_is_stated=True).values_list("code", flat=True)) == {
        *("CS-CSAM", "TE-TERROR", "WP-DEV", "SX-NCII", "HR-SEVERE", "IP-INFRINGE"),
        *("PA-JAILBREAK", "PA-RATE", "PA-BILLING", "PA-ACCESS"),
    }


@pytest.mark.req("MOD-01", "MOD-04")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "CS-CSAM",
            {
                "name": "Child sexual abuse material, sexualised minors",
                "level": "L1",
                "policy_class": "P",
                "approval_rule": "never",
                "dsa_category": "MIN",
                "sources": "T§2,§6; U1.1,3.1; M proh.; A2.2.5(q)",
            },
        ),
        (
            "SX-ADULT",
            {
                "level": "L3",
                "policy_class": "R",
                "approval_rule": "yes: explicit account approval (T§4, M); profile A and U forbid outright",
                "dsa_category": "PRN",
            },
        ),
        ("PA-LOAD", {"level": "L4", "level_note": "the first time; L3 on repeat", "policy_class": "C"}),
        ("GB-GAMBLING", {"pack": "CN", "pack_note": "G where illegal", "dsa_category": "UNS"}),
        ("LG-ILLEGAL", {"level": "L2", "pack": "G", "policy_class": "P"}),
    ],
)
def test_a_category_carries_what_the_requirements_say(code: str, expected: dict[str, str]) -> None:
    row = desk.category(code)
    assert {name: getattr(row, name) for name in expected} == expected


@pytest.mark.req("MOD-01")
def test_a_category_cannot_be_deleted_one_by_one_or_in_bulk() -> None:
    with pytest.raises(ProtectedError):
        desk.category("PA-RATE").delete()
    with pytest.raises(ProtectedError):
        PolicyCategory.objects.filter(code="PA-RATE").delete()
    with pytest.raises(ProtectedError):
        PolicyCategory.objects.all().delete()
    assert PolicyCategory.objects.count() == 85


@pytest.mark.req("MOD-01")
def test_a_code_is_never_changed_or_given_twice() -> None:
    row = desk.category("PA-RATE")
    row.code = "PA-OTHER-RATE"
    with pytest.raises(ProtectedError):
        row.save()
    with pytest.raises(ProtectedError):
        PolicyCategory.objects.filter(code="PA-RATE").update(code="PA-SPEED")
    again = PolicyCategory(code="PA-RATE", name="Again", level="L4", level_is_stated=False, policy_class="C")
    with pytest.raises(IntegrityError), transaction.atomic():
        again.save()


@pytest.mark.req("MOD-01")
def test_seeding_again_brings_texts_up_to_date_and_keeps_what_the_deployer_decided() -> None:
    PolicyCategory.objects.filter(code="PA-RATE").update(name="Out of date", is_retired=True)
    key = desk.category("PA-RATE").pk
    policy.seed(PolicyCategory)
    row = desk.category("PA-RATE")
    assert (row.pk, row.name) == (key, "Beating rate limits by many keys / rotating credentials")
    assert row.is_retired
    assert PolicyCategory.objects.count() == 85


@pytest.mark.req("MOD-01")
def test_a_retired_category_is_cited_by_no_new_case(acme: Organisation) -> None:
    PolicyCategory.objects.filter(code="PA-RATE").update(is_retired=True)
    with pytest.raises(ValidationError, match="retired"):
        desk.case_of(acme, "PA-RATE")


def test_the_pack_of_another_law_is_off(acme: Organisation) -> None:
    """Packs beyond the general one bind only deployers who are subject to that law (requirements §7)."""
    with pytest.raises(ValidationError, match="not in force"):
        desk.case_of(acme, "PO-HONOUR")
    assert not PolicyCategory.objects.in_force().filter(pack="CN").exists()
    assert PolicyCategory.objects.in_force().count() == 77
