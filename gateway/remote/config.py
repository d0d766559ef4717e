"""Where the services are, and how patiently they are called."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from gateway.features import CACHE_BYTES
from reasoncd.errors import InvalidInputError
from reasoncd.rpc.tls import Tls

Application = Literal["clip", "sam-fpn-fusion", "reasoner", "mask-decoder"]
APPLICATIONS: tuple[Application, ...] = get_args(Application)
"""What a target serves, by the names that the metadata key `application` takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteConfig:
    """How the services are reached."""

    target: str | None = None
    """`HOST:PORT` of every application that `targets` does not name."""
    targets: Mapping[Application, str] = field(default_factory=dict)
    """`HOST:PORT` by application, where they are served apart."""
    tls: Tls | None = None
    """None for plain channels: Serve's proxy speaks no TLS."""
    wait_s: float = 60.0
    """How long to wait at the start until every service answers."""
    call_timeout_s: float = 300.0
    """Of one call whose request has no nearer deadline."""
    concurrent: bool = True
    """Whether tiles are encoded while the reasoner is at work; the answers are the same."""
    cache_bytes: int = 2 * CACHE_BYTES
    """Bound of the features kept for further questions on a pair. Twice that of a process that holds the
    model too: the 324 tiles of a pair of 3,400 pixels a side in `mini`."""
    retry_ratio: float = 0.1
    """Retries that each call earns its service; see `RetryBudget`."""
    retry_reserve: int = 20
    """Retries in a row that a service is granted after a quiet time."""

    def __post_init__(self) -> None:
        for name in self.targets:
            if name not in APPLICATIONS:
                known = ", ".join(APPLICATIONS)
                raise InvalidInputError(f"targets names {name!r}; the applications are {known}")
        for name in APPLICATIONS:
            target = self.target_of(name)
            host, _, port = target.rpartition(":")
            if not host or not port.isdigit():
                raise InvalidInputError(f"the target of {name} is {target!r}; give HOST:PORT")
        for setting in ("wait_s", "call_timeout_s"):
            if getattr(self, setting) <= 0:
                raise InvalidInputError(f"{setting} is {getattr(self, setting)}; give a positive time")
        if not 0 <= self.retry_ratio <= 1 or self.retry_reserve < 0:
            raise InvalidInputError(
                f"retry_ratio is {self.retry_ratio} and retry_reserve {self.retry_reserve}; "
                "give 0 to 1 and 0 or more"
            )

    def target_of(self, application: Application) -> str:
        """Where an application is served; empty where no address is given."""
        return self.targets.get(application) or self.target or ""
