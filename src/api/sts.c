/* SPDX-License-Identifier: MIT
 *
 * sts: GetCallerIdentity, the one action of STS that there is. Query protocol: form parameters in, XML
 * out.
 */

#include "api/call.h"
#include "api/operations.h"
#include "api/rights.h"

#define XML_MAX 4096

static void answer_xml(struct call *call, unsigned status, struct buf *xml)
{
    struct http_header headers[4] = {{STR("Content-Type"), STR("text/xml")}};
    struct http_response response = {.status = status, .body_kind = HTTP_BODY_BUF, .buf = *xml};
    call_answer(call, &response, headers, 1, 4);
}

static void answer_identity(struct call *call)
{
    struct buf xml = BUF_INIT(XML_MAX);
    char arn[RIGHTS_ARN_BYTES], user_id[RIGHTS_ARN_BYTES];
    rights_identity(call, arn, user_id);
    buf_printf(&xml,
               "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
               "<GetCallerIdentityResult><Arn>%s</Arn><UserId>%s</UserId>"
               "<Account>%s</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>%s"
               "</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
               arn, user_id, call->api->account, call->request_id);
    answer_xml(call, 200, &xml);
}

static void answer_unknown(struct call *call)
{
    struct buf xml = BUF_INIT(XML_MAX);
    buf_printf(
        &xml,
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>"
        "Sender</Type><Code>InvalidAction</Code><Message>GetCallerIdentity is the one action "
        "of STS that this service has.</Message></Error><RequestId>%s</RequestId>"
        "</ErrorResponse>",
        call->request_id);
    answer_xml(call, 400, &xml);
}

/* The JS SDK and boto3 put the parameters into the body, curl may put them into the query. */
void sts(struct call *call)
{
    struct http_request *request = call->request;
    struct str action;
    int r = route_query(buf_str(&request->body), "Action", request->arena, &action);
    if (r == 0 && !action.data)
        r = route_query(request->query, "Action", request->arena, &action);
    if (r == 0 && str_equal(action, STR("GetCallerIdentity")))
        answer_identity(call);
    else
        answer_unknown(call);
}
