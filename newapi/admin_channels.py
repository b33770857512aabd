"""What billing has to say of channels: the column of today's spend."""

from collections import defaultdict
from collections.abc import Sequence

from django.db.models import Sum

from billing import reports
from channels.admin import live
from channels.admin.health import Cell
from channels.models import Channel
from newapi.kernel import clock, money


def spend_today(channels: Sequence[Channel]) -> dict[int, Cell]:
    """Channel id → what organisations were charged for calls that it served today (UTC), each currency by itself."""
    sums: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    calls: dict[int, int] = defaultdict(int)
    for rows in reports.rows(first=clock.today()):
        grouped = rows.filter(channel__in=[channel.pk for channel in channels]).order_by()
        for channel_id, currency, cost_nano, count in grouped.values_list("channel_id", "currency").annotate(
            Sum("cost_nano"), Sum("calls")
        ):
            # PostgreSQL sums bigints to numerics.
            sums[channel_id][currency] += int(cost_nano)
            calls[channel_id] += int(count)
    return {
        channel_id: Cell(
            " + ".join(money.display(nano, currency) for currency, nano in sorted(spent.items())),
            note=f"{calls[channel_id]:,} call{'' if calls[channel_id] == 1 else 's'}",
        )
        for channel_id, spent in sums.items()
    }


live.add(live.Column("spend", "Spend today", "billing.view_rollupday", spend_today))
