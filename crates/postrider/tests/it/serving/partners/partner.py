"""A partner of a platform: checks what it is sent as that platform's documentation says. The standard library alone.

    PLATFORM=mcards SECRET=... USERNAME=... PASSWORD=... python3 partner.py

With SECRET_FILE the secret is read from that file whenever it is needed, so that it may come later, or change. Prints a line for each request, which ends with the digest of the body as it came.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import re
import urllib.parse

platform = os.environ["PLATFORM"]
username, password = os.environ["USERNAME"], os.environ["PASSWORD"]


def secret():
    if "SECRET_FILE" not in os.environ:
        return os.environ["SECRET"].encode()
    with open(os.environ["SECRET_FILE"], "rb") as file:
        return file.read()


def basic(headers):
    expected = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
    assert headers["Authorization"] == expected, "not the credentials"


def signed(body, signature):
    computed = hmac.new(secret(), body, hashlib.sha256).hexdigest()
    assert signature is not None and hmac.compare_digest(computed, signature), "not the signature"


def clevercards(headers, body):
    basic(headers)
    signed(body, headers["X-Signature"])
    event = json.loads(body)
    assert list(event) == ["eventId", "eventType", "occurredAt", "data"], "not the envelope"
    assert event["eventId"] == headers["Idempotency-Key"], "not the idempotency key"
    return event["eventId"], event["eventType"]


def penny(headers, body):
    assert headers["Authorization"] == f"Bearer {password}", "not the authorization token"
    event = json.loads(body)
    assert list(event) == ["event_id", "event_identifier", "data"], "not the general structure"
    return event["event_id"], event["event_identifier"]


def fourpay(headers, body):
    signed(body, headers["X-Webhook-Signature"])
    return headers["X-Webhook-Id"], headers["X-Webhook-Event"]


def mcards(headers, body):
    basic(headers)
    signed(body, headers["X-Hmac-Signature"])
    return headers["X-Webhook-Id"], json.loads(body)["webhook_event_type"]


def opencard(headers, body):
    basic(headers)
    signed(body, headers["X-Data-Signature"])
    assert headers["X-Version"] == "1", "not the version"
    return headers["X-Webhook-Id"], headers["X-Event"]


check = {f.__name__: f for f in (clevercards, penny, fourpay, mcards, opencard)}[platform]


def proof(path, headers):
    """The answer to OpenCard's challenge: signs nothing but 20 letters and digits."""
    basic(headers)
    challenge = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query).get("challenge", [""])[0]
    assert platform == "opencard" and headers["X-Event"] == "challenge", "not a challenge"
    assert re.fullmatch("[A-Za-z0-9]{20}", challenge), "not to be signed"
    return hmac.new(secret(), challenge.encode(), hashlib.sha256).hexdigest()


class Partner(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            assert self.headers["Content-Type"] == "application/json", "not JSON"
            event, kind = check(self.headers, body)
            status, said = 200, f"{event} {kind} {self.headers['X-Webhook-Sequence']}"
        except (AssertionError, KeyError, OSError, ValueError) as error:
            status, said = 401, str(error)
        print(status, said, hashlib.sha256(body).hexdigest(), flush=True)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        try:
            token = proof(self.path, self.headers)
            print("200 challenge", flush=True)
            self.send_response(200)
            self.send_header("X-Verify-Token", token)
        except AssertionError as error:
            print(400, error, flush=True)
            self.send_response(400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Partner).serve_forever()
