"""exactsgd.save_state, exactsgd.load_state: an optimizer's state dict in the HDF5 file that the C library reads and writes too.

The schema is told in impl/include/sgd/state_file.h.  What travels is the dict that torch.save takes, so the two ways of keeping
a state convert into each other: `torch.save(load_state(file), other)`, `save_state(torch.load(other), file)`.  Needs h5py.
"""

import contextlib
import itertools
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ._core import Unsupported

__all__ = ["load_state", "save_state"]

FRAME = 512
MAGIC = b"exactsgd-state\n"
VERSION = 1
CHUNK = 1 << 30
"""Bytes; HDF5 keeps chunks, which checksums need, below 4 GiB."""

NUMPY = {"f64": "<f8", "f32": "<f4", "f16": "<f2", "bf16": "<u2", "c64": "<c8", "c128": "<c16", "i64": "<i8", "i32": "<i4",
         "i16": "<i2", "i8": "<i1", "u8": "<u1", "bool": "<u1"}
TORCH = {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "c64": "complex64", "c128": "complex128",
         "i64": "int64", "i32": "int32", "i16": "int16", "i8": "int8", "u8": "uint8", "bool": "bool"}


def save_state(state: Any, file: str | os.PathLike[str]) -> None:
    """Writes a state file whole or not at all.

    Args:
        state: an optimizer with state_dict(), or a state dict.  Values are None, bool, int, float, str, lists of str, and tensors
            or NumPy arrays of any strides, dense or COO; keys of the state are ints or str.
        file: where to; what is there is replaced.

    Raises:
        Unsupported: a value or a key that has no place in a state file.
        OSError: the file cannot be written.
        ImportError: h5py is missing.
    """
    import h5py

    state_dict = state if isinstance(state, dict) else state.state_dict()
    with _part_beside(Path(file)) as part:
        with h5py.File(part, "w", userblock_size=FRAME) as root:
            root.attrs["format"] = "exactsgd-state"
            root.attrs.create("version", VERSION, dtype="<i8")
            groups, entries = root.create_group("groups"), root.create_group("state")
            for number, group in enumerate(state_dict["param_groups"]):
                node = groups.create_group(str(number))
                _write_dict(node, {key: value for key, value in group.items() if key != "params"})
                node.create_dataset("params", data=list(group["params"]), dtype="<i8", shape=(len(group["params"]),))
            for number, (key, entry) in enumerate(state_dict["state"].items()):
                node = entries.create_group(str(number))
                _write_id(node, key)
                _write_dict(node, entry)
        _seal(part)


def load_state(file: str | os.PathLike[str], *, arrays: Literal["torch", "numpy"] = "torch") -> dict[str, Any]:
    """Reads a state file.  Whether it fits a model is for load_state_dict to say.

    Args:
        file: one that save_state or the C library wrote.
        arrays: "torch" for tensors, "numpy" for arrays; bfloat16 then comes as its bits in uint16, COO not at all.

    Returns:
        {"state": {id: {...}}, "param_groups": [...]}, as torch.optim.Optimizer.state_dict() has it.

    Raises:
        OSError: the file is missing, is no state file, is truncated, damaged, or does not follow the schema.
        Unsupported: a file of a later version; a COO tensor for NumPy.
        ImportError: h5py is missing, or PyTorch for tensors.
    """
    import h5py

    path = Path(file)
    _check_frame(path)
    try:
        with h5py.File(path) as root:
            groups = []
            for number in range(len(root["groups"])):
                node = root["groups"][str(number)]
                ids = [int(i) for i in node["params"][()]]
                groups.append({**_read_dict(node, arrays), "params": ids})
            nodes = [root["state"][str(number)] for number in range(len(root["state"]))]
            return {"state": {_read_id(node): _read_dict(node, arrays) for node in nodes}, "param_groups": groups}
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        if isinstance(error, Unsupported):
            raise
        raise OSError(f"{path}: the state file does not follow the schema: {error}") from error


# ---- the frame -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _part_beside(path: Path) -> Iterator[Path]:
    """A new file that becomes `path` in the end, or goes."""
    for number in itertools.count():
        part = Path(f"{path}.{os.getpid()}.{number}.part")
        try:
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            break
        except FileExistsError:
            continue
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _checksum(path: Path) -> tuple[int, int]:
    """Size and CRC-32 of all behind the first block."""
    size = checksum = 0
    with path.open("rb") as file:
        file.seek(FRAME)
        while block := file.read(1 << 20):
            size += len(block)
            checksum = zlib.crc32(block, checksum)
    return size, checksum


