# SPDX-License-Identifier: MIT
"""S3 requests of every form, signed by hand: what clients of this machine do not send."""
import datetime
import hashlib
import hmac
import http.client
import urllib.parse


def digest(data):
    return hashlib.sha256(data).hexdigest()


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signing_key(secret, date, region="us-east-1"):
    key = ("AWS4" + secret).encode()
    for part in (date, region, "s3", "aws4_request"):
        key = mac(key, part)
    return key


def canonical_query(query):
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


class Signed:
    """The headers of a signed request, and what the signatures of its chunks go on from."""

    def __init__(self, store, method, target, headers, payload):
        keys = store.credentials
        now = datetime.datetime.now(datetime.timezone.utc)
        self.time, self.date = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        self.scope = f"{self.date}/us-east-1/s3/aws4_request"
        self.key = signing_key(keys["aws_secret_access_key"], self.date)
        path, _, query = target.partition("?")
        self.headers = {**{name.lower(): value for name, value in headers.items()},
                        "host": urllib.parse.urlsplit(store.endpoint).netloc,
                        "x-amz-date": self.time, "x-amz-content-sha256": payload}
        names = ";".join(sorted(self.headers))
        lines = "".join(f"{name}:{self.headers[name]}\n" for name in sorted(self.headers))
        canonical = "\n".join([method, path, canonical_query(query), lines, names, payload])
        text = f"AWS4-HMAC-SHA256\n{self.time}\n{self.scope}\n{digest(canonical.encode())}"
        self.signature = mac(self.key, text).hex()
        self.headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={keys['aws_access_key_id']}/{self.scope}, "
                                         f"SignedHeaders={names}, Signature={self.signature}")

    def chain(self, kind, data, has_empty=True):
        """The signature of the next chunk, or of the trailer."""
        middle = digest(b"") + "\n" if has_empty else ""
        text = f"{kind}\n{self.time}\n{self.scope}\n{self.signature}\n{middle}{digest(data)}"
        self.signature = mac(self.key, text).hex()
        return self.signature


def exchange(store, method, target, signed, body, connection=None, send=None):
    """(status, headers, body). `send`: only so many bytes of the body, and no waiting for an answer."""
    own = connection or http.client.HTTPConnection(urllib.parse.urlsplit(store.endpoint).netloc, timeout=240)
    own.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in signed.headers.items():
        own.putheader(name, value)
    own.putheader("content-length", str(len(body)))
    own.endheaders()
    own.send(body[:send])
    if send is not None:
        return None
    answer = own.getresponse()
    content = answer.read()
    if not connection:
        own.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def signed_request(store, method, target, body, headers, payload=None, connection=None, send=None):
    """`payload`: what the request says of its body; its SHA-256 otherwise."""
    signed = Signed(store, method, target, headers, payload or digest(body))
    return exchange(store, method, target, signed, body, connection, send)


def signed_chunks(store, target, content, trailer=None, size=65536, spoil=None):
    """PUT of aws-chunked with a signature in each chunk; `trailer` as its lines are signed ("name:value\\n")."""
    payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
    headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(content))}
    if trailer:
        headers["x-amz-trailer"] = trailer.split(b":")[0].decode()
    signed = Signed(store, "PUT", target, headers, payload)
    body = b""
    for piece in [content[i:i + size] for i in range(0, len(content), size)] + [b""]:
        signature = signed.chain("AWS4-HMAC-SHA256-PAYLOAD", piece)
        if spoil == "signature" and not piece:
            signature = signature[::-1]
        if spoil == "data" and len(body) > size:
            piece, spoil = bytes(len(piece)), None
        body += b"%x;chunk-signature=%s\r\n%s" % (len(piece), signature.encode(), piece + b"\r\n" if piece else b"")
    if trailer:
        sent = trailer.replace(b"\n", b"\r\n")
        signature = signed.chain("AWS4-HMAC-SHA256-TRAILER", trailer + (b"x" if spoil == "trailer" else b""), False)
        body += sent + b"x-amz-trailer-signature:" + signature.encode() + b"\r\n"
    return exchange(store, "PUT", target, signed, body + b"\r\n")
