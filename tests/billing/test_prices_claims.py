"""Operators hear of providers whose usage cannot be, once a day for each channel."""

from datetime import timedelta

import pytest

from accounts.models import Notice, Organisation
from billing.models import UsageEvent
from billing.pricing import Tokens
from billing.services import booking, claims
from channels.models import Channel, Model
from newapi.kernel import clock
from tests import cast
from tests.billing import calls

HOUR_S = 3600
ODD = Tokens(10, 90, 0, 5, 0, {"claim:cached_input": 40})


@pytest.mark.req("BIL-11")
def test_13_operators_are_told_of_claims_beyond_the_total_once_a_day_and_channel(
    acme: Organisation, chat_model: Model, mock_channel: Channel
) -> None:
    line, other = calls.line(acme, chat_model), cast.channel("Other")
    booking.book(
        [
            calls.answered(line, ODD, channel=mock_channel.pk),
            calls.answered(line, ODD, channel=mock_channel.pk),
            calls.answered(line, ODD, channel=other.pk),
            calls.answered(line, Tokens(10, extras={"input_audio": 5}), channel=mock_channel.pk),
            calls.answered(line, channel=mock_channel.pk),
        ]
    )
    assert claims.with_claims(UsageEvent.objects.all()).count() == 3
    assert [claims.tell(), claims.tell()] == [2, 0]
    notice = Notice.objects.get(title="Mock reports usage that cannot be")
    assert (notice.audience, notice.organisation) == (Notice.Audience.OPERATORS, None)
    assert "2 of its calls" in notice.body
    with clock.shifted(timedelta(days=1).total_seconds()):
        assert claims.tell() == 0
        again = calls.answered(line, ODD, id=calls.new_id(), at_ms=clock.now_ms(), channel=other.pk)
        booking.book([again])
        assert claims.tell() == 1


def test_what_lies_longer_back_was_told_before(acme: Organisation, chat_model: Model, mock_channel: Channel) -> None:
    booking.book([calls.answered(calls.line(acme, chat_model), ODD, channel=mock_channel.pk)])
    with clock.shifted(HOUR_S + 60):
        assert claims.tell() == 0
    assert claims.tell() == 1
