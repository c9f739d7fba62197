"""An object store that misbehaves, for tests: speaks enough of S3's protocol, keeps objects in memory.

Usage: bad_store.py FILE [PUBLIC_KEY [CERTIFICATE]]

FILE gets the port once it listens on 127.0.0.1. What goes wrong is said by the first part of an object's key; what
fails "once" fails once for each method, object and query, or for each start of a range:

  503, 500        once                        down           always 503
  later           429 with Retry-After: 1, once
  stall           no answer, ever             stallget       GET stops in the middle, once per range
  cutget          GET breaks off in the middle, but for the last 100 kB
  cutchanged      the same, and then the object is another one
  cutgone         the same, and then it is gone
  cutput          the connection breaks while the body is sent, once
  lostput         a PUT is done, but its answer is lost, once
  lostcomplete    the completion of an upload is done, but its answer is lost, once
  error200        completion answers 200 with an error in it, once
  errors200       the same, always
  redirect        307 to a metadata service   region         301 unless signed for eu-west-1
  headers         endless headers             garbage        what is no HTTP
  tooshort        GET sends less than it says, always
  hugeerror       400 with a body of 5 MB     leak           403 that repeats what was sent
  unconditional   ignores If-None-Match          race         another one writes the object just before, once
  expired         makes all tokens invalid, once

With PUBLIC_KEY (modulus and exponent as hexadecimal, MODULUS:EXPONENT), POST /token checks assertions (RFC 7523), and
buckets named google... want the tokens it gives. With CERTIFICATE, a PEM file with its key, it speaks https.

For the test itself: PUT and GET /-/object/BUCKET/KEY stores and shows an object without mischief, GET /-/requests shows
what was asked, a JSON array a line: method, path, status, and GET /-/uploads how many uploads are open.
"""
import base64
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

