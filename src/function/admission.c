/* SPDX-License-Identifier: MIT */
#include "function/admission.h"

#include "base/meminfo.h"
#include "loop/loop.h"

void admission_init(struct admission *admission, struct loop *loop, uint64_t reserve)
{
    *admission = (struct admission){
        .loop = loop, .path = MEMINFO_PATH, .reserve = reserve, .read_ms = INT64_MIN};
}

static void admission_read(struct admission *admission)
{
    int64_t now = loop_now_ms(admission->loop);
    if (admission->read_ms != INT64_MIN && now - admission->read_ms < ADMISSION_AGE_MS)
        return;
    admission->read_ms = now;
    admission->is_known = meminfo_available(admission->path, &admission->available) == 0;
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
