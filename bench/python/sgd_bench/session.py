"""bench/session.h in ctypes: runs the harness with contestants of ours beside the library's.

No ctypes sits in the timed loop: the harness steps a contestant through CPython's own PyObject_CallNoArgs.
"""
import ctypes
from ctypes import POINTER, Structure, c_char_p, c_double, c_int, c_int32, c_int64, c_longlong, c_size_t, c_uint8, c_uint16
from ctypes import c_uint32, c_uint64, c_void_p


class DLDataType(Structure):
    _fields_ = [("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


class DLTensor(Structure):
    _fields_ = [("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32), ("ndim", c_int32), ("dtype", DLDataType),
                ("shape", POINTER(c_int64)), ("strides", POINTER(c_int64)), ("byte_offset", c_uint64)]


class CaseStruct(Structure):
    TEXTS = ("name", "path", "implementation", "dtype", "shapes", "hyper", "contract", "device")
    NUMBERS = ("lr", "momentum", "dampening", "weight_decay")
    _fields_ = [("struct_size", c_size_t), *((text, c_char_p) for text in TEXTS), ("threads", c_uint32),
                *((number, c_double) for number in NUMBERS), ("nesterov", c_uint8)]


class TensorsStruct(Structure):
    _fields_ = [("struct_size", c_size_t), ("count", c_size_t), ("params", POINTER(DLTensor)), ("grads", POINTER(DLTensor))]


class ContestantStruct(Structure):
    _fields_ = [("struct_size", c_size_t), ("callable", c_void_p), ("why", c_char_p), ("checked", c_uint8),
                ("has_defects", c_uint8), ("torch_threads", c_uint32)]


OPEN = ctypes.PYFUNCTYPE(c_int, c_void_p, POINTER(CaseStruct), POINTER(TensorsStruct), POINTER(ContestantStruct))
FAILURE = ctypes.PYFUNCTYPE(c_void_p, c_void_p, c_void_p)
BUFFERS = ctypes.PYFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(DLTensor))
PEAK_MEMORY = ctypes.PYFUNCTYPE(c_longlong, c_void_p, c_void_p)
CLOSE = ctypes.PYFUNCTYPE(None, c_void_p, c_void_p)


class HostStruct(Structure):
    _fields_ = [("struct_size", c_size_t), ("context", c_void_p), ("versions", c_char_p), ("implementation_count", c_size_t),
                ("implementations", POINTER(c_char_p)), ("open", OPEN), ("step", c_void_p), ("drop", c_void_p),
                ("recover", c_void_p), ("failure", FAILURE), ("buffers", BUFFERS), ("peak_memory", PEAK_MEMORY),
                ("close", CLOSE)]


class Case:
    """A case as Python sees it: its texts and numbers."""

    def __init__(self, struct):
        for text in CaseStruct.TEXTS:
            setattr(self, text, getattr(struct, text).decode())
        for number in CaseStruct.NUMBERS + ("threads", "nesterov"):
            setattr(self, number, getattr(struct, number))


def _python(name):
    return ctypes.cast(getattr(ctypes.pythonapi, name), c_void_p).value


def _one_line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())


class Host:
    """The callbacks.  `implementations` is {name: class}, see contestants.py; `missing` is the exception of a case left out."""

    def __init__(self, implementations, versions, view, missing=()):
        self.implementations, self.view, self.missing = implementations, view, missing
        self.contestants = {}  # by the address of their callable
        self.descriptors = {}
        self.text = None  # the last string handed out, which has to live until the next callback
        self.names = (c_char_p * len(implementations))(*(name.encode() for name in implementations))
        self.struct = HostStruct(
            ctypes.sizeof(HostStruct), None, versions.encode(), len(implementations), self.names, OPEN(self.open),
            _python("PyObject_CallNoArgs"), _python("Py_DecRef"), _python("PyErr_Clear"), FAILURE(self.failure),
            BUFFERS(self.buffers), PEAK_MEMORY(self.peak_memory), CLOSE(self.close))

    def tell(self, text):
        self.text = ctypes.create_string_buffer(text.encode())
        return ctypes.addressof(self.text)

    def open(self, _, case, tensors, out):
        out = out.contents
        try:
            case, tensors = Case(case.contents), tensors.contents
            params, grads = ([self.view(each, case.dtype) for each in side[:tensors.count]]
                             for side in (tensors.params, tensors.grads))
            made = self.implementations[case.implementation](case, params, grads)
        except self.missing as error:
            out.why = self.tell(str(error))
            return 0
        except Exception as error:
            out.why = self.tell(_one_line(error))
            return 1
        out.callable, out.checked, out.has_defects = id(made.step), made.checked, made.has_defects
        if made.why:
            out.why = self.tell(made.why)
        self.contestants[out.callable] = made
        # A pointer of its own: the struct that holds the given one is gone after the call.
        self.descriptors[out.callable] = ctypes.cast(tensors.params, POINTER(DLTensor))
        return 0

    def failure(self, _, callable_):
        """What the step that failed raised was cleared: another one raises it again."""
        try:
            self.contestants[callable_].step()
        except Exception as error:
            return self.tell(_one_line(error))
        return self.tell("a step failed, and the next one did not")

    def buffers(self, _, callable_, out):
        try:
            params = self.descriptors[callable_]
            for i, buffer in enumerate(self.contestants[callable_].buffers()):
                ctypes.memmove(ctypes.byref(out[i]), ctypes.byref(params[i]), ctypes.sizeof(DLTensor))
                if buffer is not None and not buffer.is_contiguous():
                    return 1
                out[i].data, out[i].byte_offset = (None if buffer is None else buffer.data_ptr()), 0
            return 0
        except Exception:
            return 1

    def peak_memory(self, _, callable_):
        try:
            return self.contestants[callable_].peak_memory()
        except Exception:
            return -1

    def close(self, _, callable_):
        self.contestants.pop(callable_).close()
        del self.descriptors[callable_]


def run(library, arguments, host):
    """The harness's exit status."""
    main = ctypes.PyDLL(library).sgd_bench_main
    main.argtypes = c_int, POINTER(c_char_p), POINTER(HostStruct)
    words = [b"sgd-bench", *(argument.encode() for argument in arguments)]
    return main(len(words), (c_char_p * (len(words) + 1))(*words, None), ctypes.byref(host.struct) if host else None)
