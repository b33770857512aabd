"""The attempts of one call: what was tried, what came of each, and what the health board is told of it."""

from typing import Any

from newapi.gateway.health import Board
from newapi.gateway.reached import Reached
from newapi.gateway.routing import Hop, Tried
from newapi.kernel import clock

# What a usage row holds; `count` goes on.
KEPT_MAX = 20


class Attempts:
    """Begun and ended one at a time. What failed is kept for the usage row, what is on its way for the gauges."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.tried = Tried()
        self.count = 0
        self.last: Hop | None = None
        self.failed: list[dict[str, Any]] = []
        self._open: Hop | None = None
        self._began_ms = 0
        self._is_judged = False

    async def claim(self, hop: Hop) -> bool:
        """Claim the trials of a hop that comes back from a rest; all of them or none."""
        claimed: list[str] = []
        for target in hop.trials:
            if not await self._board.claim(target):
                self.tried.unclaimed.add(target)
                for other in claimed:
                    self._board.release(other)
                return False
            claimed.append(target)
        return True

    def begin(self, hop: Hop) -> None:
        """An attempt goes out."""
        self.count += 1
        self.last = self._open = hop
        self._is_judged = False
        self._began_ms = clock.now_ms()
        self.tried.channels.add(hop.channel.id)
        self.tried.keys.add(hop.key.id)
        self._board.began(hop.channel.id)

    def next_model(self) -> None:
        """Another model stands in: what was learnt of channels that are gone stays, the rest is about the model."""
        self.tried = Tried(dead_channels=self.tried.dead_channels)

    def answer(self, reached: Reached) -> None:
        """The upstream took the call. The attempt stays open until `end`."""
        self._is_judged = True
        self._board.answered(reached.hop.channel.care, reached.hop.key.id, max(0, clock.now_ms() - self._began_ms))

    def fail(self, what: str, status: int | None = None) -> None:
        """The channel failed: unreachable, timeout, broken, or a status of 500 and above."""
        hop = self._close(what, status)
        if what == "unreachable":
            self.tried.dead_channels.add(hop.channel.id)
        self._give_back(hop, "k:")
        self._board.failed(hop.channel.care, what if status is None else f"status {status}")

    def pass_over(self, what: str, status: int) -> None:
        """The channel does not serve this call, which says nothing about its health."""
        self._give_back(self._close(what, status))

    def refuse_key(self, status: int) -> None:
        """The upstream does not take our key."""
        hop = self._close("key", status)
        self._give_back(hop, "c:")
        self._board.key_refused(hop.channel.care, hop.key.id, status)

    def out_of_quota(self, wait_s: int | None) -> None:
        """The account's quota for this model is used up."""
        hop = self._close("quota", 429)
        self._give_back(hop)
        self.tried.exhausted_accounts.add(hop.channel.account_id)
        self._board.out_of_quota(hop.channel.account_id, hop.route.upstream_name, wait_s)

    def end(self, *, broke_off: bool = False) -> None:
        """The call is over. An attempt that came to no verdict (the caller left) gives its trials back.

        broke_off: the answer had begun and did not come to its end, which is a failure all the same.
        """
        hop, self._open = self._open, None
        if hop is None:
            return
        self._board.ended(hop.channel.id)
        if broke_off:
            self._board.failed(hop.channel.care, "broke off")
        elif not self._is_judged:
            self._give_back(hop)

    def _close(self, what: str, status: int | None) -> Hop:
        """The attempt failed: keep it for the row."""
        hop, self._open = self._open, None
        assert hop is not None
        self._board.ended(hop.channel.id)
        if len(self.failed) < KEPT_MAX:
            self.failed.append(
                {
                    "channel": hop.channel.id,
                    "key": hop.key.id,
                    "status": status,
                    "outcome": what,
                    "ms": max(0, clock.now_ms() - self._began_ms),
                }
            )
        return hop

    def _give_back(self, hop: Hop, kind: str = "") -> None:
        """Release the trials that came to no verdict: those of channels (`c:`), of keys (`k:`), or all."""
        for target in hop.trials:
            if target.startswith(kind):
                self._board.release(target)