def _seal(path: Path) -> None:
    size, checksum = _checksum(path)
    lines = MAGIC + f"version {VERSION}\nbytes {size}\ncrc32 {checksum:08x}\n".encode()
    with path.open("r+b") as file:
        file.write((lines + f"header {zlib.crc32(lines):08x}\n".encode()).ljust(FRAME, b"\0"))
        file.flush()
        os.fsync(file.fileno())


def _check_frame(path: Path) -> None:
    """The order of the checks is the library's, and so are the texts."""
    with path.open("rb") as file:
        frame = file.read(FRAME)
    if not frame or frame[: len(MAGIC)] != MAGIC[: len(frame)]:
        raise OSError(f"{path}: not an exactsgd state file, or damaged at its start")
    if len(frame) < FRAME:
        raise OSError(f"{path}: the state file is truncated")
    text, _, zeros = frame.partition(b"\0")
    lines, found, stored = text.rpartition(b"header ")
    if zeros.strip(b"\0") or not found or stored != f"{zlib.crc32(lines):08x}\n".encode():
        raise OSError(f"{path}: the state file is damaged")
    version = re.match(rb"version (\d+)\n", lines[len(MAGIC):])
    if version and int(version[1]) > VERSION:
        raise Unsupported(f"{path}: the state file is of version {int(version[1])}, this library reads {VERSION}")
    parts = re.fullmatch(rb"version 1\nbytes (\d+)\ncrc32 ([0-9a-f]{8})\n", lines[len(MAGIC):])
    if not parts:
        raise OSError(f"{path}: the state file does not follow the schema: its first block")
    size, checksum = _checksum(path)
    if size < int(parts[1]):
        raise OSError(f"{path}: the state file is truncated")
    if size > int(parts[1]) or checksum != int(parts[2], 16):
        raise OSError(f"{path}: the state file is damaged")


# ---- dicts ---------------------------------------------------------------------------------------------------------------


def _encode(key: str) -> str:
    """The name of a key's object."""
    name = key.replace("%", "%25").replace("/", "%2F").replace(".", "%2E")
    return f"%{name}" if key in ("", "params") else name


def _write_id(node: Any, key: object) -> None:
    import h5py

    if isinstance(key, str):
        node.attrs.create("id", key, dtype=h5py.string_dtype())
    elif isinstance(key, int) and -(2**63) <= key < 2**63:
        node.attrs.create("id", key, dtype="<i8")
    else:
        raise Unsupported("an object has no place in a state file: a key of the state")


def _read_id(node: Any) -> int | str:
    key = node.attrs["id"]
    return key if isinstance(key, str) else int(key)


def _write_dict(node: Any, values: dict[str, Any]) -> None:
    import h5py

    node.attrs.create("keys", list(values), dtype=h5py.string_dtype(), shape=(len(values),))
    for key, value in values.items():
        _write_value(node, key, value)


def _write_value(node: Any, key: str, value: Any) -> None:
    import h5py
    import numpy

    name = _encode(key)
    if value is None:
        node.create_dataset(name, data=h5py.Empty("<f4"))
    elif isinstance(value, bool):
        node.create_dataset(name, data=numpy.bool_(value))
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        node.create_dataset(name, data=value, dtype="<i8")
    elif isinstance(value, float):
        node.create_dataset(name, data=value, dtype="<f8")
    elif isinstance(value, str):
        node.create_dataset(name, data=value, dtype=h5py.string_dtype())
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        node.create_dataset(name, data=value, dtype=h5py.string_dtype(), shape=(len(value),))
    elif isinstance(value, numpy.ndarray):
        _write_array(node, name, value)
    elif type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "layout"):
        _write_torch(node, name, value)
    else:
        raise Unsupported(f"an object has no place in a state file: {key}")


def _read_dict(node: Any, arrays: str) -> dict[str, Any]:
    keys = [key.decode() if isinstance(key, bytes) else str(key) for key in node.attrs["keys"]]
    return {key: _read_value(node[_encode(key)], arrays) for key in keys}


def _read_value(node: Any, arrays: str) -> Any:
    import h5py

    if isinstance(node, h5py.Group):
        return _read_coo(node, arrays)
    if "tensor" in node.attrs:
        return _read_tensor(node, arrays)
    if node.shape is None:
        return None
    if h5py.check_string_dtype(node.dtype):
        return node.asstr()[()] if node.shape == () else list(node.asstr()[()])
    if node.shape != () or node.dtype.kind not in "bif":
        raise ValueError(f"{node.name} is of no kind of value")
    return node[()].item()


# ---- tensors -------------------------------------------------------------------------------------------------------------


