"""Writing files so that a reader finds the old content or the new one, never a part."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file as a whole: the block writes a temporary file, which then takes its place.

    The temporary file lies in the same folder. When the block ends it is flushed to the disk and
    renamed to `path`; when the block raises it is removed and `path` stays as it was. A symbolic
    link at `path` is kept and the file that it points to is replaced.

    Args:
        path: the file to write. Its folder must exist.

    Yields:
        The path of the temporary file, which exists and is empty.

    Raises:
        OSError: if the folder cannot be written, the disk is full, and so on; it names `path`
            and the reason. Other exceptions of the block pass through.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if target.is_file():
            os.chmod(temporary, target.stat().st_mode & 0o777)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if error.filename not in (None, str(temporary), temporary):
            raise  # the block failed over another file
        reason = error.strerror or str(error) or type(error).__name__
        failure = OSError(f"cannot write {path}: {reason}; nothing was written")
        failure.errno = error.errno
        raise failure from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    _sync_folder(target.parent)


def plain_text(text: str) -> str:
    """Text from an untrusted file in one line, which cannot steer a terminal."""
    return "".join(each if each.isprintable() else " " for each in text).strip()


def folder_of(path: str | os.PathLike[str]) -> Path:
    """The folder that a file is to lie in, made if it is not there.

    Raises:
        OSError: if it cannot be; names `path`.
    """
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OSError(f"cannot write {path}: {error.filename} is no folder") from error
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error
    return folder


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes that ask for it out while the block runs.

    Raises:
        OSError: if it cannot be made or written, or if another process works in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except FileExistsError:
        raise OSError(f"out: {folder} is a file, expected a folder") from None
    except OSError as error:
        raise OSError(f"out: cannot write {folder}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OSError(f"out: another process works in {folder}") from None
        yield


def _sync_folder(folder: Path) -> None:
    """Flush the rename itself, where the system allows a folder to be flushed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
