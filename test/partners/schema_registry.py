"""A Schema Registry for tests: a strict one of few calls, which keeps schemas in memory.

Usage: schema_registry.py FILE [USER:PASSWORD [CERTIFICATE]]

FILE gets the port once it listens on 127.0.0.1. With USER:PASSWORD (not empty) it wants basic authentication, and user
"reader", of the same password, may not write. With CERTIFICATE, a PEM file with its key, it speaks https.

  POST /subjects/SUBJECT/versions   registers {"schema": TEXT}, Avro; answers {"id": ID}, the same for the same text
  GET /schemas/ids/ID               {"schema": TEXT}
  GET /subjects                     all of them

A subject's schemas must be compatible as by BACKWARD: what its latest schema wrote, the new one must read. What is not as
Confluent's clients send it (path, method, content type, body) is answered with 400 to 415, a schema that is no Avro with
422. Subjects that begin with one of these words get something else:

  once      503, once per subject       down      always 503          stall     no answer, ever
  redirect  307 to a metadata service   garbage   200 with no JSON    noid      200 without an id
  hugeid    200 with an id that is too large      leak      500 that repeats what was sent, credentials too

For the test itself: GET /-/requests shows what was asked, a JSON array a line: method, path, status.
"""
import base64
import json
import os
import re
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

CONTENT_TYPES = ("application/vnd.schemaregistry.v1+json", "application/vnd.schemaregistry+json", "application/json")
PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
PROMOTIONS = {("int", "long"), ("int", "float"), ("int", "double"), ("long", "float"), ("long", "double"),
              ("float", "double"), ("string", "bytes"), ("bytes", "string")}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

lock = threading.Lock()
schemas = []        # texts; a schema's id is its place, from 1
subjects = {}       # subject: [id, ...]
seen = set()        # subjects that failed once
requests = []
user_info = sys.argv[2] if len(sys.argv) > 2 else ""


class BadSchema(Exception):
    pass


def wanted(condition, what):
    if not condition:
        raise BadSchema(what)


def check_default(schema, value):
    first = schema[0] if isinstance(schema, list) else schema
    if first == "null":
        wanted(value is None, "a default is not of the first branch")


def check(schema, names, namespace=""):
    """Is it Avro, as far as our schemas may go? names: the named types so far."""
    if isinstance(schema, str):
        wanted(schema in PRIMITIVES or schema in names, "unknown type")
    elif isinstance(schema, list):
        kinds = [s if isinstance(s, str) else s.get("type") if isinstance(s, dict) else None for s in schema]
        wanted(kinds and None not in kinds and len(set(kinds)) == len(kinds), "a union has two branches of one type")
        for branch in schema:
            check(branch, names, namespace)
    else:
        wanted(isinstance(schema, dict), "a schema is neither a string, an array nor an object")
        if schema.get("type") == "array":
            check(schema.get("items"), names, namespace)
        elif schema.get("type") == "record":
            namespace = schema.get("namespace", namespace)
            wanted(NAME.match(schema.get("name", "")), "a record's name")
            wanted(all(NAME.match(part) for part in namespace.split(".")) or not namespace, "a namespace")
            full = "%s.%s" % (namespace, schema["name"])
            wanted(full not in names, "a record is defined twice")
            names.add(full)
            fields = schema.get("fields")
            wanted(isinstance(fields, list), "a record's fields")
            wanted(len({f.get("name") for f in fields}) == len(fields), "two fields have one name")
            for field in fields:
                wanted(NAME.match(field.get("name", "")) and "type" in field, "a field")
                wanted(isinstance(field.get("doc", ""), str), "a field's doc")
                check(field["type"], names, namespace)
                if "default" in field:
                    check_default(field["type"], field["default"])
        else:
            wanted(schema.get("type") in PRIMITIVES, "unknown type")


def reads(reader, writer):
    """Can what writer wrote be read as reader?"""
    if isinstance(writer, list):
        return all(reads(reader, branch) for branch in writer)
    if isinstance(reader, list):
        return any(reads(branch, writer) for branch in reader)
    r, w = [s["type"] if isinstance(s, dict) else s for s in (reader, writer)]
    if r == "array" and w == "array":
        return reads(reader["items"], writer["items"])
    if r == "record" and w == "record":
        written = {f["name"]: f["type"] for f in writer["fields"]}
        return reader["name"] == writer["name"] and all(
            reads(f["type"], written[f["name"]]) if f["name"] in written else "default" in f for f in reader["fields"])
    return r == w or (w, r) in PROMOTIONS


