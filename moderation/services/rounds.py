"""Rounds of a job over many things, of which one that breaks costs the others nothing."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from django.db import InterfaceError, OperationalError

T = TypeVar("T")
log = logging.getLogger(__name__)


def each(things: Iterable[T], act: Callable[[T], int], *, what: str) -> int:
    """Act on one thing after the other, each in a transaction of its own. Returns the sum of what the acts return.

    One that breaks is logged as `what` and left as it was; the next round comes to it again. When the database is away,
    it is so for all of them: its error is raised.
    """
    done = 0
    for thing in things:
        try:
            done += act(thing)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("%s %s could not be worked on", what, thing)
    return done
