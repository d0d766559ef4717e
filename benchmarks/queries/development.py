"""The queries on which choices are made, so that the held-out ones stay unseen.

Like the held-out queries they are kept out of training, but whoever tunes a model may look at them as often
as they like: runs on them are not counted, and their figures prove nothing.
"""

import hashlib
from pathlib import Path

from benchmarks.queries.held_out import HeldOutSet
from reasoncd.errors import NotFoundError
from training.queries.asked import parse_queries

DEVELOPMENT_FILE = Path(__file__).parent / "development.yaml"


def load_development(path: Path = DEVELOPMENT_FILE) -> HeldOutSet:
    """Read a YAML file of the layout that `training.queries.asked` tells.

    Raises:
        NotFoundError: there is no such file.
        CorruptDataError: it is no such file; the message names the entry.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read; name a YAML file of queries") from error
    queries = parse_queries(data, where=str(path))
    return HeldOutSet(queries=queries, sha256=hashlib.sha256(data).hexdigest())
