"""`reasoncd deploy`: replace one running service by another checkpoint's, under load."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.terminal import one_sentence
from gateway.commands.up import SERVICES_PORT, ServicesPortOption


def deploy(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="reasoner, mask-decoder, clip or sam-fpn-fusion.")
    ],
    checkpoint: Annotated[Path, typer.Option(metavar="DIR", help="Its new checkpoint.")],
    services_port: ServicesPortOption = SERVICES_PORT,
) -> None:
    """Give one service of a running `reasoncd up` another checkpoint; requests go on meanwhile."""
    with one_sentence():
        from gateway.local_services import redeploy

        redeploy(service, checkpoint=checkpoint, port=services_port)
        typer.echo(f"{service} now runs {checkpoint}")
