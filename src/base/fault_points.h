// SPDX-License-Identifier: MIT
//
// Where what a caller asked for can be interrupted: each durable step of each operation, in the order in which laminad
// does them. `lamina doctor --fault-points` prints the list; tests/fault kills -9 before and after, and fails, each in
// turn (test_fault_points.py: CreateFunction, test_change_points.py: what is one transaction; test_layer_points.py,
// test_model_points.py, test_s3_faults.py, test_fault_prepare.py: the other operations of several steps).
//
// A point is a system call, counted by name from the request's arrival: the tests' shim
// (tests/fault/shim.c) strikes before the nth call of that name. The program itself has no code for it,
// so no point can be active by accident. Striking before a step is striking behind the one before it.

#ifndef LAMINA_BASE_FAULT_POINTS_H
#define LAMINA_BASE_FAULT_POINTS_H

struct fault_point {
    const char *operation; // as AWS or docs/lamina-api.md calls it
    const char *name;
    const char *call; // the system call, as the C library names it
    unsigned nth;     // of that name, from 1
    const char *step; // what the call does
};

// What is one transaction of the registry, of the objects' index or of the queue.
#define FAULT_CHANGE(operation)                                                                    \
    {operation, operation ".write", "pwrite64", 1, "the change is written to the log"},            \
    {                                                                                              \
        operation, operation ".sync", "fdatasync", 1,                                              \
            "it is on the disk afterwards; then the caller hears of it"                            \
    }