lock = threading.Lock()
objects = {}        # "bucket/key": (body, headers to be repeated)
uploads = {}        # id: {"path", "headers", "parts"}
done = {}           # ids of completed uploads
seen = set()        # what failed once
requests = []
tokens = {}
key = tuple(int(n, 16) for n in sys.argv[2].split(":")) if len(sys.argv) > 2 and sys.argv[2] else None


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def check_assertion(text, audience):
    """Why a signed assertion is not valid, or None."""
    try:
        header, claims, signature = text.split(".")
        modulus, exponent = key
        size = (modulus.bit_length() + 7) // 8
        digest = hashlib.sha256((header + "." + claims).encode()).digest()
        expected = b"\0\1" + b"\xff" * (size - 54) + b"\0" + bytes.fromhex("3031300d060960864801650304020105000420") + digest
        if pow(int.from_bytes(unbase64(signature), "big"), exponent, modulus).to_bytes(size, "big") != expected:
            return "invalid_signature"
        header, claims = json.loads(unbase64(header)), json.loads(unbase64(claims))
        now = time.time()
        if header.get("alg") != "RS256" or claims["aud"] != audience or "devstorage" not in claims["scope"]:
            return "invalid_scope"
        if not (now - 60 < claims["iat"] <= now + 1 and claims["iat"] < claims["exp"] <= claims["iat"] + 3600):
            return "expired"
        return None if claims["iss"] == "test@example.invalid" else "unknown_account"
    except (ValueError, KeyError):
        return "malformed"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        if isinstance(body, str):
            body = body.encode()
        requests.append((self.command, self.path, status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status, code, **headers):
        self.answer(status, "<?xml version='1.0'?><Error><Code>%s</Code><Message>m</Message></Error>" % code, **headers)

    def cut(self):
        requests.append((self.command, self.path, 0))
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        raise ConnectionAbortedError

    def once(self, *more):
        what = (self.command, self.path) + more
        with lock:
            first = what not in seen
            seen.add(what)
        return first

    def handle(self):
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass

    def any(self):
        url = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        path = unquote(url.path).lstrip("/")
        size = int(self.headers.get("Content-Length") or 0)
        if path.startswith("-/"):
            return self.for_the_test(path[2:], size)
        if path == "token":
            return self.token(size)
        bucket, _, name = path.partition("/")
        mischief = name.partition("/")[0]
        if mischief == "cutput" and self.command == "PUT" and self.once():
            self.rfile.read(size // 2)
            self.cut()
        body = self.rfile.read(size)
        if self.mischief(mischief):
            return
        if bucket.startswith("google"):
            if tokens.get(self.headers.get("Authorization", "")[7:], 0) < time.time():
                return self.fail(401, "AuthenticationRequired")
        elif "Signature=" not in self.headers.get("Authorization", ""):
            return self.fail(403, "AccessDenied")
        elif (self.headers["x-amz-content-sha256"] or self.headers["x-goog-content-sha256"]) != hashlib.sha256(body).hexdigest():
            return self.fail(400, "XAmzContentSHA256Mismatch")
        getattr(self, "store_" + self.command.lower())(mischief, path, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = any

    def mischief(self, what):
        """Mischief that concerns every method; true when it has answered."""
        if what in ("503", "500") and self.once():
            self.fail(int(what), "SlowDown" if what == "503" else "InternalError")
        elif what == "later" and self.once():
            self.fail(429, "TooManyRequests", Retry_After="1")
        elif what == "down":
            self.fail(503, "ServiceUnavailable")
        elif what == "stall":
            requests.append((self.command, self.path, 0))
            time.sleep(20)
            self.cut()
        elif what == "redirect":
            self.answer(307, Location="http://169.254.169.254/latest/meta-data/iam/security-credentials/")
        elif what == "region" and "/eu-west-1/" not in self.headers.get("Authorization", ""):
            self.fail(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1")
        elif what == "headers":
            requests.append((self.command, self.path, 0))
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for n in range(100000):
                self.wfile.write(b"x-%d: %s\r\n" % (n, b"y" * 1000))
            self.cut()
        elif what == "expired" and self.once():
            tokens.clear()
            return False
        elif what == "garbage":
            requests.append((self.command, self.path, 0))
            self.wfile.write(b"\0\1\2 this is no HTTP\r\n\r\n" * 100)
            self.close_connection = True
        elif what == "hugeerror":
            self.answer(400, b"<Error>" + b"x" * 5000000)
        elif what == "leak":
            self.answer(403, "<Error><Code>%s %s</Code></Error>" % (self.headers["Authorization"], self.path))
        else:
            return False
        return True

    def headers_to_keep(self):
        return {name.replace("-", "_"): value for name, value in self.headers.items()
                if re.match("(?i)x-(amz|goog)-(meta-|server-side)", name)}

    def taken(self, mischief, path):
        conditional = self.headers.get("If-None-Match") == "*" or self.headers.get("x-goog-if-generation-match") == "0"
        return conditional and path in objects and mischief != "unconditional"

    def keep(self, path, body, headers):
        objects[path] = (body, dict(headers, ETag='"%s"' % hashlib.md5(body).hexdigest()))
        return objects[path][1]["ETag"]

    def race(self, mischief, path):
        if mischief == "race" and not path.endswith("/.strm_privacy") and self.once():
            self.keep(path, b"another's", {})

    def store_put(self, mischief, path, body):
        if "uploadId" in self.query:
            upload = uploads.get(self.query["uploadId"])
            if upload is None:
                return self.fail(404, "NoSuchUpload")
            upload["parts"][int(self.query["partNumber"])] = body
            return self.answer(200, ETag='"%s"' % hashlib.md5(body).hexdigest())
        self.race(mischief, path)
        if self.taken(mischief, path):
            return self.fail(412, "PreconditionFailed")
        etag = self.keep(path, body, self.headers_to_keep())
        if mischief == "lostput" and self.once():
            self.cut()
        self.answer(200, ETag=etag)

    def store_post(self, mischief, path, body):
        if "uploads" in self.query:
            upload = "id/%d+&" % len(requests)
            uploads[upload] = {"path": path, "headers": self.headers_to_keep(), "parts": {}}
            return self.answer(200, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>"
                               % upload.replace("&", "&amp;"))
        if mischief == "errors200" or mischief == "error200" and self.once():
            return self.answer(200, "<?xml version='1.0'?>\n<Error><Code>InternalError</Code></Error>")
        upload = uploads.get(self.query["uploadId"])
        if upload is None:
            return self.fail(404, "NoSuchUpload")
        self.race(mischief, path)
        if self.taken(mischief, path):
            return self.fail(412, "PreconditionFailed")
        numbers = [int(n) for n in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        if numbers != sorted(upload["parts"]):
            return self.fail(400, "InvalidPart")
        self.keep(path, b"".join(upload["parts"][n] for n in numbers), upload["headers"])
        del uploads[self.query["uploadId"]]
        if mischief == "lostcomplete" and self.once():
            self.cut()
        self.answer(200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")

    def store_delete(self, mischief, path, body):
        if "uploadId" in self.query:
            found = uploads.pop(self.query["uploadId"], None)
            return self.answer(204) if found else self.fail(404, "NoSuchUpload")
        objects.pop(path, None)
        self.answer(204)

    def store_head(self, mischief, path, body):
        if path not in objects:
            return self.answer(404)
        self.answer(200, **objects[path][1])

    def store_get(self, mischief, path, body):
        if "uploads" in self.query:
            bucket = path.partition("/")[0]
            found = [(u["path"], name) for name, u in uploads.items()
                     if u["path"].startswith(bucket + "/" + self.query["prefix"])]
            return self.answer(200, "<ListMultipartUploadsResult>%s</ListMultipartUploadsResult>" % "".join(
                "<Upload><Key>%s</Key><UploadId>%s</UploadId></Upload>" % (p.partition("/")[2], n.replace("&", "&amp;"))
                for p, n in found))
        if path not in objects:
            return self.fail(404, "NoSuchKey")
        content, headers = objects[path]
        start = int(re.match(r"bytes=(\d+)-$", self.headers.get("Range", "bytes=0-")).group(1))
        if self.headers.get("If-Match", headers["ETag"]) != headers["ETag"]:
            return self.fail(412, "PreconditionFailed")
        rest = content[start:]
        send = len(rest)
        if mischief in ("cutget", "cutchanged", "cutgone", "stallget") and send > 100000 or mischief == "tooshort":
            send //= 2
        requests.append((self.command, self.path, 206 if start else 200))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(content) - 1, len(content)))
        self.send_header("ETag", headers["ETag"])
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[:send])
        if send == len(rest):
            return
        if mischief == "cutchanged":
            self.keep(path, content + b"more", {})
        elif mischief == "cutgone":
            objects.pop(path, None)
        elif mischief == "stallget":
            self.wfile.flush()
            time.sleep(20)
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.close_connection = True

    def token(self, size):
        form = parse_qs(self.rfile.read(size).decode())
        why = "unsupported_grant_type"
        if form.get("grant_type") == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]:
            why = check_assertion(form["assertion"][0], "http://%s%s" % (self.headers["Host"], self.path))
        if why is not None:
            return self.answer(400, json.dumps({"error": "invalid_grant", "error_description": why}))
        token = "ya29.%d" % len(requests)
        tokens[token] = time.time() + 3600
        self.answer(200, json.dumps({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}))

    def for_the_test(self, path, size):
        what, _, name = path.partition("/")
        body = self.rfile.read(size)
        if what == "requests":
            body = "\n".join(map(json.dumps, requests)).encode()
        elif what == "uploads":
            body = str(len(uploads)).encode()
        elif what == "headers" and name in objects:
            body = json.dumps(objects[name][1], sort_keys=True).encode()
        elif what == "object" and self.command == "PUT":
            self.keep(name, body, {})
            body = b""
        elif what == "object" and name in objects:
            body = objects[name][0]
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
with open(sys.argv[1] + ".new", "w") as out:
    out.write("%d\n" % server.server_port)
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
