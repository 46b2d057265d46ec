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
void lambda_account_settings(struct call *call);
void lambda_add_permission(struct call *call);
void lambda_create_alias(struct call *call);
void lambda_delete_alias(struct call *call);
void lambda_delete_event_invoke(struct call *call);
void lambda_get_alias(struct call *call);
void lambda_get_code_signing(struct call *call);
void lambda_get_event_invoke(struct call *call);
void lambda_get_policy(struct call *call);
void lambda_list_aliases(struct call *call);
void lambda_list_event_invoke(struct call *call);
void lambda_list_tags(struct call *call);
void lambda_put_event_invoke(struct call *call);
void lambda_remove_permission(struct call *call);
void lambda_tag(struct call *call);
void lambda_untag(struct call *call);
void lambda_update_alias(struct call *call);
void lambda_update_event_invoke(struct call *call);
void lambda_create_url(struct call *call);
void lambda_delete_url(struct call *call);
void lambda_get_url(struct call *call);
void lambda_list_urls(struct call *call);
void lambda_update_url(struct call *call);
void lambda_delete_concurrency(struct call *call);
void lambda_delete_provisioned(struct call *call);
void lambda_get_concurrency(struct call *call);
void lambda_get_provisioned(struct call *call);
void lambda_list_provisioned(struct call *call);
void lambda_put_concurrency(struct call *call);
void lambda_put_provisioned(struct call *call);
void lambda_add_layer_permission(struct call *call);
void lambda_delete_layer(struct call *call);
void lambda_get_layer(struct call *call);
void lambda_get_layer_by_arn(struct call *call);
void lambda_get_layer_policy(struct call *call);
void lambda_list_layer_versions(struct call *call);
void lambda_list_layers(struct call *call);
void lambda_publish_layer(struct call *call);
void lambda_remove_layer_permission(struct call *call);
void invoke(struct call *call);
void invoke_with_response_stream(struct call *call);

void sts(struct call *call);
void iam(struct call *call);

void lamina_function(struct call *call);
void lamina_instances(struct call *call);
void lamina_list_dead_letters(struct call *call);
void lamina_logs(struct call *call);
void lamina_purge_dead_letters(struct call *call);
void lamina_retry_dead_letters(struct call *call);
void lamina_package(struct call *call);
void lamina_rollback(struct call *call);
void lamina_status(struct call *call);
void lamina_list_users(struct call *call);
void lamina_put_user(struct call *call);
void lamina_delete_user(struct call *call);
void lamina_stop(struct call *call);

#endif
