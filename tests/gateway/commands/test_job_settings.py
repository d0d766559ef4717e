"""Where jobs are kept, and when none are taken on."""

from pathlib import Path
from typing import Any

import pytest

from gateway.commands.job_settings import job_settings
from reasoncd.errors import InvalidInputError

pytestmark = pytest.mark.unit


def options(**changed: Any) -> dict[str, Any]:
    return {
        "folder": None,
        "database": None,
        "scenes_root": None,
        "running": 1,
        "upload_mib": 16,
        "http_port": 8080,
        **changed,
    }


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


def test_each_port_has_a_folder_of_its_own(home: Path) -> None:
    found = job_settings(**options())
    assert found is not None
    assert found.folder == home / "reasoncd" / "jobs" / "8080"
    assert found.upload_bytes == 16 * 2**20


def test_none_are_taken_on_where_none_may_run(tmp_path: Path) -> None:
    assert job_settings(**options(running=0, folder=tmp_path)) is None


def test_none_are_taken_on_at_a_port_that_may_be_another_next_time(tmp_path: Path) -> None:
    assert job_settings(**options(http_port=0)) is None
    assert job_settings(**options(http_port=0, folder=tmp_path)) is not None
    with pytest.raises(InvalidInputError, match="name --jobs-folder"):
        job_settings(**options(http_port=0, scenes_root=tmp_path))
