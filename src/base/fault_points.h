// SPDX-License-Identifier: MIT
//
// Where a creation can be interrupted: each durable step of CreateFunction of a one-file package, in
// the order in which laminad does them. `lamina doctor --fault-points` prints the list;
// tests/fault/test_fault_points.py kills -9 and fails each in turn.
//
// A point is a system call, counted by name from the request's arrival: the tests' shim
// (tests/fault/shim.c) strikes before the nth call of that name. The program itself has no code for it,
// so no point can be active by accident. Striking before a step is striking behind the one before it.

#ifndef LAMINA_BASE_FAULT_POINTS_H
#define LAMINA_BASE_FAULT_POINTS_H

struct fault_point {
    const char *name;
    const char *call; // the system call, as the C library names it
    unsigned nth;     // of that name, from 1
    const char *step; // what the call does
};

static const struct fault_point fault_points[] = {
    {"spool.create", "openat", 1, "the request's package gets a file in tmp/"},
    {"spool.write", "write", 1, "its first bytes are written"},
    {"package.time", "futimens", 1, "the package gets the time that objects have"},
    {"package.mode", "fchmod", 1, "the package becomes read-only"},
    {"file.create", "openat", 2, "the first file that lamina-work unpacked is made in tmp/"},
    {"file.time", "futimens", 2, "the file gets its time"},
    {"file.mode", "fchmod", 2, "the file gets its mode"},
    {"manifest.create", "openat", 3, "the manifest is made in tmp/"},
    {"manifest.mode", "fchmod", 3, "the manifest becomes read-only"},
    {"contents.sync", "syncfs", 1, "contents are on the disk afterwards"},
    {"object.publish", "renameat2", 1, "the first content gets its name in objects/"},
    {"object.publish.next", "renameat2", 2, "the second one does"},
    {"manifest.publish", "renameat", 1, "the manifest gets its name in manifests/"},
    {"farm.create", "mkdirat", 1, "the tree's folder is made in tmp/"},
    {"farm.link", "linkat", 1, "a file is linked into it"},
    {"farm.publish", "renameat2", 3, "the tree gets its name in trees/"},
    {"farm.close", "fchmod", 4, "the tree becomes read-only"},
    {"names.sync", "syncfs", 2, "names are on the disk afterwards"},
    {"registry.write", "pwrite64", 1, "the function is written to the registry's log"},
    {"registry.sync", "fdatasync", 1, "it is on the disk afterwards; then the caller hears 201"},
};

#endif
