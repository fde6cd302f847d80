"""Reads pickles of lists, NumPy arrays and plain values; calls nothing that a pickle names.

A pickle names functions to call, and NumPy's own functions take raw bytes for pointers. So the few names in the pickles
of NumPy 1 and 2 are replaced by the functions below, which make plain numbers of the bytes in the file. Other names are
refused, and so are the instructions that lists, numbers and text do not need.
"""

import io
import pickle
from typing import Any

import numpy as np

from common.errors import InputError

_PLAIN = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


class DType:
    """In place of numpy.dtype: Booleans, whole numbers and floats."""

    def __init__(self, name: str, *_flags: object) -> None:
        if name not in _PLAIN:
            raise ValueError("its arrays hold other things than numbers")
        self.value = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        self.value = self.value.newbyteorder(state[1])


class Array:
    """In place of the functions that make an array."""

    def __init__(self, *_empty: object) -> None:
        self.value = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, is_fortran, content = state
        self.value = _numbers(content, dtype, shape, "F" if is_fortran else "C")


def _scalar(dtype: DType, content: bytes) -> Any:
    """In place of NumPy's function of this name: a number."""
    return _numbers(content, dtype, (), "C").item()


def _array(content: bytes, dtype: DType, shape: tuple, order: str) -> Array:
    array = Array()
    array.value = _numbers(content, dtype, shape, order)
    return array


def _numbers(content: bytes, dtype: DType, shape: tuple, order: Any) -> np.ndarray:
    return np.frombuffer(content, dtype.value).reshape(shape, order=order)


def _ndarray(*_args: object) -> None:
    raise ValueError("it makes arrays in another way than NumPy's own pickles")


def _encode(text: str, _encoding: str) -> bytes:
    return text.encode("latin-1")  # how protocols 0 to 2 hold bytes


# Names in pickles -> what is called in their place.
NUMPY_NAMES: dict[str, Any] = {"numpy.ndarray": _ndarray, "numpy.dtype": DType}
for _core in ("numpy.core", "numpy._core"):  # NumPy 1 and 2
    NUMPY_NAMES[f"{_core}.multiarray.scalar"] = _scalar
    NUMPY_NAMES[f"{_core}.multiarray._reconstruct"] = Array
    NUMPY_NAMES[f"{_core}.numeric._frombuffer"] = _array
_NAMES = {**NUMPY_NAMES, "_codecs.encode": _encode}
_PythonUnpickler: Any = pickle._Unpickler  # for the type checker it is the one in C


class _Unpickler(_PythonUnpickler):
    """The one in Python: that in C takes gigabytes for ten bytes, such as the index of an object that is never used."""

    # fmt: off
    dispatch = {code: method for code, method in _PythonUnpickler.dispatch.items() if bytes([code]) in {
        pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK,
        pickle.GET, pickle.BINGET, pickle.LONG_BINGET, pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE,
        pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2,
        pickle.LONG, pickle.LONG1, pickle.LONG4, pickle.FLOAT, pickle.BINFLOAT,
        pickle.UNICODE, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8,
        pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8,
        pickle.LIST, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS,
        pickle.TUPLE, pickle.EMPTY_TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3,
        pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE,
    }}
    # fmt: on

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _NAMES:
            raise InputError(f"holds {module}.{name}")
        return _NAMES[f"{module}.{name}"]

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (Array, DType)):
            raise ValueError("it changes an object")
        self.stack[-1].__setstate__(state)

    def load_bytearray8(self) -> None:
        self.load_binbytes8()  # not a bytearray of the size that is announced

    dispatch |= {pickle.BUILD[0]: load_build, pickle.BYTEARRAY8[0]: load_bytearray8}


def load_arrays(content: bytes) -> Any:
    """What a pickle holds, with an `Array` for each array.

    Raises:
        InputError: it names something else; the message begins with "holds".
        Exception: nearly any, for a damaged pickle.
    """
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except KeyError as error:  # an instruction that is not in `dispatch`
        raise ValueError("it holds no list of records of arrays, numbers and text") from error
