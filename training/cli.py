"""`reasoncd-train`: prepare data, pretrain, fit, export; what was cut off goes on where it was.

Results go to the standard output, progress and errors to the standard error. Exit status: 0 where the
work is done, 2 where something given cannot be used, 1 where the fault is ours.
"""

import typer

from training.commands.ablate import ablate
from training.commands.prepare import app as prepare_app
from training.commands.stages import adopt, average, export, fit, pretrain, run
from training.commands.trials import compare_sam, overhead, probe

# What computes is imported where it is used, so that --help stays quick.

app = typer.Typer(
    name="reasoncd-train",
    help="Train ReasonCD: prepare data, pretrain the small encoders, fit the models, export a checkpoint.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(prepare_app)

app.command()(run)
app.command()(pretrain)
app.command()(fit)
app.command()(overhead)
app.command()(adopt)
app.command()(average)
app.command()(probe)
app.command("compare-sam")(compare_sam)
app.command()(export)
app.command()(ablate)
