"""A file that is fetched: it appears whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reasoncd.errors import OutputError


@contextmanager
def written(target: Path) -> Iterator[Callable[[bytes], object]]:
    """Write a file in the block; it is there when the block has ended without an error.

    Raises:
        OutputError: it cannot be written.
    """
    draft = target.with_name(f".{target.name}.part")
    try:
        with draft.open("wb") as sink:
            yield sink.write
        draft.replace(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written ({error.strerror}); name another place") from error
    finally:
        draft.unlink(missing_ok=True)
