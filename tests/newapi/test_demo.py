"""The demonstration set-up: callable at once, and the same when it is run again."""

from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from channels.models import AuthorisationEvidence, Channel
from channels.services import evidence
from newapi import demo
from newapi.gateway import catalogue_loader
from newapi.kernel import clock


@pytest.fixture
def prepare(db: None, settings: Any, tmp_path: Path) -> dict[str, object]:
    """The set-up, made once."""
    settings.VAR_DIR = tmp_path
    return again()


def again() -> dict[str, object]:
    """Run it."""
    return demo.prepare(upstream=demo.upstream_of("anthropic", None, None), base_url="http://127.0.0.1:8000")


@pytest.mark.req("CHN-01")
def test_the_channel_has_evidence_that_the_command_handed_in_and_the_admin_approved(prepare: dict[str, object]) -> None:
    again()
    piece = AuthorisationEvidence.objects.get()
    assert (piece.channel, piece.submitted_by, piece.approved_by) == (
        Channel.objects.get(),
        None,
        User.objects.get(email=prepare["admin_user"]),
    )
    (entry,) = catalogue_loader.load().models.values()
    (window,) = entry.routes[0].channel.access.windows or ()
    assert window[0] <= clock.now_ms()
    assert window[1] is None


def test_what_it_prints_stays_the_same(prepare: dict[str, object]) -> None:
    assert again() == prepare


@pytest.mark.req("CHN-01")
def test_evidence_that_was_withdrawn_is_made_anew(prepare: dict[str, object]) -> None:
    evidence.withdraw(evidence=AuthorisationEvidence.objects.get(), actor=None, reason="Tried out")
    again()
    again()
    assert AuthorisationEvidence.objects.filter(withdrawn_at=None).count() == 1
