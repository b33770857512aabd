"""Meters, holds and pending usage in Redis: the till. The database is the bank (design: money §5).

`available = posted - pending`. Scripts in `scripts/` are the only writers; `till` is the door of the
gateway (async), `bank` the door of everything else (sync). All keys of an organisation share a hash tag.
"""
