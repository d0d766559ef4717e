"""The options of jobs as their settings."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import typer

from reasoncd.errors import InvalidInputError

if TYPE_CHECKING:
    from gateway.jobs.settings import JobSettings


def job_settings(
    *,
    folder: Path | None,
    database: str | None,
    scenes_root: Path | None,
    running: int,
    upload_mib: int,
    http_port: int,
) -> "JobSettings | None":
    """What `--jobs-folder` and its like say; None where no scenes are taken on.

    Raises:
        InvalidInputError: an option is out of its range or lacks its partner, or a package is missing.
    """
    try:
        from gateway.jobs.settings import JobSettings
    except ImportError as error:
        raise InvalidInputError(
            f"a server needs the package {error.name}, which is not installed; "
            "install reasoncd[gateway-server]"
        ) from error

    if running == 0:
        return None
    kept = folder or _default_folder(http_port)
    if kept is None:
        if database or scenes_root:
            raise InvalidInputError("--jobs-database and --scenes-root need a folder; name --jobs-folder")
        return None
    return JobSettings(
        folder=kept,
        database=database,
        scenes_root=scenes_root,
        running=running,
        upload_bytes=upload_mib * 2**20,
    )


def _default_folder(http_port: int) -> Path | None:
    """Where jobs are kept if nothing is said: one folder a port, since each is one gateway's alone.

    Returns:
        None where the port is any that is free, or nothing can be written there, as in a container.
    """
    if not http_port:
        return None
    folder = platformdirs.user_data_path("reasoncd") / "jobs" / str(http_port)
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        why = f"{folder} cannot be written"
        typer.echo(f"reasoncd: no scenes are taken on: {why}; name another with --jobs-folder", err=True)
        return None
    return folder
