"""The scenes that a caller may name: GeoTIFFs under one folder, and nothing else."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reasoncd.errors import InvalidInputError, NotFoundError

ENDINGS = (".tif", ".tiff")
SAMPLE = "sample"
"""First part of the sample's names, whatever the scenes root holds."""
MOST_LISTED = 1000
_MAX_NAME = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneNames:
    """Names and what they stand for."""

    root: Path | None
    """Of the scenes; None for none."""
    sample: Path | None
    """Folder of the sample; None for none."""

    def list(self) -> tuple[str, ...]:
        """What can be named, sorted, the first `MOST_LISTED` of it."""
        found: list[str] = []
        for folder, prefix in ((self.sample, f"{SAMPLE}/"), (self.root, "")):
            if folder is None:
                continue
            for path in sorted(folder.rglob("*")):
                if len(found) == MOST_LISTED:
                    break
                name = prefix + path.relative_to(folder).as_posix()
                hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
                if path.suffix.lower() in ENDINGS and not hidden and self._inside(folder, path):
                    found.append(name)
        return tuple(found)

    def path(self, name: str, field: str) -> Path:
        """The file of a name.

        Args:
            name: as the caller sent it.
            field: in which it was sent, for messages.

        Raises:
            InvalidInputError: it could lead out of the root, or is no plain relative path.
            NotFoundError: there is no such scene.
        """
        shown = ascii(name[:80])
        parts = PurePosixPath(name).parts
        if (
            not parts
            or len(name) > _MAX_NAME
            or not name.isprintable()
            or name.startswith(("/", "~"))
            or ":" in name
            or "\\" in name
            or any(part.startswith(".") for part in name.split("/"))
        ):
            raise InvalidInputError(
                f"{field} is {shown}; give the name of a scene as GET /v1/scenes lists them: no address, no "
                "absolute path, no `..`"
            )
        folder, inner = self.root, name
        if parts[0] == SAMPLE and self.sample is not None:
            folder, inner = self.sample, str(PurePosixPath(*parts[1:]))
        path = None if folder is None else folder / inner
        if folder is None or path is None or path.suffix.lower() not in ENDINGS or not _is_file(path):
            raise NotFoundError(f"{field}: there is no scene {shown} here; GET /v1/scenes lists them")
        if not self._inside(folder, path):
            raise InvalidInputError(
                f"{field} is {shown}, a link that leads out of the scenes root; copy the file"
            )
        return path

    @staticmethod
    def _inside(folder: Path, path: Path) -> bool:
        """Whether a path, all links followed, is a file under the folder."""
        try:
            found = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return False
        return found.is_relative_to(folder.resolve()) and found.is_file()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A name too long for the file system, for example.
        return False
