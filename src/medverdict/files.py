"""Files that are either whole or absent: write beside, sync, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

from pydantic import ValidationError

from medverdict.errors import DataError, MedverdictError, RunError
from medverdict.records import Record

R = TypeVar("R", bound=Record)


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; on success it replaces `path`, on any failure it is gone.

    Raises RunError when the disk is full or the folder cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def disk_error(error: OSError, path: Path) -> MedverdictError:
    """A failed write, in words a user can act on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"{path}: no space left on the disk. Free some, or choose another folder, and run again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return RunError(f"{path}: the folder cannot be written ({error.strerror}). Choose another one.")
    return RunError(f"{path}: could not be written: {error.strerror or error}.")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write indented JSON atomically; Vietnamese stays readable."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def jsonl_bytes(records: Iterable[Record]) -> bytes:
    """One compact JSON object a line; the same records give the same bytes."""
    lines = (json.dumps(r.model_dump(mode="json"), ensure_ascii=False, allow_nan=False) for r in records)
    return "".join(line + "\n" for line in lines).encode("utf-8")


def write_jsonl(path: Path, records: Iterable[Record]) -> str:
    """Write records atomically and return the file's sha256."""
    data = jsonl_bytes(records)
    with atomic_write(path) as file:
        file.write(data)
    return sha256_bytes(data)


def read_record(path: Path, kind: type[R]) -> R:
    """Read one record from a JSON file. Raises DataError when it is absent or does not fit."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected a stored {kind.__name__}.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a stored {kind.__name__}.") from None
    except ValidationError as error:
        raise DataError(f"{path}: not a stored {kind.__name__}: {_first_fault(error)}") from None


def read_records(path: Path, kind: type[R]) -> list[R]:
    """Read a JSONL file of records. Raises DataError with the line that does not fit."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected stored {kind.__name__} lines.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8; expected stored {kind.__name__} lines.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected {kind.__name__} lines.") from None
    records = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            records.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise DataError(f"{path}, line {number}: not a {kind.__name__}: {_first_fault(error)}") from None
    return records


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}" if where else fault["msg"]


def require_new(path: Path) -> None:
    """Refuse an output folder that already holds something, before any work is spent. Raises RunError."""
    if path.is_file():
        raise RunError(f"{path}: is a file; expected a folder that does not exist yet. Choose another --out.")
    if path.is_dir() and any(path.iterdir()):
        raise RunError(f"{path}: exists and is not empty. Choose another --out, or delete the folder.")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Build a folder beside `path`; on success it becomes `path`, on any failure or Ctrl-C it is gone.

    Raises RunError when `path` already holds something, or when the disk refuses.
    """
    require_new(path)
    staging = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        staging.mkdir(parents=True)
        yield staging
        if path.is_dir():
            path.rmdir()
        staging.rename(path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
