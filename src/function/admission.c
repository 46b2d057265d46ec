/* SPDX-License-Identifier: MIT */
#include "function/admission.h"

#include <fcntl.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "loop/loop.h"

#define MEMINFO_BYTES_MAX ((size_t) 16 * 1024)

void admission_init(struct admission *admission, struct loop *loop, uint64_t reserve)
{
    *admission = (struct admission){
        .loop = loop, .path = "/proc/meminfo", .reserve = reserve, .read_ms = INT64_MIN};
}

/* "MemAvailable:   23456789 kB" */
static bool line_value(struct str line, uint64_t *ret_bytes)
{
    struct str name = {0}, value = {0}, number = {0}, unit = {0};
    uint64_t kib = 0;
    if (!str_cut(line, ':', &name, &value) || !str_equal_text(name, "MemAvailable"))
        return false;
    (void) str_cut(str_trim(value), ' ', &number, &unit);
    if (str_to_u64(number, UINT64_MAX / 1024, &kib) < 0)
        return false;
    *ret_bytes = kib * 1024;
    return true;
}

static void admission_read(struct admission *admission)
{
    AUTO_BUF struct buf text = BUF_INIT(MEMINFO_BYTES_MAX);
    struct str rest = {0}, line = {0};
    int64_t now = loop_now_ms(admission->loop);
    if (admission->read_ms != INT64_MIN && now - admission->read_ms < ADMISSION_AGE_MS)
        return;
    admission->read_ms = now;
    admission->is_known = false;
    if (fs_read_file(AT_FDCWD, admission->path, &text) < 0)
        return;
    rest = buf_str(&text);
    while (rest.size > 0 && !admission->is_known) {
        (void) str_cut(rest, '\n', &line, &rest);
        admission->is_known = line_value(line, &admission->available);
    }
}

uint64_t admission_need(uint64_t peak_bytes, uint64_t limit_bytes)
{
    uint64_t need = peak_bytes ? peak_bytes : ADMISSION_GUESS_BYTES;
    return need < limit_bytes ? need : limit_bytes;
}

bool admission_take(struct admission *admission, uint64_t need)
{
    admission_read(admission);
    if (admission->is_known &&
        admission->available < admission->reserve + admission->pending + need)
        return false;
    admission->pending += need;
    return true;
}

void admission_settle(struct admission *admission, uint64_t need)
{
    admission->pending -= need < admission->pending ? need : admission->pending;
}
