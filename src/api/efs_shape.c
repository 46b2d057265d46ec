// SPDX-License-Identifier: MIT
//
// How file systems, access points and mount targets look in EFS's API. What a self-hosted service has no word for is
// as a small EFS in one zone has it.

#include "api/efs.h"

#include "base/json.h"

#include <string.h>

#define NOBODYS_HEX "00000000000000000"

static void append_tag(struct buf *json, struct str key, struct str value)
{
    if (json->data[json->size - 1] != '[')
        buf_append_byte(json, ',');
    buf_append_text(json, "{\"Key\":");
    json_append_string(json, key);
    buf_append_text(json, ",\"Value\":");
    json_append_string(json, value);
    buf_append_byte(json, '}');
}

void efs_append_tags(struct buf *json, const char *tags_json)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    yyjson_obj_iter iter;
    yyjson_val *key;
    buf_append_text(json, ",\"Tags\":[");
    if (tags_json && buf_status(json) == 0 && // our own text
        json_parse(str_of(tags_json), 1 << 20, &doc, NULL) == 0) {
        yyjson_obj_iter_init(yyjson_doc_get_root(doc), &iter);
        while ((key = yyjson_obj_iter_next(&iter)) != NULL)
            append_tag(json, json_str(key), json_str(yyjson_obj_iter_get_val(key)));
    }
    buf_append_byte(json, ']');
}

static void append_name(struct buf *json, struct str name)
{
    if (name.size == 0)
        return;
    buf_append_text(json, ",\"Name\":");
    json_append_string(json, name);
}

void efs_append_filesystem(struct buf *json, const struct call *call,
                           const struct filesystem *filesystem)
{
    char arn[FILESYSTEM_ARN_SIZE];
    filesystems_arn(call->api->config.filesystems, filesystem->id, arn);
    buf_printf(json,
               "{\"OwnerId\":\"%s\",\"CreationToken\":\"%s\",\"FileSystemId\":\"%s\","
               "\"FileSystemArn\":\"%s\",\"CreationTime\":%lld.%03d,"
               "\"LifeCycleState\":\"available\",\"NumberOfMountTargets\":1,"
               "\"SizeInBytes\":{\"Value\":0},\"PerformanceMode\":\"generalPurpose\","
               "\"Encrypted\":false,\"ThroughputMode\":\"elastic\"",
               call->api->account, filesystem->id, filesystem->id, arn,
               (long long) filesystem->known_ms / 1000, (int) (filesystem->known_ms % 1000));
    append_name(json, str_of(filesystem->name));
    buf_append_text(json, ",\"Tags\":[");
    if (buf_status(json) == 0 && filesystem->name[0])
        append_tag(json, STR("Name"), str_of(filesystem->name));
    if (buf_status(json) == 0 && filesystem->is_read_only)
        append_tag(json, STR("lamina:read-only"), STR("true"));
    if (buf_status(json) == 0 && filesystem->is_immutable)
        append_tag(json, STR("lamina:immutable"), STR("true"));
    buf_append_text(json, "]}");
}

static void append_root(struct buf *json, const struct access_point *point)
{
    buf_append_text(json, ",\"RootDirectory\":{\"Path\":");
    json_append_string(json, str_of(point->root));
    if (point->has_creation)
        buf_printf(json,
                   ",\"CreationInfo\":{\"OwnerUid\":%u,\"OwnerGid\":%u,\"Permissions\":\"%04o\"}",
                   point->owner_uid, point->owner_gid, point->mode);
    buf_append_byte(json, '}');
}

void efs_append_point(struct buf *json, const struct call *call, const struct access_point *point)
{
    char arn[FILESYSTEM_ARN_SIZE];
    AUTO_JSON yyjson_doc *doc = NULL;
    filesystems_point_arn(call->api->config.filesystems, point->id, arn);
    buf_append_text(json, "{\"ClientToken\":");
    json_append_string(json, str_of(point->token[0] ? point->token : point->id));
    buf_printf(json,
               ",\"AccessPointId\":\"%s\",\"AccessPointArn\":\"%s\",\"FileSystemId\":\"%s\","
               "\"OwnerId\":\"%s\",\"LifeCycleState\":\"available\"",
               point->id, arn, point->filesystem_id, call->api->account);
    if (point->has_user)
        buf_printf(json, ",\"PosixUser\":{\"Uid\":%u,\"Gid\":%u}", point->uid, point->gid);
    append_root(json, point);
    if (point->tags_json && json_parse(str_of(point->tags_json), 1 << 20, &doc, NULL) == 0)
        append_name(json, json_str(json_member(yyjson_doc_get_root(doc), "Name")));
    efs_append_tags(json, point->tags_json);
    buf_append_byte(json, '}');
}

void efs_append_mount_target(struct buf *json, const struct call *call,
                             const struct filesystem *filesystem)
{
    const char *hex = filesystem->id + 3;
    const char *region = call->api->region;
    buf_printf(json,
               "{\"OwnerId\":\"%s\",\"MountTargetId\":\"fsmt-%s\",\"FileSystemId\":\"%s\","
               "\"SubnetId\":\"subnet-" NOBODYS_HEX "\",\"LifeCycleState\":\"available\","
               "\"IpAddress\":\"127.0.0.1\",\"NetworkInterfaceId\":\"eni-" NOBODYS_HEX "\","
               "\"AvailabilityZoneId\":\"%s-az1\",\"AvailabilityZoneName\":\"%sa\","
               "\"VpcId\":\"vpc-" NOBODYS_HEX "\"}",
               call->api->account, hex, filesystem->id, region, region);
}
