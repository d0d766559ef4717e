"""One fresh process: build the embedded pipeline, ask one question, tell times and memory as JSON.

Run as `python -m benchmarks.startup CHECKPOINT DEVICE THREADS STARTED`, THREADS 0 for torch's own choice;
STARTED is the clock of the caller just before. It imports as little as `reasoncd detect` does.
"""

import json
import sys
import time
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Measure this process and print what was found."""
    checkpoint, device, threads, started = arguments
    import numpy as np

    from gateway.embedded import build_pipeline

    pipeline = build_pipeline(Path(checkpoint), device=device, threads=int(threads) or None)
    # The monotonic clock is one for all processes of a machine.
    ready = time.monotonic() - float(started)
    built_mib = peak_mib()
    images = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    pipeline.detect(images, ["new buildings"])
    answered = time.monotonic() - float(started)
    print(json.dumps({"ready": ready, "answered": answered, "built_mib": built_mib, "peak_mib": peak_mib()}))


def peak_mib() -> float:
    """Highest resident memory of this process so far.

    From /proc: `getrusage` would count what the process that started this one had in use.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
