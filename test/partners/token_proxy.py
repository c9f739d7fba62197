"""A token endpoint in front of another one, over TLS too, that behaves as its path says.

Usage: token_proxy.py FILE URL CERTIFICATE OTHER. FILE gets its three ports on 127.0.0.1, a line each, once it listens: http, https
with CERTIFICATE, https with OTHER (PEM files with their keys). FILE.log gets a JSON array for each request: path, authorization,
body.

  /token    what URL answers            /short    likewise, valid for five seconds
  /claims   likewise, but only the token itself says how long; with a backslash before slashes, as some have it
  /refuse   401, invalid_client         /leak     400 that repeats what was sent, as its error code, too
  /down     503                         /garbage  200, with no JSON
  /redirect 307 to a metadata service   /expired  200, a token that is valid no more
  /forged   200, a token that nobody signed
  /toggle   as /token, but as /refuse while there is a file FILE.off
"""
import base64
import http.server
import json
import os
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request

FILE, URL, CERTIFICATE, OTHER = sys.argv[1:5]
lock = threading.Lock()


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(end):
    return ".".join((encoded({"alg": "RS256", "kid": "k", "typ": "JWT"}), encoded({"sub": "strm", "aud": "kafka", "exp": end}), encoded("no")))


def forwarded(headers, body):
    request = urllib.request.Request(URL, body, {"Content-Type": "application/x-www-form-urlencoded", "Authorization": headers.get("Authorization", "")})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def answer_of(path, headers, body):
    if path == "/refuse" or (path == "/toggle" and os.path.exists(FILE + ".off")):
        return 401, {"error": "invalid_client", "error_description": "no such client"}
    if path == "/leak":
        return 400, {"error": headers.get("Authorization", "") + " refused", "error_description": body.decode()}
    if path == "/down":
        return 503, {"error": "temporarily_unavailable"}
    if path == "/expired":
        return 200, {"access_token": unsigned(int(time.time()) - 10), "token_type": "Bearer"}
    if path == "/forged":
        return 200, {"access_token": unsigned(int(time.time()) + 300), "token_type": "Bearer", "expires_in": 300}
    status, answer = forwarded(headers, body)
    if path == "/short":
        answer["expires_in"] = 5
    if path == "/claims":
        del answer["expires_in"]
    return status, answer


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with lock, open(FILE + ".log", "a") as file:
            file.write(json.dumps([self.path, self.headers.get("Authorization", ""), body.decode()]) + "\n")
        status, answer = (307, {}) if self.path == "/redirect" else (200, "") if self.path == "/garbage" else answer_of(self.path, self.headers, body)
        content = b"<html>busy</html>" if self.path == "/garbage" else json.dumps(answer).encode()
        if self.path == "/claims":
            content = content.replace(b"/", b"\\/")
        self.send_response(status)
        if status == 307:
            self.send_header("Location", "http://169.254.169.254/token")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


ports = []
for certificate in (None, CERTIFICATE, OTHER):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    ports.append(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
with open(FILE + ".new", "w") as file:
    file.write("".join(f"{port}\n" for port in ports))
os.rename(FILE + ".new", FILE)
threading.Event().wait()
