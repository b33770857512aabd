"""What a crash trial is made of."""

from typing import ClassVar

from tests.trials.world import World


class Flow:
    """Something that moves money. Each trial has a key of its own, so that one flow can be tried again and again.

    `prepare` makes what `act` needs, `act` is killed, and then asked for once more, as whoever got no answer does.
    `check` says that it happened exactly once.
    """

    # As many steps as are tried in the short run.
    kills: ClassVar[int] = 8

    def __init__(self, world: World) -> None:
        self.world = world

    def prepare(self, key: str) -> None:
        """What must stand before, committed."""

    def act(self, key: str) -> object:
        """What is killed. Asking again with the same key must be harmless."""
        raise NotImplementedError

    def check(self, key: str) -> None:
        """That it happened once."""
        raise NotImplementedError
