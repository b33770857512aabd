"""The rows of what runs when, made after each migration, beside what admins have made themselves."""

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from newapi.schedule import JOBS, seed

pytestmark = pytest.mark.django_db


def test_an_interval_that_an_admin_made_twice_does_not_stop_a_migration() -> None:
    PeriodicTask.objects.all().delete()
    IntervalSchedule.objects.all().delete()
    for _ in range(2):
        IntervalSchedule.objects.create(every=5, period=IntervalSchedule.SECONDS)
    seed()
    assert set(PeriodicTask.objects.values_list("name", flat=True)) == {job.name for job in JOBS}
    assert IntervalSchedule.objects.filter(every=5, period=IntervalSchedule.SECONDS).count() == 2


def test_what_an_admin_changed_stays() -> None:
    seed()
    PeriodicTask.objects.filter(name="Open top-ups").update(enabled=False)
    PeriodicTask.objects.filter(name="Tell epochs again").delete()
    seed()
    assert not PeriodicTask.objects.get(name="Open top-ups").enabled
    assert PeriodicTask.objects.get(name="Tell epochs again").enabled
