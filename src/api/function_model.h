/* SPDX-License-Identifier: MIT
 *
 * function_model: GET /2018-06-01/lamina/model?uri=s3://bucket/key, which a function asks on its own Runtime API:
 *
 *     200 {"path":"/opt/lamina/models/<sha256>/<name>","sha256":"<hex>","bytes":n}
 *
 * The object is fetched with the rights of the function's role and linked into the function's models, where its running
 * sandboxes see it at once: no mount, no start. Asked for its own MODEL_URI it gets the model that this instance was
 * started with, whatever the store has by now. Refusals: {"errorMessage","errorType"} with 400 (the URI), 403, 404, 502
 * (the store), 507 (the disk).
 *
 * Thread: loop. A caller that goes away does not stop what is being fetched: the next one finds it.
 */
#ifndef LAMINA_API_FUNCTION_MODEL_H
#define LAMINA_API_FUNCTION_MODEL_H

struct http_request;
struct instance_identity;

/* For instance_platform.on_model, with the api as `arg`. */
void api_on_model(void *arg, struct http_request *request, struct instance_identity *identity);

#endif
