/* SPDX-License-Identifier: MIT
 *
 * notify: tells the service manager how the service is (sd_notify(3)'s protocol: one datagram to $NOTIFY_SOCKET). laminad is
 * not the manager's main process, so its unit needs NotifyAccess=all.
 */
#ifndef LAMINA_DAEMON_NOTIFY_H
#define LAMINA_DAEMON_NOTIFY_H

/* "READY=1", "STOPPING=1". Nothing happens without $NOTIFY_SOCKET; failures are not worth a word. */
void notify(const char *state);

#endif
