// SPDX-License-Identifier: MIT
#include <lamina.h>

static int hello(struct lamina_call *call, void *data)
{
    (void) data;
    return lamina_printf(call, "{\"hello\": %s}", call->payload);
}

int main(void)
{
    return lamina_run(hello, NULL);
}
