"""The documents run, point at what exists, and name no machine."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(
        part.startswith(".") or part.endswith("-out") or part == "node_modules"
        for part in path.relative_to(ROOT).parts
    )
)
TOP = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
GENERATED = {"docs/accuracy.md", "accuracy.md"}
"""What a command writes, so that a page may name it before it is there."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
QUOTED_PATH = re.compile(r"`([\w./-]+/|[\w./-]+/[\w.-]+\.(?:py|toml|md|yaml|proto|json))`")


def _page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _commands(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = [body for language, body in FENCE.findall(text) if language == "bash"]
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def _environment() -> dict[str, str]:
    scripts = sysconfig.get_path("scripts")
    return {**os.environ, "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")])}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_commands_in_bash_blocks_run(page: str) -> None:
    commands = _commands(page)
    assert commands
    for command in commands:
        words = shlex.split(command)
        if words[0] == "make":
            if shutil.which("make") is None:
                continue
            # Only whether the target exists: what it does is too long for a test of documents.
            words.insert(1, "--dry-run")
        result = subprocess.run(
            words, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False, timeout=120
        )
        assert result.returncode == 0, f"`{command}` of {page} failed: {result.stderr}"


def test_each_make_target_is_known() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[0] for line in shown.splitlines()}
    assert targets >= {"demo", "test", "test-soak", "bench", "lint", "format", "clean", "tools"}


def test_options_named_in_the_readme_exist() -> None:
    helped = subprocess.run(
        [sys.executable, "-c", "from gateway.cli import app; app(['detect', '--help'])"],
        cwd=ROOT, env={**os.environ, "COLUMNS": "200", "TERM": "dumb"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = "\n".join(body for language, body in FENCE.findall(text) if language in ("text", "console"))
    named = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", examples))
    assert named
    assert [option for option in named if option not in helped] == []


@pytest.mark.parametrize("page", PAGES, ids=_page_name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = FENCE.sub("", text)
    links = [link for link in LINK.findall(prose) if not link.startswith(("http://", "https://"))]
    missing = [link for link in links if not (page.parent / link).exists()]
    # A path in backquotes starts at the root, or at the page's folder.
    missing += [
        path
        for path in QUOTED_PATH.findall(prose)
        if path.split("/")[0] in TOP and not ((ROOT / path).exists() or (page.parent / path).exists())
    ]
    assert [path for path in missing if path not in GENERATED] == []


def test_pages_are_not_empty() -> None:
    assert len(PAGES) > 10
    assert [_page_name(page) for page in PAGES if len(page.read_text(encoding="utf-8")) < 80] == []


def _tracked() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so there is no list of its files")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


# Character classes keep these patterns from finding themselves.
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:[r]oot|[w]ork|[h]ome/\w+|[U]sers/\w+)/"),
    "a package registry": re.compile(
        r"[p]ypi\.org|[p]ythonhosted\.org|[d]ownload\.pytorch\.org|[n]pmjs\.org|[d]eb\.debian\.org"
    ),
    "a package index": re.compile(r"--(?:extra-)?[i]ndex-url|--[f]ind-links"),
}


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in _tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)} names {what}: {match[0]}"
            for what, pattern in FORBIDDEN.items()
            if (match := pattern.search(text))
        ]
    assert found == []


def test_no_pickled_weights_and_no_huge_files() -> None:
    tracked = _tracked()
    pickles = [path.name for path in tracked if path.suffix in (".pt", ".pth", ".bin", ".ckpt", ".pkl")]
    huge = [path.name for path in tracked if path.stat().st_size > 50 * 2**20]
    assert (pickles, huge) == ([], [])
