"""An OAuth 2.0 token endpoint (client credentials) that signs tokens for the listeners OIDC of test/partners/kafka.

Usage: token_endpoint.py DIRECTORY CLIENT SECRET. Makes a key in the directory, where jwks.json is its public half for those who
verify, and then endpoint.url, the address to POST to on 127.0.0.1. Tokens are the client's (sub), and valid for five minutes.
"""
import base64
import http.server
import json
import os
import re
import subprocess
import sys
import time

DIRECTORY, CLIENT, SECRET = sys.argv[1:4]
KEY = os.path.join(DIRECTORY, "token.key")
LIFETIME = 300


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def publish(name, content):
    path = os.path.join(DIRECTORY, name)
    with open(path + ".new", "w") as file:
        file.write(content)
    os.rename(path + ".new", path)


def token():
    now = int(time.time())
    claims = {"iss": "strm-test", "sub": CLIENT, "aud": "kafka", "iat": now, "exp": now + LIFETIME, "jti": text(os.urandom(9))}
    signed = ".".join(text(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "k", "typ": "JWT"}, claims))
    return signed + "." + text(openssl("dgst", "-sha256", "-sign", KEY, data=signed.encode()))


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        right = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") != right or b"grant_type=client_credentials" not in body:
            status, answer = 401, {"error": "invalid_client"}
        else:
            status, answer = 200, {"access_token": token(), "token_type": "Bearer", "expires_in": LIFETIME}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


openssl("genrsa", "-out", KEY, "2048")
modulus = re.search(rb"=([0-9A-F]+)", openssl("rsa", "-in", KEY, "-noout", "-modulus")).group(1)
key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k", "n": text(bytes.fromhex(modulus.decode())), "e": text(b"\1\0\1")}
publish("jwks.json", json.dumps({"keys": [key]}))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
publish("endpoint.url", f"http://127.0.0.1:{server.server_address[1]}/token")
server.serve_forever()
