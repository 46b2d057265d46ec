/* SPDX-License-Identifier: MIT */
#include "api/model_report.h"

#include <inttypes.h>

#include "base/json.h"

/* shared_bytes are resident once for all instances of all functions with this model, private_bytes in each. */
static void append_measured(struct buf *json, const struct version_prepared *prepared)
{
    buf_printf(json,
               ",\"prepack\":\"%s\",\"shared_bytes\":%" PRIu64 ",\"private_bytes\":%" PRIu64
               ",\"resident_bytes\":%" PRIu64,
               prepared->is_packed ? "on" : "off", prepared->shared_bytes, prepared->private_bytes,
               prepared->shared_bytes + prepared->private_bytes);
}

/* settle.h: what kind of file it is, and where, is not known yet. */
static void append_unsettled(struct buf *json)
{
    buf_append_text(
        json, "\"model\":{\"prepared\":false,\"reason\":\"it is being prepared, and loaded the "
              "ordinary way until then\"},");
}

void model_report_append(struct buf *json, const struct version *version)
{
    const struct version_prepared *prepared = &version->prepared;
    char hex[DIGEST_HEX_SIZE];
    bool is_usable = version_prepared_is_usable(version);
    bool is_chosen = version_prepared_is_chosen(version) && !version_has_own_engine(version);
    if (!prepared->is_looked && version->state == VERSION_ACTIVE &&
        version_prepared_is_wanted(version))
        append_unsettled(json);
    if (!prepared->has_model)
        return;
    buf_append_text(json, "\"model\":{\"path\":");
    json_append_string(json, str_of(prepared->path));
    buf_printf(json, ",\"sha256\":\"%s\",\"bytes\":%" PRIu64 ",\"prepared\":%s",
               digest_hex(&prepared->model, hex), prepared->model_bytes,
               is_usable && !version_has_own_engine(version) ? "true" : "false");
    if (is_chosen)
        append_measured(json, prepared);
    buf_append_text(json, ",\"reason\":");
    json_append_string(json, str_of(prepared->is_measured && !version_prepared_is_chosen(version)
                                        ? "it was prepared on another processor or for another "
                                          "engine: deploy it again"
                                    : version_has_own_engine(version)
                                        ? "LAMINA_ONNXRUNTIME names another engine"
                                        : prepared->reason));
    buf_append_text(json, "},");
}
