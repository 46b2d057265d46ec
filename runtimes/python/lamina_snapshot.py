# SPDX-License-Identifier: MIT
"""SnapStart for Python: this process is a template, its forks are the function's instances.

Imported only where it is one. What a process needs to begin again is in liblamina-snapshot.so (src/sdk/beginning.h: open
files, signals, libc's and OpenSSL's random state, a new stack guard); here is what is Python's own."""
import ctypes
import gc
import os
import sys

LIBRARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib", "liblamina-snapshot.so")
REASON_BYTES = 160  # BEGINNING_TEXT_BYTES
PLATFORMS_OWN = ("AWS_", "LAMBDA_", "LAMINA_", "_HANDLER", "_LAMBDA_")


def prepare():
    """Before the function's module is imported: libraries that would start threads are told not to, since a fork has
    only one of them. A function that wants its threads back sets their number in an after-restore hook."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def take_environment(block):
    """os.environ is a copy that Python made when it started: it follows what the fork was given."""
    given = dict(entry.split("=", 1) for entry in os.fsdecode(block).split("\0") if "=" in entry)
    for name in [name for name in os.environ if name.startswith(PLATFORMS_OWN) and name not in given]:
        del os.environ[name]
    os.environ.update(given)


def begin_again(block):
    """In a fork. `random` and the interpreter's own locks are renewed by os.register_at_fork's handlers, which have run."""
    take_environment(block)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()  # the generator behind numpy.random.rand and its kin; Generator objects are their makers'


class NotForkable(Exception):
    """What this process holds cannot be a fork's own."""


def serve_forks(run):
    """Waits to be forked; run(milliseconds since it was needed) is called in each fork and never returns. Returns in the
    template, when it is not needed any more."""
    def begin(block, restore_ms):
        begin_again(block)
        run(restore_ms)

    sys.stdout.flush()
    sys.stderr.flush()
    serve = ctypes.PyDLL(LIBRARY).lamina_snapshot_python
    serve.argtypes = [ctypes.py_object, ctypes.c_char_p]
    serve.restype = ctypes.c_int
    reason = ctypes.create_string_buffer(REASON_BYTES)
    # What there is now stays for good: collections in forks would only write to its pages, and so copy them.
    gc.collect()
    gc.freeze()
    error = -serve(begin, reason)
    if error:
        raise NotForkable(reason.value.decode("utf-8", "replace") or os.strerror(error))
