"""The three services behind a wire, for the same pipeline as the engines in this process.

`connect(RemoteConfig(target="127.0.0.1:9000"))` gives a `RemoteModel`. Needs the extra `rpc`.
"""

from gateway.remote.config import APPLICATIONS, Application, RemoteConfig
from gateway.remote.connect import connect
from gateway.remote.model import RemoteModel

__all__ = ["APPLICATIONS", "Application", "RemoteConfig", "RemoteModel", "connect"]
