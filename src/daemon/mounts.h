/* SPDX-License-Identifier: MIT
 *
 * mounts: joins the table of file systems (filesystem/) with lamina-spawn, which tells what there is, and with the
 * scheduler, which asks for it. Loop thread.
 */
#ifndef LAMINA_DAEMON_MOUNTS_H
#define LAMINA_DAEMON_MOUNTS_H

#include "base/error.h"

struct filesystem_use;
struct filesystems;
struct spawn_filesystem;
struct spawn_filesystem_use;
struct version;

/* A row as it came. */
void mounts_take(struct filesystems *filesystems, const struct spawn_filesystem *row);

/* For scheduler_mounter, with the file systems as `arg`. */
int mounts_resolve(void *arg, const struct version *version, struct spawn_filesystem_use *ret,
                   struct error *err);

#endif
