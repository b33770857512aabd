"""The schedule in the admin: seen, paced, paused and run by hand, each with a reason."""

from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from redis import Redis

from accounts.models import AuditEvent
from newapi.schedule import JOBS
from tests.admin import pages


@pytest.fixture
def job(db: None) -> PeriodicTask:
    """A job that the platform has seeded."""
    return PeriodicTask.objects.get(name=JOBS[0].name)


def test_every_job_of_the_platform_is_listed(boss: Client) -> None:
    page = unescape(pages.text(boss.get(pages.list_of(PeriodicTask))))
    assert [job.name for job in JOBS if job.name not in page] == []


def test_a_job_is_paused_and_paced_with_a_reason(boss: Client, job: PeriodicTask) -> None:
    slower = IntervalSchedule.objects.create(every=77, period="seconds")
    page = pages.fields(boss, pages.change(job))
    assert page["task"] == job.task
    page.pop("enabled")
    sent = {**page, "interval": slower.pk, "expire_seconds": "77"}
    assert boss.post(pages.change(job), {**sent, "reason": ""}).status_code == 200
    assert boss.post(pages.change(job), {**sent, "reason": pages.REASON}).status_code == 302
    job.refresh_from_db()
    assert (job.enabled, job.interval) == (False, slower)
    event = AuditEvent.objects.get(action="periodic_task.change")
    assert event.reason == pages.REASON
    assert event.changes["enabled"] == [True, False]


@pytest.mark.parametrize(
    ("field", "value"), [("args", "{}"), ("kwargs", "[]"), ("args", "nonsense"), ("task", "os.system")]
)
def test_a_job_that_could_not_run_is_refused(boss: Client, job: PeriodicTask, field: str, value: str) -> None:
    assert pages.send(boss, pages.change(job), **{field: value}).status_code == 200
    job.refresh_from_db()
    assert (job.args, job.kwargs, job.task) == ("[]", "{}", JOBS[0].task)


def test_a_job_is_sent_to_the_workers_by_hand(boss: Client, redis: Redis, job: PeriodicTask) -> None:
    response = boss.post(pages.act(job, "run_now"), {"reason": pages.REASON}, follow=True)
    assert "to the workers" in pages.text(response)
    assert redis.llen("celery") == 1
    assert job.task.encode() in redis.lindex("celery", 0)
    assert AuditEvent.objects.filter(action="periodic_task.run", reason=pages.REASON).exists()


def test_running_a_job_needs_the_right(staff: Callable[..., Client], redis: Redis, job: PeriodicTask) -> None:
    viewer = staff("django_celery_beat.view_periodictask")
    assert viewer.post(pages.act(job, "run_now"), {"reason": pages.REASON}).status_code == 403
    assert redis.llen("celery") == 0


def test_an_interval_in_use_is_not_deleted(boss: Client, job: PeriodicTask) -> None:
    boss.post(pages.delete(job.interval), {"reason": pages.REASON})
    assert IntervalSchedule.objects.filter(pk=job.interval_id).exists()
    assert PeriodicTask.objects.filter(pk=job.pk).exists()
