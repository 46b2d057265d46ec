// SPDX-License-Identifier: MIT
//
// After the file was edited: the running service reads it again, and is waited for.
#include "cli/filesystems.h"
#include "cli/output.h"
#include "client/client.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define TAKEN_WITHIN_MS 15000
#define LOOK_EVERY_MS 20

// 1: it knows it (or knows no more of it), 0: not yet; an error that time does not heal.
static int has_taken(struct client *client, const char *point_id, bool is_wanted, struct error *err)
{
    struct client_answer answer;
    char query[64];

    snprintf(query, sizeof query, "AccessPointId=%s", point_id);
    const struct client_request request = {.method = "GET",
                                           .path = "/2015-02-01/access-points",
                                           .query = query,
                                           .service = "elasticfilesystem"};
    int r = client_perform(client, &request, &answer, err);
    if (r == 0 && (answer.status == 200 || answer.status == 404))
        r = (answer.status == 200) == is_wanted;
    else if (r == 0)
        r = client_check(&answer, client_target(client), "look for the access point", err);
    client_answer_done(&answer);
    return r;
}

static int wait_taken(const struct target_options *options, const char *point_id, bool is_wanted,
                      struct error *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_EVERY_MS * 1000000L};
    int64_t deadline_ms = clock_monotonic_ms() + TAKEN_WITHIN_MS;
    struct client *client = NULL;
    struct target target;

    int r = target_resolve(options, &target, err);
    if (r == 0)
        r = client_new(&target, &client, err);
    while (r == 0 && (r = has_taken(client, point_id, is_wanted, err)) == 0) {
        if (clock_monotonic_ms() > deadline_ms)
            r = error_set(err, -ETIMEDOUT, "the service has not taken it up: its log says why");
        else
            nanosleep(&pause, NULL);
    }
    client_free(client);
    return r < 0 ? r : 0;
}

int filesystems_take_effect(const struct filesystems_told *told, const char *point_id,
                            bool is_wanted, struct error *err)
{
    struct error why = {0};
    int r = filesystems_tell(told->data_dir, &why);

    if (r == -ENOENT && !(told->is_used_at_once && is_wanted)) {
        output_note(told->is_quiet, "%s: it will know when it is started", why.text);
        return 0;
    }
    if (r < 0)
        return error_set(err, r, "'%s' is changed, but the service was not told: %s",
                         told->file_path, why.text);
    r = wait_taken(told->target, point_id, is_wanted, &why);
    return r < 0 ? error_set(err, r, "'%s' is changed, and the service was told, but: %s",
                             told->file_path, why.text)
                 : 0;
}
