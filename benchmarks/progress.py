"""How far a long measurement is and how long it will still take, on the standard error."""

import sys
import time


class Progress:
    """One line that is renewed on a terminal; elsewhere a line about every tenth of the way."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._started = time.perf_counter()
        self._live = sys.stderr.isatty()

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        if not self._live and self._done not in {
            1, self._total, *(round(i * self._total / 10) for i in range(1, 10))
        }:  # fmt: skip
            return
        left = (time.perf_counter() - self._started) / self._done * (self._total - self._done)
        minutes, seconds = divmod(round(left), 60)
        line = f"{self._what}: {self._done} of {self._total}, {minutes} min {seconds:02} s left"
        end = "\n" if not self._live or self._done == self._total else ""
        print(f"\r\033[K{line}" if self._live else line, end=end, file=sys.stderr, flush=True)
