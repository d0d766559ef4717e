"""`python -m k8s.validation OVERLAY ...`: all that is wrong with overlays that are applied together."""

import argparse
import sys
from pathlib import Path

from k8s.validation.checking import check
from k8s.validation.rendering import render
from k8s.validation.schemas import CRDS
from reasoncd.errors import ReasonCDError


def main() -> int:
    """Exit status: 0 where nothing is wrong, 2 where something is."""
    parser = argparse.ArgumentParser(prog="python -m k8s.validation", description=__doc__)
    parser.add_argument("overlays", nargs="+", type=Path, metavar="OVERLAY", help="folder of a kustomization")
    parser.add_argument(
        "--crds", type=Path, default=CRDS, help="folder of CustomResourceDefinitions to check against"
    )
    arguments = parser.parse_args()
    try:
        objects = [each for overlay in arguments.overlays for each in render(overlay)]
        problems = check(objects, crds=arguments.crds)
    except ReasonCDError as error:
        print(f"k8s.validation: {error.message}", file=sys.stderr)
        return error.exit_code
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{len(objects)} objects, nothing wrong")
    return 2 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
