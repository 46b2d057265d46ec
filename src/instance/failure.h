/* SPDX-License-Identifier: MIT
 *
 * failure: AWS's words for what goes wrong in an instance: error type, message, status in REPORT
 * (docs.aws.amazon.com/lambda, "Understanding retry behavior" and the recorded answers of AWS itself).
 *
 * Thread: any; no state. Private to src/instance; struct instance_failure and what its owners may call are in
 * instance/instance.h.
 */
#ifndef LAMINA_INSTANCE_FAILURE_H
#define LAMINA_INSTANCE_FAILURE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "instance/instance.h"

struct extensions_end;
struct spawn_exit;

#define FAILURE_MESSAGE_MAX 384

void failure_set_timeout(struct instance_failure *failure, uint32_t timeout_ms);
void failure_set_too_large(struct instance_failure *failure, uint64_t bytes);
/* An extension reported `type` in its init phase, or later. */
void failure_set_extension(struct instance_failure *failure, struct str type, bool is_init);
/* A process of an external one has ended, or could not be run. */
void failure_set_extension_exit(struct instance_failure *failure, const struct extensions_end *end);
void failure_set_too_many_extensions(struct instance_failure *failure);
void failure_set_truncated(struct instance_failure *failure);
void failure_set_response_mode(struct instance_failure *failure);
/* The bootstrap ended, could not be run, or the kernel killed it for its memory. */
void failure_set_exit(struct instance_failure *failure, const struct spawn_exit *message);
/* Not the function's doing. */
void failure_set_sandbox(struct instance_failure *failure, const char *text);
/* A template that may not be forked: `reason` names what of it. */
void failure_set_refused(struct instance_failure *failure, struct str reason);
/* The runtime reported it itself: `body` (moved) is what the caller gets. A type that the Runtime API does not
 * allow becomes `fallback`. */
void failure_set_posted(struct instance_failure *failure, struct str type, const char *fallback,
                        struct buf *body);

/* "RequestId: <id> Error: <text>" */
void failure_message(const struct instance_failure *failure, const char *request_id,
                     char text[FAILURE_MESSAGE_MAX]);

#endif
