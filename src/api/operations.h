/* SPDX-License-Identifier: MIT
 *
 * operations: what the route table points to. One file an operation: lambda_create is in
 * lambda_create.c. Each ends its call with exactly one answer, now or later.
 */
#ifndef LAMINA_API_OPERATIONS_H
#define LAMINA_API_OPERATIONS_H

struct call;

void lambda_create(struct call *call);
void lambda_delete(struct call *call);
void lambda_get(struct call *call);
void lambda_get_configuration(struct call *call);
void lambda_list(struct call *call);
void lambda_publish(struct call *call);
void lambda_update_code(struct call *call);
void lambda_update_configuration(struct call *call);
void lambda_versions(struct call *call);
void invoke(struct call *call);

void sts(struct call *call);

void lamina_function(struct call *call);
void lamina_instances(struct call *call);
void lamina_logs(struct call *call);
void lamina_package(struct call *call);
void lamina_status(struct call *call);
void lamina_stop(struct call *call);

#endif
