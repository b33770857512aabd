"""Names, slices and lives of the counters in Redis. All share the feed's hash tag.

Time is cut into slices of a minute, five minutes and an hour, numbered from the epoch. About 10 kB for a key
that called within the last hour, much less after it.
"""

from newapi.kernel.observations import TAG

MINUTE_MS, FIVE_MS, HOUR_MS = 60_000, 300_000, 3_600_000
# How many slices of each length are looked at, the current one included.
MINUTES, FIVES, HOURS = 15, 12, 24
MINUTES_TTL_S, FIVES_TTL_S, HOURS_TTL_S = 20 * 60, 70 * 60, 26 * 3600

# Before the name of a mark: how often it was when its signal was last written.
TOLD = "="
# Subjects that have to be looked at: `k:17`, `o:3:9` (organisation, user) or `a:1f…` (address).
TOUCHED = f"{TAG}touched"
LEASE = f"{TAG}run"
# How long a batch that arrives a second time is known for a repeat.
REPEAT_S = 3600


def batch(name: str) -> str:
    """Set once a batch was counted."""
    return f"{TAG}done:{name}"


def minutes(subject: str) -> str:
    """Hash: `<minute>c` calls, f refused for safety, b blocked, x malformed; of a group `<minute>:<key>` calls."""
    return f"{TAG}{subject}:m"


def fives(subject: str) -> str:
    """Hash: `<five>s` served calls, l of them with logprobs, q refused for the rate."""
    return f"{TAG}{subject}:f"


def hours(subject: str) -> str:
    """Hash: `<hour>s` served, o output tokens, d different prompts, `j:<rule>` phrases, `u:<code>` filtered."""
    return f"{TAG}{subject}:h"


def networks(subject: str) -> str:
    """Hash: `c:DE` and `a:3320` → the last hour in which the key called from there."""
    return f"{TAG}{subject}:n"


def prompts(subject: str, hour: int) -> str:
    """HyperLogLog of the prompts of an hour."""
    return f"{TAG}{subject}:p:{hour}"


def shapes(subject: str, five: int) -> str:
    """Sorted set: shape by how many different prompts had it."""
    return f"{TAG}{subject}:s:{five}"


def refused_shapes(subject: str, five: int) -> str:
    """Sorted set: shape by how many calls with it were refused for safety."""
    return f"{TAG}{subject}:r:{five}"


def request_ids(subject: str, kind: str) -> str:
    """List: the last few request ids of a kind."""
    return f"{TAG}{subject}:i:{kind}"
