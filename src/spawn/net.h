// SPDX-License-Identifier: MIT
//
// The network of a sandbox: a namespace with a loopback device, and two listening sockets in it that
// laminad accepts from. There is no other device, so nothing else can be reached.

#ifndef LAMINA_SPAWN_NET_H
#define LAMINA_SPAWN_NET_H

#include "base/compiler.h"

#include <stdint.h>

// In the process that is to have its own network: makes the namespace, brings loopback up and opens
// the listeners of spawn.h. 0, or -errno with *ret_step.
int net_make(int ret_listeners[2], uint32_t *ret_step) MUST_CHECK;

#endif
