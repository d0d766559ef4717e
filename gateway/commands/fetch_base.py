"""`reasoncd fetch-base`: the base language model, once."""

import typer

from gateway.commands.terminal import one_sentence


def fetch_base() -> None:
    """Download and prepare the base language model, once."""
    with one_sentence():
        from gateway import embedded

        folder = embedded.fetch_base(progress=lambda words: typer.echo(words, err=True))
        typer.echo(folder)
