"""Reads pickles of lists, NumPy arrays, numbers and text without calling any function that they name.

A pickle can name any function, and even NumPy's own turn raw bytes into pointers. The few names that NumPy 1 and 2
write are therefore replaced by the functions below, which only make numbers from the bytes in the file. All other
names are refused, and so are pickle instructions that lists, numbers and text do not need.
"""

import io
import pickle
from typing import Any

import numpy as np

from common.errors import InputError

_PLAIN = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


class DType:
    """Replaces numpy.dtype; Booleans, integers and floats only."""

    def __init__(self, name: str, *_flags: object) -> None:
        if name not in _PLAIN:
            raise ValueError("its arrays are not of numbers")
        self.value = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        self.value = self.value.newbyteorder(state[1])


class Array:
    """Replaces the functions that make an array."""

    def __init__(self, *_empty: object) -> None:
        self.value = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, is_fortran, content = state
        self.value = _numbers(content, dtype, shape, "F" if is_fortran else "C")


def _scalar(dtype: DType, content: bytes) -> Any:
    return _numbers(content, dtype, (), "C").item()


def _array(content: bytes, dtype: DType, shape: tuple, order: str) -> Array:
    array = Array()
    array.value = _numbers(content, dtype, shape, order)
    return array


def _numbers(content: bytes, dtype: DType, shape: tuple, order: Any) -> np.ndarray:
    return np.frombuffer(content, dtype.value).reshape(shape, order=order)


def _ndarray(*_args: object) -> None:
    raise ValueError("its arrays are not pickled by NumPy")


def _encode(text: str, _encoding: str) -> bytes:
    return text.encode("latin-1")  # how protocols 0 to 2 store bytes


# Names in pickles -> replacements.
NUMPY_NAMES: dict[str, Any] = {"numpy.ndarray": _ndarray, "numpy.dtype": DType}
for _core in ("numpy.core", "numpy._core"):  # NumPy 1 and 2
    NUMPY_NAMES[f"{_core}.multiarray.scalar"] = _scalar
    NUMPY_NAMES[f"{_core}.multiarray._reconstruct"] = Array
    NUMPY_NAMES[f"{_core}.numeric._frombuffer"] = _array
_NAMES = {**NUMPY_NAMES, "_codecs.encode": _encode}
_PythonUnpickler: Any = pickle._Unpickler  # type checkers take it for the one in C


class _Unpickler(_PythonUnpickler):
    """Python's unpickler, not that in C, which can allocate gigabytes for ten bytes (such as a large memo index)."""

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
            raise InputError(f"contains {module}.{name}")
        return _NAMES[f"{module}.{name}"]

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (Array, DType)):
            raise ValueError("it changes an object")
        self.stack[-1].__setstate__(state)

    def load_bytearray8(self) -> None:
        self.load_binbytes8()  # not a bytearray of the announced size

    dispatch |= {pickle.BUILD[0]: load_build, pickle.BYTEARRAY8[0]: load_bytearray8}


def load_arrays(content: bytes) -> Any:
    """Read a pickle; each array in it becomes an `Array`.

    Raises:
        InputError: it names something else; the message begins with "contains".
        Exception: almost any, if the pickle is damaged.
    """
    file = io.BytesIO(content)
    try:
        found = _Unpickler(file).load()
    except KeyError as error:  # an instruction that is not in `dispatch`
        raise ValueError("it is not a list of records of arrays, numbers and text") from error
    if file.read(1):
        raise ValueError("it goes on after its end")
    return found
