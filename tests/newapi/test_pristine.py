"""A transactional test leaves nothing behind: the next one finds the database as migrations left it."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.db import IntegrityError

from accounts.models import AuditEvent, Organisation
from billing.models import LedgerTransfer
from moderation.models import DetectorRule, PolicyCategory
from tests.tools import pristine

pytestmark = pytest.mark.django_db(transaction=True)

Rows = dict[str, list[str]]


def rows() -> Rows:
    """Every row of every table that has any, as text."""
    found = {model: sorted(map(str, model._base_manager.values_list())) for model in apps.get_models()}
    return {model._meta.label: values for model, values in found.items() if values}


@pytest.fixture
def before(transactional_db: None) -> Rows:
    """What migrations made."""
    found = rows()
    assert {"auth.Permission", "moderation.PolicyCategory", "django_celery_beat.PeriodicTask"} <= set(found)
    assert not {"accounts.Organisation", "accounts.User", "billing.LedgerTransfer"} & set(found)
    return found


def test_what_a_test_wrote_goes_and_what_it_changed_or_deleted_comes_back(before: Rows, acme: Organisation) -> None:
    assert LedgerTransfer.objects.exists()
    Permission.objects.filter(codename="view_wallet").delete()
    PolicyCategory.objects.update(name="Nonsense")
    pristine.put_back()
    assert rows() == before


def test_tables_that_refuse_changes_refuse_them_again(acme: Organisation) -> None:
    pristine.put_back()
    AuditEvent.objects.create(action="test", reason="It stays")
    with pytest.raises(IntegrityError, match="never changed or deleted"):
        AuditEvent.objects.update(reason="It goes")
    with pytest.raises(IntegrityError, match="never changed or deleted"):
        AuditEvent.objects.all()._raw_delete("default")


def test_what_comes_next_gets_a_number_of_its_own(before: Rows) -> None:
    DetectorRule.objects.update(version=7)
    pristine.put_back()
    category = PolicyCategory.objects.latest("pk")
    last = category.pk
    category.pk, category.code = None, "NEW"
    category.save(force_insert=True)
    assert category.pk > last
