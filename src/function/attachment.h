/* SPDX-License-Identifier: MIT
 *
 * attachment: what hangs on a function besides its code and configuration: aliases, policies, URLs,
 * settings of asynchronous calls, reserved and provisioned concurrency.
 *
 * Each is one JSON object under (kind, qualifier), with a row of its own in the registry, so that
 * changing one touches no other. The API writes and shows the text; the few members that invocations need
 * are read out of it once, when the attachment is made.
 *
 *   kind                     qualifier            members (those of AWS's shapes)
 *   ATTACHMENT_ALIAS         the alias' name      Name, FunctionVersion, Description, RoutingConfig, RevisionId
 *   ATTACHMENT_POLICY        "", version, alias   Statement: [...], RevisionId
 *   ATTACHMENT_URL           "", alias            UrlId, AuthType, Cors, InvokeMode, CreationTime, LastModifiedTime
 *   ATTACHMENT_EVENT_INVOKE  "", version, alias   MaximumRetryAttempts, MaximumEventAgeInSeconds, OnSuccess, OnFailure
 *   ATTACHMENT_RESERVED      ""                   ReservedConcurrentExecutions
 *   ATTACHMENT_PROVISIONED   version, alias       ProvisionedConcurrentExecutions, LastModified
 *
 * Immutable once made; owned by the function it hangs on. Loop thread only.
 */
#ifndef LAMINA_FUNCTION_ATTACHMENT_H
#define LAMINA_FUNCTION_ATTACHMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/json.h"

enum attachment_kind {
    ATTACHMENT_ALIAS,
    ATTACHMENT_POLICY,
    ATTACHMENT_URL,
    ATTACHMENT_EVENT_INVOKE,
    ATTACHMENT_RESERVED,
    ATTACHMENT_PROVISIONED,
    ATTACHMENT_KINDS,
};

#define ATTACHMENT_JSON_MAX (128 * 1024)
#define ATTACHMENT_URL_ID_SIZE 33 /* 32 characters and the NUL */
#define ATTACHMENTS_MAX 10000     /* of one function; -ENOSPC beyond */

struct function;

/* Where an alias leads: a number, 0 for $LATEST; with probability `extra_weight` another number. */
struct alias_route {
    uint64_t number;
    uint64_t extra_number; /* 0: none */
    double extra_weight;
};

struct attachment {
    enum attachment_kind kind;
    char *qualifier;
    char *json;
    yyjson_doc *doc;           /* of json; its root is an object */
    struct function *function; /* borrowed; set when it is hung on */

    struct alias_route route;            /* ATTACHMENT_ALIAS */
    char url_id[ATTACHMENT_URL_ID_SIZE]; /* ATTACHMENT_URL */
    uint32_t number;                     /* ATTACHMENT_RESERVED, ATTACHMENT_PROVISIONED */
};

/* Copies both texts. -EBADMSG (with what is wrong), -EFBIG, -ENOMEM. */
MUST_CHECK int attachment_new(enum attachment_kind kind, const char *qualifier, struct str json,
                              struct attachment **ret_attachment, struct error *err);
void attachment_free(struct attachment *attachment); /* accepts NULL */

/* The registry's name of a kind: "alias", "policy", ... */
const char *attachment_kind_name(enum attachment_kind kind);

yyjson_val *attachment_root(const struct attachment *attachment);

#endif
