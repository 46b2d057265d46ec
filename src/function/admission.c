/* SPDX-License-Identifier: MIT */
#include "function/admission.h"

#include "base/meminfo.h"
#include "loop/loop.h"

void admission_init(struct admission *admission, struct loop *loop, uint64_t reserve)
{
    *admission = (struct admission){
        .loop = loop, .path = MEMINFO_PATH, .reserve = reserve, .read_ms = INT64_MIN};
}

/* Two of everything: a sum that would not fit into 64 bits is not ample. */
static bool is_ample(const struct admission *admission, uint64_t need)
{
    uint64_t half = admission->available / 2;
    return admission->is_known && admission->reserve <= half &&
           admission->taken <= half - admission->reserve &&
           need <= half - admission->reserve - admission->taken;
}

static void admission_read(struct admission *admission, uint64_t need)
{
    int64_t now = loop_now_ms(admission->loop);
    int64_t age_ms = is_ample(admission, need) ? ADMISSION_AGE_AMPLE_MS : ADMISSION_AGE_MS;
    if (admission->read_ms != INT64_MIN && now - admission->read_ms < age_ms)
        return;
    admission->read_ms = now;
    admission->taken = 0;
    admission->is_known = meminfo_available(admission->path, &admission->available) == 0;
}

uint64_t admission_need(uint64_t peak_bytes, uint64_t limit_bytes)
{
    uint64_t need = peak_bytes ? peak_bytes : ADMISSION_GUESS_BYTES;
    return need < limit_bytes ? need : limit_bytes;
}

bool admission_take(struct admission *admission, uint64_t need)
{
    admission_read(admission, need);
    if (admission->is_known &&
        admission->available < admission->reserve + admission->pending + need)
        return false;
    admission->pending += need;
    admission->taken += need;
    return true;
}

void admission_settle(struct admission *admission, uint64_t need)
{
    admission->pending -= need < admission->pending ? need : admission->pending;
}
