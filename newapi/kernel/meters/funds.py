"""What the database tells a till of an organisation's money."""

from dataclasses import dataclass

from newapi.kernel import clock


@dataclass(frozen=True, slots=True)
class PurseFunds:
    """A purse: money that only some calls may spend. In nano, as running totals."""

    id: int
    funded_nano: int
    used_nano: int


@dataclass(frozen=True, slots=True)
class Funds:
    """Running totals in nano, without what is in purses. `funded_nano` has the credit limit in it.

    version: of what came in, so that an older fact never overwrites a newer one. dry_ms: when some of it expires,
    in ms since the epoch; 0: never.
    """

    organisation_id: int
    epoch: int
    funded_nano: int
    used_nano: int
    version: int
    dry_ms: int = 0
    purses: tuple[PurseFunds, ...] = ()

    def args(self, mode: str) -> list[int | str]:
        """The arguments of the script `load`. mode: `news` after a change, `load` to open a cold till."""
        flat = [number for purse in self.purses for number in (purse.id, purse.funded_nano, purse.used_nano)]
        return [self.funded_nano, self.used_nano, self.version, self.epoch, clock.now_ms(), mode, self.dry_ms, *flat]
