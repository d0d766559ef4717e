"""`reasoncd serve` as a process: it says when it is ready, answers, and ends on the signal without loss."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from reasoncd.client import ReasonCDClient
from tests.gateway.server.bad_requests import GOOD
from tests.gateway.server.conftest import form

pytestmark = pytest.mark.e2e

# The command itself, over small engines instead of a checkpoint's.
PROGRAM = """
import sys
from gateway import embedded
from tests.gateway.conftest import DifferenceEncoder, SignDecoder, WordReasoner

embedded.load_engines = lambda *_, **__: (DifferenceEncoder(), WordReasoner(), SignDecoder())
from gateway.cli import app

app(["serve", "--grpc-port", "0", "--http-port", "0", *sys.argv[1:]])
"""


@contextmanager
def serving(*options: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", PROGRAM, *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_the_signal(number: signal.Signals) -> None:
    with serving() as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"ready: gRPC at (\S+), HTTP at (\S+) \(its page: (\S+)\)\n", line)
        assert found, process.stderr and process.stderr.read()
        with ReasonCDClient(found[1]) as client:
            (detection,) = client.detect(*GOOD, "new buildings")
        answer = httpx.post(f"{found[2]}/v1/detect", **form(GOOD)).json()["detections"][0]
        assert answer["answer"] == detection.answer
        page = httpx.get(f"{found[2]}/metrics").text
        # The engines are observed, and who they are is shown.
        assert 'reasoncd_stage_seconds_count{stage="decode"}' in page
        assert 'component="mask_decoder"' in page
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    # JSON alone: what libraries log is in it or nowhere.
    assert all(text.startswith("{") for text in err.splitlines())


def run(*options: str) -> Result:
    return CliRunner().invoke(app, ["serve", *options])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--services", "nowhere"], "give HOST:PORT"),
        (["--services", "a:1", "--service", "reasoner"], "give NAME=HOST:PORT"),
        (["--services", "a:1", "--service", "poet=a:1"], "the applications are"),
        (["--service", "reasoner=a:1"], "the target of clip is ''"),
        (["--services", "a:1", "--checkpoint", "b"], "--checkpoint and --threads are for serving without"),
        (
            ["--service", "reasoner=a:1", "--threads", "2"],
            "--checkpoint and --threads are for serving without",
        ),
        (["--tls-cert", "a"], "go together"),
        (["--tls-client-ca", "a"], "go together"),
        (["--services", "a:1", "--tls-cert", "gone", "--tls-key", "gone"], "tls-cert gone cannot be read"),
        (["--services", "a:1", "--tokens", "gone"], "tokens gone cannot be read"),
        (["--grpc-port", "70000"], "--grpc-port is 70000"),
        (["--held-mib", "0"], "--held-bytes is 0"),
        (["--kept-mib", "-1"], "--kept-bytes is -"),
        (["--log-level", "LOUD"], "--log-level is LOUD"),
        (["--jobs-folder", "jobs", "--scenes-root", "gone"], "--scenes-root gone is no folder"),
        (["--jobs-folder", "jobs", "--jobs-running", "-1"], "--jobs-running is -1"),
        (["--jobs-database", "sqlite://"], "need a folder; name --jobs-folder"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(options: list[str], words: str) -> None:
    result = run("--grpc-port", "0", "--http-port", "0", *options)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("reasoncd: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_the_environment_gives_options_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REASONCD_GRPC_PORT", "70001")
    result = CliRunner().invoke(app, ["serve", "--services", "a:1"])
    assert "--grpc-port is 70001" in result.stderr
