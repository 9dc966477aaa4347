"""The header of a GGUF file, read without trusting it.

The `gguf` package's own reader believes every count in the header: an array said to hold 2**60 numbers keeps it
busy for ever. Here each count is held against the bytes that are left, so a damaged or hostile file ends in an
error. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from medverdict.errors import RunError

Value: TypeAlias = "int | float | bool | str | list[int] | list[float] | list[bool] | list[str]"

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
_MOST_DIMENSIONS = 4
_SMALLEST_FIELD = 8 + 4 + 1  # bytes: length of an empty key, type, value
_SMALLEST_TENSOR = 8 + 4 + 8 + 4 + 8  # bytes: length of an empty name, dimensions, one width, type, offset
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


class GgufTensor(NamedTuple):
    """Where a tensor lies in the file."""

    name: str
    shape: tuple[int, ...]
    """Rows first, as in torch."""
    type: GGMLQuantizationType
    offset: int
    """From the start of the file, in bytes."""
    nbytes: int

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return prod(self.shape)


@dataclass(frozen=True)
class GgufFile:
    """Header of a GGUF file: metadata and the places of its tensors."""

    path: Path
    fields: dict[str, Value]
    tensors: dict[str, GgufTensor]

    def packed_rows(self, tensor: GgufTensor) -> NDArray[np.uint8]:
        """A tensor as stored: (rows, bytes a row), mapped and not read; a vector is one row."""
        rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
        mapped: NDArray[np.uint8] = np.memmap(self.path, np.uint8, "r", tensor.offset, (tensor.nbytes,))
        return mapped.reshape(rows, tensor.nbytes // rows)


def read_gguf(path: Path) -> GgufFile:
    """Read the header of a GGUF file. Raises RunError when it is not one, is truncated or contradicts itself."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
            if start != _MAGIC:
                raise RunError(
                    f"{path}: not a GGUF file: it starts with {start!r}; expected {_MAGIC!r}. Is it the model file?"
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _read_header(path, data)
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except (ValueError, struct.error) as error:
        raise RunError(f"{path}: damaged GGUF file: {error}. Download it again.") from error


def _read_header(path: Path, data: mmap.mmap) -> GgufFile:
    cursor = _Cursor(data, len(_MAGIC))
    version = cursor.number("I")
    if version not in _VERSIONS:
        raise ValueError(f"version {version}; known are {_VERSIONS[0]} and {_VERSIONS[1]}")
    tensor_count, field_count = cursor.count(_SMALLEST_TENSOR), cursor.count(_SMALLEST_FIELD)
    fields: dict[str, Value] = {}
    for _ in range(field_count):
        key = cursor.string()
        fields[key] = cursor.value(int(cursor.number("I")))
    infos = [_tensor_info(cursor) for _ in range(tensor_count)]
    alignment = fields.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
        raise ValueError(f"alignment {alignment}; expected a power of two")
    start = -(-cursor.at // alignment) * alignment
    tensors = {info.name: info._replace(offset=start + info.offset) for info in infos}
    if len(tensors) != len(infos):
        raise ValueError("two tensors have the same name")
    for tensor in tensors.values():
        if tensor.offset + tensor.nbytes > len(data):
            raise ValueError(
                f"truncated: tensor {tensor.name} ends at byte {tensor.offset + tensor.nbytes:,} of {len(data):,}"
            )
    return GgufFile(path, fields, tensors)


def _tensor_info(cursor: _Cursor) -> GgufTensor:
    """One entry of the tensor table; its offset still counts from the start of the tensor data."""
    name = cursor.string()
    dimensions = int(cursor.number("I"))
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise ValueError(f"tensor {name} has {dimensions} dimensions; expected 1 to {_MOST_DIMENSIONS}")
    shape = tuple(int(cursor.number("Q")) for _ in range(dimensions))[::-1]
    kind = GGMLQuantizationType(int(cursor.number("I")))  # ValueError where unknown
    offset = int(cursor.number("Q"))
    block, block_bytes = GGML_QUANT_SIZES[kind]
    if 0 in shape or shape[-1] % block:
        raise ValueError(f"tensor {name} has shape {shape}; expected rows in blocks of {block}")
    return GgufTensor(name, shape, kind, offset, prod(shape) // block * block_bytes)


class _Cursor:
    """Reads little-endian values one after another and never past the end."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
        self._data = data
        self.at = at

    def number(self, code: str) -> int | float | bool:
        """One scalar of a `struct` code."""
        (value,) = struct.unpack_from("<" + code, self._data, self.at)
        self.at += struct.calcsize("<" + code)
        return value  # type: ignore[no-any-return]

    def count(self, smallest: int) -> int:
        """A count of things of at least `smallest` bytes, which must fit into the rest of the file."""
        count, left = int(self.number("Q")), len(self._data) - self.at
        if count * smallest > left:
            raise ValueError(f"byte {self.at - 8}: {count:,} entries are announced and {left:,} bytes are left")
        return count

    def string(self) -> str:
        """A length and that many bytes of UTF-8."""
        length = self.count(1)
        self.at += length
        return self._data[self.at - length : self.at].decode("utf-8")

    def value(self, kind: int) -> Value:
        """A metadata value of any type but an array of arrays."""
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.number(_scalar(kind))
        item = int(self.number("I"))
        if item == _STRING:
            return [self.string() for _ in range(self.count(8))]
        code = _scalar(item)
        count = self.count(struct.calcsize("<" + code))
        values = struct.unpack_from(f"<{count}{code}", self._data, self.at)
        self.at += struct.calcsize(f"<{count}{code}")
        return list(values)


def _scalar(kind: int) -> str:
    if kind not in _SCALARS:
        raise ValueError(f"unknown value type {kind}")
    return _SCALARS[kind]
