# SPDX-License-Identifier: MIT
"""AWS's module of runtime hooks for SnapStart: what a function does before it is snapshotted and after it was restored.

    from snapshot_restore_py import register_before_snapshot, register_after_restore

    @register_after_restore
    def connect():
        ...

https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html. Hooks before the snapshot run in the reverse
order of their registration, those after the restore in its order. Without SnapStart they are never run."""

_before_snapshot = []
_after_restore = []


def register_before_snapshot(func, *args, **kwargs):
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func, *args, **kwargs):
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot():
    return _before_snapshot


def get_after_restore():
    return _after_restore
