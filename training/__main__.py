"""`python -m training`, and `torchrun -m training` for several processes: the same as `reasoncd-train`."""

from training.cli import app

app()
