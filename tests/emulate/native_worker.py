"""The process that runs native machine code for `native.Native`; started as a script.

Arguments: the file descriptor, address and size of the shared memory. Commands on stdin are
records of eight 64-bit words: (PROTECT, address, size, access), (HANDLER, function) or
(CALL, function, six arguments). The latter two are answered on stdout by five words: (0, result, 0,
0, 0), or by the fault handler, which ends the process: (signal, address, pc, error code, 0).
"""

import ctypes
import mmap
import os
import signal
import struct
import sys

PROTECT, HANDLER, CALL = 1, 2, 3
COMMAND, REPLY = struct.Struct("<8Q"), struct.Struct("<5Q")
FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)

_MAP_FIXED_NOREPLACE = 0x100000
_SA_SIGINFO, _SA_ONSTACK = 4, 0x08000000
_FAULT_STACK = 1 << 18
_PR_SET_PDEATHSIG = 1


class _SigAction(ctypes.Structure):
    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_uint64 * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class _Stack(ctypes.Structure):
    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def main(descriptor: int, base: int, size: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    flags = mmap.MAP_SHARED | _MAP_FIXED_NOREPLACE
    if libc.mmap(base, size, 0, flags, descriptor, 0) != base:
        raise OSError(ctypes.get_errno(), "cannot map the shared memory at its address")
    stack = ctypes.create_string_buffer(_FAULT_STACK)
    alternate = _Stack(ctypes.addressof(stack), 0, _FAULT_STACK)
    function = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 6)
    while record := os.read(0, COMMAND.size):
        kind, address, *words = COMMAND.unpack(record)
        result = 0
        if kind == PROTECT:
            if libc.mprotect(address, words[0], words[1]) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")
            continue
        if kind == HANDLER:
            libc.sigaltstack(ctypes.byref(alternate), None)
            action = _SigAction(handler=address, flags=_SA_SIGINFO | _SA_ONSTACK)
            for number in FAULTS:
                libc.sigaction(number, ctypes.byref(action), None)
        else:
            result = function(address)(*words)
        os.write(1, REPLY.pack(0, result, 0, 0, 0))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
