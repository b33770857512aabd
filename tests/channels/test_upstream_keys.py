"""Upstream keys: sealed, shown by four characters, rotated by command."""

from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from accounts.models import AuditEvent
from channels.models import Channel, UpstreamKey
from channels.services import upstream_keys
from newapi.kernel.secrets import SealBroken
from tests import cast

NEW_RING = {"new": b"1" * 32, "test": b"0" * 32}


def everything_in(table: str) -> str:
    """All that the database holds in a table."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
        return repr(cursor.fetchall())


@pytest.mark.req("CHN-08")
def test_the_secret_is_in_no_table_and_only_its_end_is_shown(mock_channel: Channel) -> None:
    key = mock_channel.keys.get()
    assert key.secret() == cast.UPSTREAM_SECRET
    assert str(key).endswith("(…7777)")
    for table in connection.introspection.table_names():
        assert cast.UPSTREAM_SECRET not in everything_in(table)
    assert AuditEvent.objects.filter(action="upstream_key.add").count() == 1


def test_a_key_copied_to_another_row_does_not_open(mock_channel: Channel) -> None:
    key = mock_channel.keys.get()
    copy = UpstreamKey.objects.create(channel=mock_channel, sealed=key.sealed, last_four="7777")
    with pytest.raises(SealBroken):
        copy.secret()


@pytest.mark.parametrize("secret", ["", "   ", "two words", "naïve", "line\nbreak"])
def test_what_cannot_be_sent_in_a_header_is_refused(mock_channel: Channel, secret: str) -> None:
    with pytest.raises(ValidationError):
        upstream_keys.add(channel=mock_channel, secret=secret, actor=None, reason="Test")
    assert mock_channel.keys.count() == 1


def rotate() -> str:
    """What the command says."""
    out = StringIO()
    call_command("rotate_field_keys", stdout=out)
    return out.getvalue().strip()


def test_rotation_seals_every_key_anew_and_is_harmless_twice(mock_channel: Channel) -> None:
    with override_settings(FIELD_KEYS=NEW_RING):
        assert rotate() == "1 upstream keys were sealed again."
        assert rotate() == "Nothing is left to do."
    with override_settings(FIELD_KEYS={"new": b"1" * 32}):
        assert mock_channel.keys.get().secret() == cast.UPSTREAM_SECRET


def test_rotation_without_the_old_key_changes_nothing_and_says_why(mock_channel: Channel) -> None:
    before = mock_channel.keys.get().sealed
    with override_settings(FIELD_KEYS={"new": b"1" * 32}), pytest.raises(CommandError, match="cannot be opened"):
        rotate()
    assert mock_channel.keys.get().sealed == before