static const struct fault_point fault_points[] = {
    {"CreateFunction", "spool.create", "openat", 1, "the request's package gets a file in tmp/"},
    {"CreateFunction", "spool.write", "write", 1, "its first bytes are written"},
    {"CreateFunction", "package.time", "futimens", 1,
     "the package gets the time that objects have"},
    {"CreateFunction", "package.mode", "fchmod", 1, "the package becomes read-only"},
    {"CreateFunction", "file.create", "openat", 2,
     "the first file that lamina-work unpacked is made in tmp/"},
    {"CreateFunction", "file.time", "futimens", 2, "the file gets its time"},
    {"CreateFunction", "file.mode", "fchmod", 2, "the file gets its mode"},
    {"CreateFunction", "manifest.create", "openat", 3, "the manifest is made in tmp/"},
    {"CreateFunction", "manifest.mode", "fchmod", 3, "the manifest becomes read-only"},
    {"CreateFunction", "contents.sync", "syncfs", 1, "contents are on the disk afterwards"},
    {"CreateFunction", "object.publish", "renameat2", 1,
     "the first content gets its name in objects/"},
    {"CreateFunction", "object.publish.next", "renameat2", 2, "the second one does"},
    {"CreateFunction", "manifest.publish", "renameat", 1,
     "the manifest gets its name in manifests/"},
    {"CreateFunction", "farm.create", "mkdirat", 1, "the tree's folder is made in tmp/"},
    {"CreateFunction", "farm.link", "linkat", 1, "a file is linked into it"},
    {"CreateFunction", "farm.publish", "renameat2", 3, "the tree gets its name in trees/"},
    {"CreateFunction", "farm.close", "fchmod", 4, "the tree becomes read-only"},
    {"CreateFunction", "names.sync", "syncfs", 2, "names are on the disk afterwards"},
    {"CreateFunction", "registry.write", "pwrite64", 1,
     "the function is written to the registry's log"},
    {"CreateFunction", "registry.sync", "fdatasync", 1,
     "it is on the disk afterwards; then the caller hears 201"},
    {"PutObject", "PutObject.create", "openat", 1, "the body gets a file in tmp/"},
    {"PutObject", "PutObject.body", "pwrite64", 1, "its first bytes are written"},
    {"PutObject", "PutObject.time", "futimens", 1, "it gets the time that objects have"},
    {"PutObject", "PutObject.mode", "fchmod", 1, "it becomes read-only"},
    {"PutObject", "PutObject.content", "fsync", 1, "it is on the disk afterwards"},
    {"PutObject", "PutObject.publish", "renameat2", 1, "it gets its name in objects/"},
    {"PutObject", "PutObject.name", "fsync", 2, "the name is on the disk afterwards"},
    {"PutObject", "PutObject.write", "pwrite64", 2, "the key is written to the index's log"},
    {"PutObject", "PutObject.sync", "fdatasync", 1,
     "it is on the disk afterwards; then the caller hears 200"},
    {"Invoke (Event)", "Event.write", "pwrite64", 1, "the event is written to the queue's log"},
    {"Invoke (Event)", "Event.sync", "fdatasync", 1,
     "it is on the disk afterwards; then the caller hears 202"},
    {"Invoke (Event)", "Event.claim", "fdatasync", 2, "it is about to be tried"},
    {"Invoke (Event)", "Event.settle", "fdatasync", 3,
     "it is done, comes again, or is a dead letter; a destination's record is with it"},
    {"dead-letters retry", "DeadLetters.retry.write", "pwrite64", 1, "events wait again"},
    {"dead-letters retry", "DeadLetters.retry.sync", "fdatasync", 1,
     "they do so on the disk afterwards"},
    {"dead-letters purge", "DeadLetters.purge.write", "pwrite64", 1, "dead letters are removed"},
    {"dead-letters purge", "DeadLetters.purge.sync", "fdatasync", 1,
     "they are gone from the disk afterwards"},
    FAULT_CHANGE("DeleteFunction"),
    {"DeleteFunction", "DeleteFunction.events", "fdatasync", 2,
     "its events and dead letters are gone from the disk, if it had any"},
    FAULT_CHANGE("PublishVersion"),
    FAULT_CHANGE("UpdateFunctionConfiguration"),
    FAULT_CHANGE("CreateAlias"),
    FAULT_CHANGE("UpdateAlias"),
    FAULT_CHANGE("DeleteAlias"),
    FAULT_CHANGE("TagResource"),
    FAULT_CHANGE("UntagResource"),
    FAULT_CHANGE("PutFunctionConcurrency"),
    FAULT_CHANGE("DeleteFunctionConcurrency"),
    FAULT_CHANGE("PutProvisionedConcurrencyConfig"),
    FAULT_CHANGE("DeleteProvisionedConcurrencyConfig"),
    FAULT_CHANGE("PutFunctionEventInvokeConfig"),
    FAULT_CHANGE("UpdateFunctionEventInvokeConfig"),
    FAULT_CHANGE("DeleteFunctionEventInvokeConfig"),
    FAULT_CHANGE("CreateFunctionUrlConfig"),
    FAULT_CHANGE("UpdateFunctionUrlConfig"),
    FAULT_CHANGE("DeleteFunctionUrlConfig"),
    FAULT_CHANGE("AddPermission"),
    FAULT_CHANGE("RemovePermission"),
    FAULT_CHANGE("DeleteLayerVersion"),
    FAULT_CHANGE("AddLayerVersionPermission"),
    FAULT_CHANGE("RemoveLayerVersionPermission"),
    FAULT_CHANGE("CreateRole"),
    FAULT_CHANGE("UpdateRole"),
    FAULT_CHANGE("UpdateAssumeRolePolicy"),
    FAULT_CHANGE("PutRolePolicy"),
    FAULT_CHANGE("DeleteRolePolicy"),
    FAULT_CHANGE("DeleteRole"),
    FAULT_CHANGE("CreateAccessPoint"),
    FAULT_CHANGE("TagResource (EFS)"),
    FAULT_CHANGE("DeleteAccessPoint"),
    FAULT_CHANGE("PutUser"),
    FAULT_CHANGE("DeleteUser"),
    FAULT_CHANGE("CreateBucket"),
    FAULT_CHANGE("PutBucketVersioning"),
    FAULT_CHANGE("DeleteBucket"),
    FAULT_CHANGE("CopyObject"),
    FAULT_CHANGE("DeleteObject"),
    FAULT_CHANGE("DeleteObjects"),
    FAULT_CHANGE("CreateMultipartUpload"),
};

#endif