class Registry(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body, headers=()):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        if not self.path.startswith("/-/"):
            with lock:
                requests.append([self.command, self.path, status])
        self.send_response(status)
        self.send_header("content-type", CONTENT_TYPES[0])
        self.send_header("content-length", str(len(text)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def fail(self, status, message, code=None):
        self.answer(status, {"error_code": code or status, "message": message})

    def refused(self):
        """Answers those who are not logged in, and readers that write."""
        if not user_info:
            return False
        scheme, _, given = self.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(given, validate=True).decode()
        except ValueError:
            given = ""
        if scheme == "Basic" and given == user_info:
            return False
        if scheme == "Basic" and given == "reader:" + user_info.partition(":")[2]:
            if self.command == "GET":
                return False
            self.fail(403, "User is denied operation Write", 40301)
        else:
            self.fail(401, "Unauthorized", 40101)
        return True

    def misbehave(self, subject):
        """Does what the subject's name asks for; false when that is nothing."""
        word = re.match("[a-z]*", subject).group()
        if word == "stall":
            time.sleep(3600)
        elif word == "down" or (word == "once" and subject not in seen):
            seen.add(subject)
            self.fail(503, "not now", 50301)
        elif word == "redirect":
            self.answer(307, {}, [("location", "http://169.254.169.254/")])
        elif word == "garbage":
            self.answer(200, b"{\"id\": ")
        elif word == "noid":
            self.answer(200, {"id": "one"})
        elif word == "hugeid":
            self.answer(200, {"id": 2147483648})
        elif word == "leak":
            self.fail(500, "you sent %s" % self.headers, 50001)
        else:
            return False
        return True

    def register(self, subject, body):
        try:
            text = json.loads(body)["schema"]
            schema = json.loads(text)
            wanted(list(json.loads(body)) == ["schema"], "other members")
            check(schema, set())
        except (ValueError, KeyError, TypeError, AttributeError, BadSchema) as error:
            self.fail(422, "Invalid schema: %s" % error, 42201)
            return
        with lock:
            versions = subjects.setdefault(subject, [])
            if text not in schemas:
                schemas.append(text)
            number = schemas.index(text) + 1
            compatible = number in versions or not versions or reads(schema, json.loads(schemas[versions[-1] - 1]))
            if compatible and number not in versions:
                versions.append(number)
        if compatible:
            self.answer(200, {"id": number})
        else:
            self.fail(409, "Schema being registered is incompatible with an earlier schema: %s" % text)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        match = re.match(r"/subjects/([^/?#]+)/versions\Z", self.path)
        if self.refused():
            return
        if not match:
            self.fail(404, "HTTP 404 Not Found")
        elif self.headers.get("content-type") not in CONTENT_TYPES:
            self.fail(415, "HTTP 415 Unsupported Media Type")
        elif not self.misbehave(unquote(match.group(1))):
            self.register(unquote(match.group(1)), body)

    def do_GET(self):
        if self.path == "/-/requests":
            with lock:
                self.answer(200, "".join(json.dumps(r) + "\n" for r in requests).encode())
            return
        match = re.match(r"/schemas/ids/([0-9]+)\Z", self.path)
        if self.refused():
            return
        with lock:
            known = list(schemas)
        if self.path == "/subjects":
            self.answer(200, sorted(subjects))
        elif not match:
            self.fail(404, "HTTP 404 Not Found")
        elif not 0 < int(match.group(1)) <= len(known):
            self.fail(404, "Schema not found", 40403)
        else:
            self.answer(200, {"schema": known[int(match.group(1)) - 1]})

    def refuse_method(self):
        self.fail(405, "HTTP 405 Method Not Allowed")

    do_PUT = do_DELETE = do_PATCH = refuse_method


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass


server = Server(("127.0.0.1", 0), Registry)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
with open(sys.argv[1] + ".new", "w") as out:
    out.write("%d\n" % server.server_address[1])
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
