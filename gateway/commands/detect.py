"""`reasoncd detect`: answers about two image files, by the models in this process or by a running gateway."""

import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.commands.gateway_options import (
    GatewayOption,
    GatewayOptions,
    TimeoutOption,
    TlsCaOption,
    TlsCertOption,
    TlsKeyOption,
    TlsNameOption,
    TlsOption,
    TokenFileOption,
)
from gateway.commands.terminal import one_sentence, path_text, progress


def detect(
    t1: Annotated[Path, typer.Argument(metavar="T1", help="The earlier image: PNG, JPEG or (Geo)TIFF.")],
    t2: Annotated[Path, typer.Argument(metavar="T2", help="The later image, of the same size.")],
    queries: Annotated[list[str], typer.Argument(metavar="QUERY...", help="Questions, each in quotes.")],
    explain: Annotated[bool, typer.Option("--explain", help="Have each answer give its reason.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The model; REASONCD_CHECKPOINT or checkpoints/mini if not given."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results go.")] = Path("reasoncd-out"),
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="From this probability on a pixel is changed; the model's if not given."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the index of results as JSON.")] = False,
    gateway: GatewayOption = None,
    token_file: TokenFileOption = None,
    timeout: TimeoutOption = None,
    tls: TlsOption = False,
    tls_ca: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    tls_name: TlsNameOption = None,
) -> None:
    """Answer questions about what changed from T1 to T2, with a map and polygons for each."""
    with one_sentence():
        from gateway import checks, outputs
        from gateway.embedded import build_pipeline
        from gateway.images import read_pair
        from reasoncd.ports import Mode

        options = GatewayOptions(
            gateway=gateway,
            token_file=token_file,
            timeout=timeout,
            tls=tls,
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_name=tls_name,
        )
        with options.open(checkpoint) or nullcontext() as client:
            asked = checks.check_queries(queries)
            checks.check_threshold(threshold)
            outputs.check_output(out, asked)
            pair = read_pair(t1, t2)
            checks.check_images(pair.images, len(asked))
            # What a library prints must not mix with the answers.
            with redirect_stdout(sys.stderr), progress() as (say, show_stage):
                mode = Mode.EXPLAINED if explain else Mode.SHORT
                if client:
                    from gateway.by_gateway import detect_by_gateway

                    say(f"asking the gateway at {gateway}")
                    detections = detect_by_gateway(
                        client, pair.images, asked, mode=mode, threshold=threshold, show_stage=show_stage
                    )
                else:
                    pipeline = build_pipeline(checkpoint, progress=say)
                    detections = pipeline.detect(
                        pair.images,
                        asked,
                        mode=mode,
                        threshold=threshold,
                        on_event=lambda event: show_stage(event.stage, event.done, event.total),
                    )
                say("writing the results")
                source = outputs.Source(t1=path_text(t1), t2=path_text(t2))
                index = outputs.write_results(out, source, pair, detections)
        if as_json:
            typer.echo(json.dumps(index, indent=2, ensure_ascii=False))
        else:
            _print_results(out, index)


def _print_results(out: Path, index: dict[str, Any]) -> None:
    for result in index["results"]:
        confidence = result["confidence"]
        facts = [
            f"presence {result['presence']:.2f}",
            "empty map" if confidence is None else f"confidence {confidence:.2f}",
            path_text(out / result["folder"]),
        ]
        typer.echo(f"{result['query']}\n  {result['answer']}\n  {'   '.join(facts)}")