def _create(node: Any, name: str, kind: str, bits: Any, strides: list[int] | None) -> Any:
    import h5py

    chunk, size = list(bits.shape), bits.nbytes
    for dim in range(len(chunk)):
        while size > CHUNK and chunk[dim] > 1:
            chunk[dim], size = (chunk[dim] + 1) // 2, size // 2 + 1
    checked = {"chunks": tuple(chunk), "fletcher32": True} if chunk and bits.size else {}
    dataset = node.create_dataset(name, data=bits, **checked)
    dataset.attrs.create("tensor", kind, dtype=h5py.string_dtype())
    if strides is not None:
        dataset.attrs.create("strides", strides, dtype="<i8", shape=(len(strides),))
    return dataset


def _write_array(node: Any, name: str, array: Any) -> None:
    import numpy

    kinds = {numpy.dtype(dtype): kind for kind, dtype in NUMPY.items() if kind not in ("bf16", "bool")}
    kind = "bool" if array.dtype == bool else kinds.get(array.dtype.newbyteorder("<"))
    if kind is None or min(array.strides, default=0) < 0:
        raise Unsupported(f"a tensor that has no place in a state file: {name}")
    strides = None if array.flags.c_contiguous else [stride // array.itemsize for stride in array.strides]
    _create(node, name, kind, numpy.ascontiguousarray(array).astype(NUMPY[kind]).reshape(array.shape), strides)


def _write_torch(node: Any, name: str, tensor: Any) -> None:
    import h5py
    import numpy
    import torch

    if tensor.layout == torch.sparse_coo:
        group = node.create_group(name)
        group.attrs.create("tensor", "coo", dtype=h5py.string_dtype())
        group.attrs.create("shape", list(tensor.shape), dtype="<i8", shape=(tensor.ndim,))
        group.attrs["coalesced"] = numpy.bool_(tensor.is_coalesced())
        _write_torch(group, "indices", tensor._indices())
        _write_torch(group, "values", tensor._values())
        return
    kind = next((kind for kind, dtype in TORCH.items() if getattr(torch, dtype) == tensor.dtype), None)
    if kind is None or tensor.layout != torch.strided:
        raise Unsupported(f"a tensor that has no place in a state file: {name}")
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    views = {"bf16": torch.int16, "bool": torch.uint8}
    bits = (plain.view(views[kind]) if kind in views else plain).numpy().view(NUMPY[kind])
    dataset = _create(node, name, kind, bits, None if tensor.is_contiguous() else list(tensor.stride()))
    if tensor.requires_grad:
        dataset.attrs["requires_grad"] = numpy.bool_(True)


def _read_tensor(node: Any, arrays: str) -> Any:
    import numpy

    kind = node.attrs["tensor"]
    if node.shape is None or node.dtype != numpy.dtype(NUMPY[kind]):
        raise ValueError(f"{node.name} is no tensor of {kind}")
    bits = numpy.asarray(node[()], dtype=NUMPY[kind]).reshape(node.shape)
    strides = [int(stride) for stride in node.attrs["strides"]] if "strides" in node.attrs else None
    if strides is not None and (len(strides) != bits.ndim or min(strides, default=0) < 0):
        raise ValueError(f"{node.name}: strides")
    if arrays == "numpy":
        return _laid_out_array(bits.view(bool) if kind == "bool" else bits, strides)
    import torch

    signed = bits.view("<i2") if kind == "bf16" else bits
    plain = torch.from_numpy(signed)
    tensor = plain.view(getattr(torch, TORCH[kind])) if kind in ("bf16", "bool") else plain
    made = torch.empty(bits.shape, dtype=tensor.dtype)
    if strides is not None:
        made = torch.empty_strided(bits.shape, strides, dtype=tensor.dtype)
    made.copy_(tensor)
    return made.requires_grad_() if node.attrs.get("requires_grad", False) else made


def _laid_out_array(array: Any, strides: list[int] | None) -> Any:
    import numpy

    if strides is None:
        return array
    order = sorted(range(array.ndim), key=lambda dim: (-strides[dim], dim))
    return numpy.ascontiguousarray(array.transpose(order)).transpose(numpy.argsort(order))


def _read_coo(node: Any, arrays: str) -> Any:
    if node.attrs["tensor"] != "coo":
        raise ValueError(f"{node.name} is no tensor")
    if arrays == "numpy":
        raise Unsupported(f"{node.name} is a COO tensor, which NumPy has not")
    import torch

    shape = [int(extent) for extent in node.attrs["shape"]]
    indices, values = _read_tensor(node["indices"], arrays), _read_tensor(node["values"], arrays)
    return torch.sparse_coo_tensor(indices, values, shape, check_invariants=True, is_coalesced=bool(node.attrs["coalesced"]))
