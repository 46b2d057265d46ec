/* SPDX-License-Identifier: MIT
 *
 * The route tables. Source of methods and paths: AWS's service model of Lambda (botocore 1.43.67 and
 * npm @aws-sdk/client-lambda 3.1164.0). Frequent operations first: the search is linear.
 */

#include "api/operations.h"
#include "api/route.h"

/* An operation that AWS has and this service has not: 501 with its name. */
#define ABSENT(method, path, operation)                                                            \
    {                                                                                              \
        HTTP_METHOD_##method, path, NULL, operation, ROUTE_BODY_NONE, NULL, NULL, false            \
    }

/* A table reads by its rows. */
/* clang-format off */
const struct route lambda_routes[] = {
    {HTTP_METHOD_POST, "/2015-03-31/functions/{FunctionName}/invocations", NULL, "Invoke", ROUTE_BODY_PAYLOAD, NULL, invoke, true},
    {HTTP_METHOD_POST, "/2021-11-15/functions/{FunctionName}/response-streaming-invocations", NULL, "InvokeWithResponseStream", ROUTE_BODY_PAYLOAD, NULL, invoke_with_response_stream, true},
    {HTTP_METHOD_GET, "/2015-03-31/functions/{FunctionName}", NULL, "GetFunction", ROUTE_BODY_NONE, NULL, lambda_get, true},
    {HTTP_METHOD_GET, "/2015-03-31/functions/{FunctionName}/configuration", NULL, "GetFunctionConfiguration", ROUTE_BODY_NONE, NULL, lambda_get_configuration, true},
    {HTTP_METHOD_POST, "/2015-03-31/functions", NULL, "CreateFunction", ROUTE_BODY_CODE, "Code.ZipFile", lambda_create, false},
    {HTTP_METHOD_PUT, "/2015-03-31/functions/{FunctionName}/code", NULL, "UpdateFunctionCode", ROUTE_BODY_CODE, "ZipFile", lambda_update_code, false},
    {HTTP_METHOD_PUT, "/2015-03-31/functions/{FunctionName}/configuration", NULL, "UpdateFunctionConfiguration", ROUTE_BODY_JSON, NULL, lambda_update_configuration, false},
    {HTTP_METHOD_DELETE, "/2015-03-31/functions/{FunctionName}", NULL, "DeleteFunction", ROUTE_BODY_NONE, NULL, lambda_delete, true},
    {HTTP_METHOD_GET, "/2015-03-31/functions", NULL, "ListFunctions", ROUTE_BODY_NONE, NULL, lambda_list, false},
    {HTTP_METHOD_POST, "/2015-03-31/functions/{FunctionName}/versions", NULL, "PublishVersion", ROUTE_BODY_JSON, NULL, lambda_publish, false},
    {HTTP_METHOD_GET, "/2015-03-31/functions/{FunctionName}/versions", NULL, "ListVersionsByFunction", ROUTE_BODY_NONE, NULL, lambda_versions, false},
    {HTTP_METHOD_POST, "/2015-03-31/functions/{FunctionName}/aliases", NULL, "CreateAlias", ROUTE_BODY_JSON, NULL, lambda_create_alias, false},
    {HTTP_METHOD_GET, "/2015-03-31/functions/{FunctionName}/aliases/{Name}", NULL, "GetAlias", ROUTE_BODY_NONE, NULL, lambda_get_alias, false},
    {HTTP_METHOD_PUT, "/2015-03-31/functions/{FunctionName}/aliases/{Name}", NULL, "UpdateAlias", ROUTE_BODY_JSON, NULL, lambda_update_alias, false},
    {HTTP_METHOD_DELETE, "/2015-03-31/functions/{FunctionName}/aliases/{Name}", NULL, "DeleteAlias", ROUTE_BODY_NONE, NULL, lambda_delete_alias, false},
    {HTTP_METHOD_GET, "/2015-03-31/functions/{FunctionName}/aliases", NULL, "ListAliases", ROUTE_BODY_NONE, NULL, lambda_list_aliases, false},
    {HTTP_METHOD_POST, "/2017-03-31/tags/{Resource}", NULL, "TagResource", ROUTE_BODY_JSON, NULL, lambda_tag, false},
    {HTTP_METHOD_DELETE, "/2017-03-31/tags/{Resource}", NULL, "UntagResource", ROUTE_BODY_NONE, NULL, lambda_untag, false},
    {HTTP_METHOD_GET, "/2017-03-31/tags/{Resource}", NULL, "ListTags", ROUTE_BODY_NONE, NULL, lambda_list_tags, false},
    {HTTP_METHOD_GET, "/2016-08-19/account-settings", NULL, "GetAccountSettings", ROUTE_BODY_NONE, NULL, lambda_account_settings, false},
    {HTTP_METHOD_GET, "/2020-06-30/functions/{FunctionName}/code-signing-config", NULL, "GetFunctionCodeSigningConfig", ROUTE_BODY_NONE, NULL, lambda_get_code_signing, false},
    {HTTP_METHOD_PUT, "/2019-09-25/functions/{FunctionName}/event-invoke-config", NULL, "PutFunctionEventInvokeConfig", ROUTE_BODY_JSON, NULL, lambda_put_event_invoke, true},
    {HTTP_METHOD_POST, "/2019-09-25/functions/{FunctionName}/event-invoke-config", NULL, "UpdateFunctionEventInvokeConfig", ROUTE_BODY_JSON, NULL, lambda_update_event_invoke, true},
    {HTTP_METHOD_GET, "/2019-09-25/functions/{FunctionName}/event-invoke-config", NULL, "GetFunctionEventInvokeConfig", ROUTE_BODY_NONE, NULL, lambda_get_event_invoke, true},
    {HTTP_METHOD_DELETE, "/2019-09-25/functions/{FunctionName}/event-invoke-config", NULL, "DeleteFunctionEventInvokeConfig", ROUTE_BODY_NONE, NULL, lambda_delete_event_invoke, true},
    {HTTP_METHOD_GET, "/2019-09-25/functions/{FunctionName}/event-invoke-config/list", NULL, "ListFunctionEventInvokeConfigs", ROUTE_BODY_NONE, NULL, lambda_list_event_invoke, false},
    {HTTP_METHOD_POST, "/2015-03-31/functions/{FunctionName}/policy", NULL, "AddPermission", ROUTE_BODY_JSON, NULL, lambda_add_permission, true},
    {HTTP_METHOD_DELETE, "/2015-03-31/functions/{FunctionName}/policy/{StatementId}", NULL, "RemovePermission", ROUTE_BODY_NONE, NULL, lambda_remove_permission, true},
    {HTTP_METHOD_GET, "/2015-03-31/functions/{FunctionName}/policy", NULL, "GetPolicy", ROUTE_BODY_NONE, NULL, lambda_get_policy, true},
    {HTTP_METHOD_POST, "/2021-10-31/functions/{FunctionName}/url", NULL, "CreateFunctionUrlConfig", ROUTE_BODY_JSON, NULL, lambda_create_url, true},
    {HTTP_METHOD_GET, "/2021-10-31/functions/{FunctionName}/url", NULL, "GetFunctionUrlConfig", ROUTE_BODY_NONE, NULL, lambda_get_url, true},
    {HTTP_METHOD_PUT, "/2021-10-31/functions/{FunctionName}/url", NULL, "UpdateFunctionUrlConfig", ROUTE_BODY_JSON, NULL, lambda_update_url, true},
    {HTTP_METHOD_DELETE, "/2021-10-31/functions/{FunctionName}/url", NULL, "DeleteFunctionUrlConfig", ROUTE_BODY_NONE, NULL, lambda_delete_url, true},
    {HTTP_METHOD_GET, "/2021-10-31/functions/{FunctionName}/urls", NULL, "ListFunctionUrlConfigs", ROUTE_BODY_NONE, NULL, lambda_list_urls, false},
    {HTTP_METHOD_PUT, "/2017-10-31/functions/{FunctionName}/concurrency", NULL, "PutFunctionConcurrency", ROUTE_BODY_JSON, NULL, lambda_put_concurrency, false},
    {HTTP_METHOD_GET, "/2019-09-30/functions/{FunctionName}/concurrency", NULL, "GetFunctionConcurrency", ROUTE_BODY_NONE, NULL, lambda_get_concurrency, false},
    {HTTP_METHOD_DELETE, "/2017-10-31/functions/{FunctionName}/concurrency", NULL, "DeleteFunctionConcurrency", ROUTE_BODY_NONE, NULL, lambda_delete_concurrency, false},
    {HTTP_METHOD_GET, "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", "List=ALL", "ListProvisionedConcurrencyConfigs", ROUTE_BODY_NONE, NULL, lambda_list_provisioned, false},
    {HTTP_METHOD_PUT, "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", NULL, "PutProvisionedConcurrencyConfig", ROUTE_BODY_JSON, NULL, lambda_put_provisioned, true},
    {HTTP_METHOD_GET, "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", NULL, "GetProvisionedConcurrencyConfig", ROUTE_BODY_NONE, NULL, lambda_get_provisioned, true},
    {HTTP_METHOD_DELETE, "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", NULL, "DeleteProvisionedConcurrencyConfig", ROUTE_BODY_NONE, NULL, lambda_delete_provisioned, true},

    {HTTP_METHOD_POST, "/2018-10-31/layers/{LayerName}/versions", NULL, "PublishLayerVersion", ROUTE_BODY_CODE, "Content.ZipFile", lambda_publish_layer, false},
    {HTTP_METHOD_GET, "/2018-10-31/layers", "find=LayerVersion", "GetLayerVersionByArn", ROUTE_BODY_NONE, NULL, lambda_get_layer_by_arn, false},
    {HTTP_METHOD_GET, "/2018-10-31/layers", NULL, "ListLayers", ROUTE_BODY_NONE, NULL, lambda_list_layers, false},
    {HTTP_METHOD_GET, "/2018-10-31/layers/{LayerName}/versions", NULL, "ListLayerVersions", ROUTE_BODY_NONE, NULL, lambda_list_layer_versions, false},
    {HTTP_METHOD_GET, "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", NULL, "GetLayerVersion", ROUTE_BODY_NONE, NULL, lambda_get_layer, false},
    {HTTP_METHOD_DELETE, "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", NULL, "DeleteLayerVersion", ROUTE_BODY_NONE, NULL, lambda_delete_layer, false},
    {HTTP_METHOD_POST, "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy", NULL, "AddLayerVersionPermission", ROUTE_BODY_JSON, NULL, lambda_add_layer_permission, false},
    {HTTP_METHOD_GET, "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy", NULL, "GetLayerVersionPolicy", ROUTE_BODY_NONE, NULL, lambda_get_layer_policy, false},
    {HTTP_METHOD_DELETE, "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy/{StatementId}", NULL, "RemoveLayerVersionPermission", ROUTE_BODY_NONE, NULL, lambda_remove_layer_permission, false},

    /* Lamina's own (docs/lamina-api.md), signed for the service lambda. */
    {HTTP_METHOD_GET, "/lamina/v1/status", NULL, "LaminaStatus", ROUTE_BODY_NONE, NULL, lamina_status, false},
    {HTTP_METHOD_GET, "/lamina/v1/instances", NULL, "LaminaInstances", ROUTE_BODY_NONE, NULL, lamina_instances, false},
    {HTTP_METHOD_GET, "/lamina/v1/functions/{FunctionName}", NULL, "LaminaFunction", ROUTE_BODY_NONE, NULL, lamina_function, false},
    {HTTP_METHOD_GET, "/lamina/v1/functions/{FunctionName}/logs", NULL, "LaminaLogs", ROUTE_BODY_NONE, NULL, lamina_logs, false},
    {HTTP_METHOD_GET, "/lamina/v1/functions/{FunctionName}/dead-letters", NULL, "LaminaDeadLetters", ROUTE_BODY_NONE, NULL, lamina_list_dead_letters, false},
    {HTTP_METHOD_POST, "/lamina/v1/functions/{FunctionName}/dead-letters/retry", NULL, "LaminaRetryDeadLetters", ROUTE_BODY_NONE, NULL, lamina_retry_dead_letters, false},
    {HTTP_METHOD_DELETE, "/lamina/v1/functions/{FunctionName}/dead-letters", NULL, "LaminaPurgeDeadLetters", ROUTE_BODY_NONE, NULL, lamina_purge_dead_letters, false},
    {HTTP_METHOD_POST, "/lamina/v1/functions/{FunctionName}/stop", NULL, "LaminaStop", ROUTE_BODY_NONE, NULL, lamina_stop, false},
    {HTTP_METHOD_POST, "/lamina/v1/functions/{FunctionName}/rollback", NULL, "LaminaRollback", ROUTE_BODY_NONE, NULL, lamina_rollback, false},
    {HTTP_METHOD_GET, "/lamina/v1/users", NULL, "LaminaListUsers", ROUTE_BODY_NONE, NULL, lamina_list_users, false},
    {HTTP_METHOD_PUT, "/lamina/v1/users/{UserName}", NULL, "LaminaPutUser", ROUTE_BODY_JSON, NULL, lamina_put_user, false},
    {HTTP_METHOD_DELETE, "/lamina/v1/users/{UserName}", NULL, "LaminaDeleteUser", ROUTE_BODY_NONE, NULL, lamina_delete_user, false},
    {HTTP_METHOD_PUT, "/lamina/v1/packages/{Sha256}", NULL, "LaminaPackage", ROUTE_BODY_PACKAGE, NULL, lamina_package, false},

    /* What AWS has besides. */
    ABSENT(POST, "/2015-03-31/event-source-mappings", "CreateEventSourceMapping"),
    ABSENT(DELETE, "/2015-03-31/event-source-mappings/{UUID}", "DeleteEventSourceMapping"),
    ABSENT(GET, "/2015-03-31/event-source-mappings/{UUID}", "GetEventSourceMapping"),
    ABSENT(GET, "/2024-08-31/functions/{FunctionName}/recursion-config", "GetFunctionRecursionConfig"),
    ABSENT(GET, "/2025-11-30/functions/{FunctionName}/function-scaling-config", "GetFunctionScalingConfig"),
    ABSENT(GET, "/2021-07-20/functions/{FunctionName}/runtime-management-config", "GetRuntimeManagementConfig"),
    ABSENT(POST, "/2014-11-13/functions/{FunctionName}/invoke-async", "InvokeAsync"),
    ABSENT(GET, "/2015-03-31/event-source-mappings", "ListEventSourceMappings"),
    ABSENT(PUT, "/2024-08-31/functions/{FunctionName}/recursion-config", "PutFunctionRecursionConfig"),
    ABSENT(PUT, "/2025-11-30/functions/{FunctionName}/function-scaling-config", "PutFunctionScalingConfig"),
    ABSENT(PUT, "/2021-07-20/functions/{FunctionName}/runtime-management-config", "PutRuntimeManagementConfig"),
    ABSENT(PUT, "/2015-03-31/event-source-mappings/{UUID}", "UpdateEventSourceMapping"),
    ABSENT(POST, "/2025-12-01/durable-executions/{DurableExecutionArn}/checkpoint", "CheckpointDurableExecution"),
    ABSENT(POST, "/2025-11-30/capacity-providers", "CreateCapacityProvider"),
    ABSENT(POST, "/2020-04-22/code-signing-configs", "CreateCodeSigningConfig"),
    ABSENT(DELETE, "/2025-11-30/capacity-providers/{CapacityProviderName}", "DeleteCapacityProvider"),
    ABSENT(DELETE, "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", "DeleteCodeSigningConfig"),
    ABSENT(DELETE, "/2020-06-30/functions/{FunctionName}/code-signing-config", "DeleteFunctionCodeSigningConfig"),
    ABSENT(GET, "/2025-11-30/capacity-providers/{CapacityProviderName}", "GetCapacityProvider"),
    ABSENT(GET, "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", "GetCodeSigningConfig"),
    ABSENT(GET, "/2025-12-01/durable-executions/{DurableExecutionArn}", "GetDurableExecution"),
    ABSENT(GET, "/2025-12-01/durable-executions/{DurableExecutionArn}/history", "GetDurableExecutionHistory"),
    ABSENT(GET, "/2025-12-01/durable-executions/{DurableExecutionArn}/state", "GetDurableExecutionState"),
    ABSENT(GET, "/2025-11-30/capacity-providers", "ListCapacityProviders"),
    ABSENT(GET, "/2020-04-22/code-signing-configs", "ListCodeSigningConfigs"),
    ABSENT(GET, "/2025-12-01/functions/{FunctionName}/durable-executions", "ListDurableExecutionsByFunction"),
    ABSENT(GET, "/2025-11-30/capacity-providers/{CapacityProviderName}/function-versions", "ListFunctionVersionsByCapacityProvider"),
    ABSENT(GET, "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}/functions", "ListFunctionsByCodeSigningConfig"),
    ABSENT(PUT, "/2020-06-30/functions/{FunctionName}/code-signing-config", "PutFunctionCodeSigningConfig"),
    ABSENT(POST, "/2025-12-01/durable-execution-callbacks/{CallbackId}/fail", "SendDurableExecutionCallbackFailure"),
    ABSENT(POST, "/2025-12-01/durable-execution-callbacks/{CallbackId}/heartbeat", "SendDurableExecutionCallbackHeartbeat"),
    ABSENT(POST, "/2025-12-01/durable-execution-callbacks/{CallbackId}/succeed", "SendDurableExecutionCallbackSuccess"),
    ABSENT(POST, "/2025-12-01/durable-executions/{DurableExecutionArn}/stop", "StopDurableExecution"),
    ABSENT(PUT, "/2025-11-30/capacity-providers/{CapacityProviderName}", "UpdateCapacityProvider"),
    ABSENT(PUT, "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", "UpdateCodeSigningConfig"),
    ABSENT(GET, "/2026-07-09/resource-policy/{ResourceArn}", "GetResourcePolicy"),
    ABSENT(PUT, "/2026-07-09/resource-policy/{ResourceArn}", "PutResourcePolicy"),
    ABSENT(DELETE, "/2026-07-09/resource-policy/{ResourceArn}", "DeleteResourcePolicy"),
    {HTTP_METHOD_OTHER, NULL, NULL, NULL, ROUTE_BODY_NONE, NULL, NULL, false},
};

/* The query protocol has one path; the action is in the form. */
const struct route sts_routes[] = {
    {HTTP_METHOD_POST, "/", NULL, "Sts", ROUTE_BODY_NONE, NULL, sts, false},
    {HTTP_METHOD_GET, "/", NULL, "Sts", ROUTE_BODY_NONE, NULL, sts, false},
    {HTTP_METHOD_OTHER, NULL, NULL, NULL, ROUTE_BODY_NONE, NULL, NULL, false},
};

const struct route iam_routes[] = {
    {HTTP_METHOD_POST, "/", NULL, "Iam", ROUTE_BODY_NONE, NULL, iam, false},
    {HTTP_METHOD_GET, "/", NULL, "Iam", ROUTE_BODY_NONE, NULL, iam, false},
    {HTTP_METHOD_OTHER, NULL, NULL, NULL, ROUTE_BODY_NONE, NULL, NULL, false},
};
