"""State files from the other side: h5py writes one by the schema, the library reads and writes it, h5py reads that."""

import ctypes
import zlib

import h5py
import numpy as np
import pytest
from libsgd import LIBRARY, Error, lib

TEXT = h5py.string_dtype()
FRAME = 512


def state_library() -> ctypes.CDLL:
    path = LIBRARY.with_name("libsgd_state_file.so") if hasattr(LIBRARY, "with_name") else LIBRARY.replace(
        "libsgd.so", "libsgd_state_file.so")
    return ctypes.CDLL(str(path))


def seal(path) -> None:
    """Writes the first block of a file that is otherwise complete."""
    data = bytearray(path.read_bytes())
    body = bytes(data[FRAME:])
    lines = f"exactsgd-state\nversion 1\nbytes {len(body)}\ncrc32 {zlib.crc32(body):08x}\n"
    lines += f"header {zlib.crc32(lines.encode()):08x}\n"
    data[:FRAME] = lines.encode().ljust(FRAME, b"\0")
    path.write_bytes(data)


def write(path) -> None:
    with h5py.File(path, "w", userblock_size=FRAME) as file:
        file.attrs["format"] = "exactsgd-state"
        file.attrs["version"] = np.int64(1)
        group = file.create_group("groups/0")
        group.attrs["keys"] = np.array(["lr", "nesterov", "foreach", "dampening", "initial.lr", "param_names", "note"], TEXT)
        group["lr"] = 0.1
        group["nesterov"] = np.bool_(True)
        group["foreach"] = h5py.Empty("f")
        group["dampening"] = 0
        group["initial%2Elr"] = np.float64(1e-3)
        group["param_names"] = np.array(["a", "ä"], TEXT)
        group["note"] = "it's"
        group["params"] = np.array([0, 1], np.int64)
        file.create_group("state")
        for number, (key, dtype, data) in enumerate([
            (0, "f32", np.array([[1, -0.0], [np.nan, 3]], np.float32)),
            (1, "f16", np.array([1.5, np.inf], np.float16)),
            (5, "bf16", np.array([0x7FA1, 0x8000], np.uint16)),
            ("else", "c64", np.array(1 + 2j, np.complex64)),
        ]):
            entry = file.create_group(f"state/{number}")
            entry.attrs["id"] = np.int64(key) if isinstance(key, int) else key
            entry.attrs["keys"] = np.array(["momentum_buffer"], TEXT)
            chunks = {"chunks": data.shape, "fletcher32": True} if data.ndim else {}
            dataset = entry.create_dataset("momentum_buffer", data=data, **chunks)
            dataset.attrs["tensor"] = dtype
        dataset = file["state/0/momentum_buffer"]
        dataset.attrs["strides"] = np.array([1, 2], np.int64)
        dataset.attrs["requires_grad"] = np.bool_(True)
        sparse = file.create_group("state/1/sparse")
        file["state/1"].attrs["keys"] = np.array(["momentum_buffer", "sparse"], TEXT)
        sparse.attrs["tensor"], sparse.attrs["coalesced"] = "coo", np.bool_(False)
        sparse.attrs["shape"] = np.array([5], np.int64)
        for name, dtype, data in [("indices", "i64", np.array([[4, 4]])), ("values", "f64", np.array([1.0, 2.0]))]:
            sparse.create_dataset(name, data=data, chunks=data.shape, fletcher32=True).attrs["tensor"] = dtype
    seal(path)


def contents(path) -> dict:
    """Everything in a file, by path, comparable bit for bit."""
    found = {}

    def plain(value):
        if isinstance(value, h5py.Empty):
            return "empty"
        array = np.asarray(value)
        return str(array.dtype), array.shape, array.tolist() if array.dtype == object else array.tobytes()

    def visit(name, node):
        found[name] = None if isinstance(node, h5py.Group) else plain(node[()])
        for key, value in node.attrs.items():
            found[name, key] = plain(value)

    with h5py.File(path) as file:
        file.visititems(visit)
        for key, value in file.attrs.items():
            found["/", key] = plain(value)
    return found


def pass_through(source, target) -> None:
    library, state, error = state_library(), ctypes.c_void_p(), Error()
    if library.sgd_state_read(str(source).encode(), ctypes.byref(state), ctypes.byref(error)):
        raise OSError(error.message.decode())
    status = library.sgd_state_write(state, str(target).encode(), ctypes.byref(error))
    lib.sgd_state_destroy(state)
    assert status == 0, error.message


def test_a_file_by_h5py_is_read_and_one_of_the_library_reads_the_same(tmp_path):
    write(tmp_path / "python.h5")
    pass_through(tmp_path / "python.h5", tmp_path / "c.h5")
    assert contents(tmp_path / "python.h5") == contents(tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5") as file:
        assert file["state/0/momentum_buffer"].fletcher32
    sealed = (tmp_path / "c.h5").read_bytes()
    seal(tmp_path / "c.h5")
    assert (tmp_path / "c.h5").read_bytes() == sealed


def _remove(name):
    def change(file):
        del file[name]
    return change


def _attribute(name, key, value):
    def change(file):
        file[name].attrs[key] = value
    return change


def _replace(name, value):
    def change(file):
        del file[name]
        file[name] = value
    return change


@pytest.mark.parametrize("change", [
    _remove("groups"), _remove("state"), _remove("groups/0/params"), _remove("groups/0/lr"), _remove("state/1/sparse/values"),
    _replace("groups/0/params", np.array([0.5])), _replace("groups/0/params", np.array([[1]])),
    _replace("groups/0/lr", np.float32(0.1)), _replace("groups/0/lr", np.array([0.1])), _replace("groups/0/dampening", np.int32(1)),
    _attribute("groups/0", "keys", "lr"), _attribute("groups/0", "keys", np.array([1])),
    _attribute("state/0", "id", 0.5), _attribute("state/0/momentum_buffer", "tensor", "f64"),
    _attribute("state/0/momentum_buffer", "tensor", "no"), _attribute("state/0/momentum_buffer", "strides", np.array([0, 0])),
    _attribute("state/0/momentum_buffer", "strides", np.array([-1, 2])), _attribute("state/0/momentum_buffer", "strides", np.array([1])),
    _attribute("state/1/sparse", "shape", np.array([5, 5])), _attribute("state/1/sparse", "tensor", "csr"),
], ids=range(20))
def test_a_sealed_file_that_leaves_the_schema_is_told(tmp_path, change):
    path = tmp_path / "python.h5"
    write(path)
    with h5py.File(path, "r+") as file:
        change(file)
    seal(path)
    with pytest.raises(OSError, match="does not follow the schema"):
        pass_through(path, tmp_path / "c.h5")
    assert not (tmp_path / "c.h5").exists()
