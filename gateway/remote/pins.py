"""The editions that one run of a request holds on to, so that no answer mixes two of a component.

Every reply says by whom it was computed. While a service is replaced, its old and new replicas answer side by
side: a reply from another edition than the request holds on to is dropped and asked for again. Where that
does not help, the old edition is gone, and the request has to be run again with the new one.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

from gateway.remote.directory import Directory, Editions, is_from
from reasoncd.errors import UnavailableError
from reasoncd.ports import Description
from reasoncd.v1 import describe_pb2

ASKS = 4
"""How often the first run of a request asks for a reply of the right edition before it takes it for gone.

Each further run asks that many times more: where old and new replicas answer in turns, what failed was
chance, not an edition that is gone.
"""

Component = Literal["vision", "reasoner", "decoder"]
Reply = TypeVar("Reply")


class ReplacedError(UnavailableError):
    """A service was replaced while it worked for a request."""

    def __init__(self, component: str) -> None:
        super().__init__(f"{component} was replaced while it worked for this request; ask again")


class Pins:
    """Of one run. Threads may share it.

    Args:
        directory: who the services are.
        run: which run of its request, from 1.
    """

    def __init__(self, directory: Directory, run: int = 1) -> None:
        self._directory = directory
        self.asks = ASKS * run
        """How often a reply of the right edition is asked for."""
        self._editions = directory.current()
        self._reasoner_replied = False

    @property
    def editions(self) -> Editions:
        """What the run holds on to."""
        return self._editions

    def reply(
        self, component: Component, ask: Callable[[], Reply], origin: Callable[[Reply], describe_pb2.Origin]
    ) -> Reply:
        """A reply of the edition that the run holds on to.

        Args:
            component: who is asked.
            ask: asks.
            origin: who computed a reply.

        Raises:
            ReplacedError: other editions replied, again and again.
            CheckpointError: another edition replied, and does not fit the others.
        """
        for _ in range(self.asks):
            reply = ask()
            if self.holds(component, origin(reply)):
                return reply
        raise ReplacedError(self._pinned(component).component)

    def holds(self, component: Component, origin: describe_pb2.Origin) -> bool:
        """Whether a reply comes from the edition that the run holds on to.

        The reasoner is held on to from its first reply on, because nothing of a run depends on it before.
        So a run takes a new reasoner as it comes, if it fits.
        """
        same = is_from(origin, self._pinned(component))
        if component == "reasoner" and not self._reasoner_replied:
            if not same:
                other = self._directory.with_reasoner(self._editions, origin)
                if other is None:
                    return False
                self._editions = other
            self._reasoner_replied = True
            return True
        return same

    def _pinned(self, component: Component) -> Description:
        found: Description = getattr(self._editions, component)
        return found
