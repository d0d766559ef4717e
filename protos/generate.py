"""Generate the Python stubs of the contract into `reasoncd/v1`: `python protos/generate.py [FOLDER]`.

The stubs are in the repository, so that an installation needs no compiler; a test generates them anew and
compares.
"""

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent


def generate(out: Path) -> None:
    """Write `reasoncd/v1/*_pb2.py`, `*_pb2.pyi` and `*_pb2_grpc.py` under a folder."""
    out.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("reasoncd/v1/*.proto"))
    arguments = [
        "protoc",
        f"--proto_path={PROTOS}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--python_out={out}",
        f"--pyi_out={out}",
    ]
    serving = [name for name in sources if "\nservice " in (PROTOS / name).read_text()]
    for command in ([*arguments, *sources], [*arguments, f"--grpc_python_out={out}", *serving]):
        if status := protoc.main(command):
            raise SystemExit(status)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
