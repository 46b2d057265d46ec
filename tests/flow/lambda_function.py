# SPDX-License-Identifier: MIT
"""Functions for tests of the Lambda API: zips made in memory, and a bootstrap that needs nothing but bash.

The bootstrap answers {"marker": ..., "version": ..., "event": the payload} over bash's own sockets, so that a call
costs no process. It gets plenty of time and memory: a test must pass on a machine that is busy with other things.
"""
import base64
import contextlib
import io
import itertools
import json
import zipfile

from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/lambda"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:"

BOOTSTRAP = r"""#!/bin/bash
# marker: MARKER
LC_ALL=C
host=${AWS_LAMBDA_RUNTIME_API%:*} port=${AWS_LAMBDA_RUNTIME_API##*:}
path=/2018-06-01/runtime/invocation
while exec 3<>"/dev/tcp/$host/$port"; do
    printf 'GET %s/next HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$path" "$host" >&3
    id='' size=0 context='' trace=''
    while IFS= read -r line <&3; do
        line=${line%$'\r'}
        [ -n "$line" ] || break
        value=${line#*: }
        case ${line,,} in
        lambda-runtime-aws-request-id:*) id=$value ;;
        lambda-runtime-client-context:*) context=$value ;;
        lambda-runtime-trace-id:*) trace=$value ;;
        lambda-runtime-invoked-function-arn:*) arn=$value ;;
        content-length:*) size=$value ;;
        esac
    done
    [ -n "$id" ] || exit 1
    event=$size # of a large one only its size: bash reads byte by byte
    if [ "$size" -gt 65536 ]; then
        head -c "$size" <&3 >/dev/null
    elif [ "$size" -gt 0 ]; then
        IFS= read -r -N "$size" event <&3
    fi
    exec 3<&- 3>&-
    [ "$event" != '"exit"' ] || exit 3
    echo "marker MARKER"
    answer='{"marker":"MARKER","version":"'$AWS_LAMBDA_FUNCTION_VERSION'","memory":'$AWS_LAMBDA_FUNCTION_MEMORY_SIZE
    answer+=',"arn":"'$arn'","context":'${context:-null}',"trace":"'$trace'","greeting":"'${GREETING-}'","event":'$event'}'
    answer=${ANSWER-$answer} # a test may say what is answered
    exec 3<>"/dev/tcp/$host/$port" || exit 1
    printf 'POST %s/%s/response HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %s\r\n\r\n%s' \
        "$path" "$id" "$host" "${#answer}" "$answer" >&3
    while IFS= read -r line <&3; do :; done
    exec 3<&- 3>&-
done
"""


def zip_of(files):
    """A zip of {name: bytes or text}; everything is executable, dates are fixed, so equal input gives equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.external_attr = 0o100755 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def package(marker="one"):
    """The zip of a function that answers with this marker."""
    return zip_of({"bootstrap": BOOTSTRAP.replace("MARKER", marker)})


def settings(name, **changes):
    """CreateFunction's parameters for a working function."""
    parameters = dict(FunctionName=name, Runtime="provided.al2023", Handler="bootstrap", Role=ROLE, Timeout=120,
                      MemorySize=1769, Code={"ZipFile": package()})
    parameters.update(changes)
    return {key: value for key, value in parameters.items() if value is not None}


@contextlib.contextmanager
def function(client, name, **changes):
    """A function that exists, is Active, and is deleted at the end, whatever happens in between."""
    created = client.create_function(**settings(name, **changes))
    try:
        client.get_waiter("function_active_v2").wait(FunctionName=name)
        yield created
    finally:
        with contextlib.suppress(ClientError):
            client.delete_function(FunctionName=name)


def invoke(client, name, payload=b"null", **parameters):
    """The function's answer as an object; fails if it reported an error."""
    answer = client.invoke(FunctionName=name, Payload=payload, **parameters)
    body = answer["Payload"].read()
    assert "FunctionError" not in answer, body
    return json.loads(body)


class Refused:
    """What a call was refused with; see refused()."""

    def __init__(self):
        self.code = self.status = self.message = self.headers = None


@contextlib.contextmanager
def refused(code, status, *texts):
    """The block must end in this AWS error, with each of the texts in its message."""
    result = Refused()
    try:
        yield result
    except ClientError as error:
        result.code = error.response["Error"]["Code"]
        result.status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        result.message = error.response["Error"]["Message"]
        result.headers = error.response["ResponseMetadata"]["HTTPHeaders"]
    assert result.code is not None, f"it was accepted; {code} was expected"
    assert (result.code, result.status) == (code, status), result.message
    for text in texts:
        assert text in result.message, result.message


def loose_client(service, name="lambda"):
    """A boto3 client that sends whatever it is given: the service must check it."""
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=120, read_timeout=240,
                    parameter_validation=False, proxies={})
    return service.client(name, config=config)


def send_signed(service, method, path, body=b"", headers=None, service_name="lambda"):
    """Sends one signed request by hand; the connection, from which the answer may be read."""
    import http.client
    import urllib.parse

    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    keys = service.credentials
    request = AWSRequest(method=method, url=service.endpoint + path, data=body, headers=dict(headers or {}))
    SigV4Auth(Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"]), service_name,
              "us-east-1").add_auth(request)
    place = urllib.parse.urlsplit(service.endpoint)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=240)
    connection.request(method, path, body=body, headers=dict(request.headers.items()))
    return connection


def signed(service, method, path, body=b"", headers=None, service_name="lambda"):
    """One signed request by hand: (status, headers in lower case, body)."""
    connection = send_signed(service, method, path, body, headers, service_name)
    try:
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def log_text(answer):
    """The log tail of an Invoke with LogType Tail."""
    return base64.b64decode(answer["LogResult"]).decode()


_numbers = itertools.count(1)


def fresh_name(stem="f"):
    """A function name that no other test of this process uses."""
    return f"{stem}-{next(_numbers)}"
