// SPDX-License-Identifier: MIT
//
// What laminad sends to lamina-spawn, as a laminad that was taken over would send it. The first byte
// says the channel and the number of descriptors, the rest is the packet.

#include "spawn/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>
#include <string.h>

static void must(bool condition)
{
    if (!condition)
        abort();
}

// Texts end, and lead nowhere but down.
static void use_filesystem(const struct spawn_filesystem_use *use)
{
    must(strnlen(use->root, sizeof(use->root)) < sizeof(use->root));
    must(strnlen(use->name, sizeof(use->name)) < sizeof(use->name));
    must(use->root[0] != '/' && !strstr(use->root, "../") && strcmp(use->root, "..") != 0);
    must(!strchr(use->name, '/') && strcmp(use->name, "..") != 0);
    must(use->uid != 0 && use->gid != 0);
}

// What was accepted can be used without further looking: each byte of the environment is read.
static void use_start(const struct spawn_start *start, size_t size)
{
    must(size == offsetof(struct spawn_start, env) + start->env_size);
    must(start->env_size <= SPAWN_ENV_MAX && start->head.id != 0);
    size_t count = 0;
    for (size_t at = 0; at < start->env_size; count++) {
        const size_t length = strlen(start->env + at);
        const char *equals = strchr(start->env + at, '=');
        must(equals && equals != start->env + at);
        at += length + 1;
        must(at <= start->env_size);
    }
    must(count <= SPAWN_ENV_VARIABLES_MAX);
    if (start->filesystem.filesystem_id[0])
        use_filesystem(&start->filesystem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size - 1 > SPAWN_MESSAGE_MAX)
        return 0;
    // Memory of exactly that size: reading past the packet is found.
    const size_t packet = size - 1;
    union request *request = malloc(packet > 0 ? packet : 1);
    memcpy(request, data + 1, packet);
    const enum request_channel channel = data[0] & 1 ? REQUEST_WORK : REQUEST_INSTANCES;
    const size_t fds = (size_t) (data[0] >> 1) % (SPAWN_FDS_MAX + 1);
    if (request_check(request, packet, fds, channel) == 0) {
        must(packet == request->head.size && request->head.version == SPAWN_VERSION);
        const bool is_file = request->head.type == SPAWN_FILE;
        must((request->head.type == SPAWN_WORK || is_file) == (channel == REQUEST_WORK));
        const bool is_start = request->head.type == SPAWN_START;
        const bool has_model = is_start && request->start.flags & SPAWN_START_MODEL_FD;
        const size_t file_fds = is_file && request->file.flags & SPAWN_FILE_READ ? 2 : 1;
        must(fds == (is_file ? file_fds : channel == REQUEST_WORK ? SPAWN_WORK_FDS : has_model));
        if (is_file)
            use_filesystem(&request->file.use);
        must(!has_model || request->start.template_id == 0);
        if (is_start)
            use_start(&request->start, packet);
    }
    free(request);
    return 0;
}
