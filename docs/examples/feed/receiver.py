"""A webhook receiver that misses nothing: gaps in webhook-sequence are closed from the feed. pip install standardwebhooks

    SECRET=whsec_... TOKEN=prt_... FEED=http://127.0.0.1:8700/v1/tenants/acme/endpoints/ep_.../feed python3 receiver.py

The token needs the scope webhook-events-read. What was taken in is a line `sequence id` of the file `taken`, written before
it is acknowledged; a new start goes on from there. In earnest it is a row of your database, in the same transaction as what
you do with the event.
"""

import http.server
import json
import os
import threading
import time
import urllib.request

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

PATIENCE_S = 0.5  # what is under way arrives by itself: the feed is asked for what has not come by then

webhook = Webhook(os.environ["SECRET"])
lock = threading.Lock()
gap = threading.Event()
last = 0  # everything up to this sequence is taken, or gone for good
ahead = set()  # sequences beyond it that are taken
ids = set()  # the same event may come again, from the feed or as a retry: it is known by its id


def note(sequence):
    ahead.add(sequence)
    advance()


def advance():
    global last
    while last + 1 in ahead:
        last += 1
        ahead.remove(last)


def skip(sequence):
    """Retention has removed what lies up to there and is not taken: it is gone for good."""
    global last
    with lock:
        if sequence > last:
            taken.write(f"{sequence} -\n")
            forget(sequence)


def forget(sequence):
    global last, ahead
    last = max(last, sequence)
    ahead = {s for s in ahead if s > last}
    advance()


def take(sequence, event, how):
    with lock:
        if event["id"] not in ids:
            # Here the work is done.
            taken.write(f"{sequence} {event['id']}\n")
            taken.flush()
            os.fsync(taken.fileno())
            ids.add(event["id"])
            print("took", sequence, event["id"], event["type"], how, flush=True)
        elif how == "delivered":
            return  # the number is not signed: an event that comes again must not pass for the one that is missing
        note(sequence)
        if ahead:
            gap.set()


def read_feed():
    while True:
        request = urllib.request.Request(
            f"{os.environ['FEED']}?after={last}&limit=250", headers={"Authorization": f"Bearer {os.environ['TOKEN']}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            page = json.load(answer)
        for entry in page["data"]:
            skip(entry["sequence"] - 1)
            take(entry["sequence"], entry["event"], "from the feed")
        if not page["data"]:
            return skip(page["last_sequence"])


def close_gaps():
    while True:
        gap.wait()
        time.sleep(PATIENCE_S)
        gap.clear()
        try:
            read_feed()
        except OSError as error:
            print("the feed cannot be read:", error, flush=True)
            gap.set()


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            event = webhook.verify(body, headers)
            if os.path.exists("broken"):
                status = 500
            else:
                status = 200
                # A test has no sequence: it is no event.
                if "webhook-sequence" in headers:
                    take(int(headers["webhook-sequence"]), {"id": headers["webhook-id"], **event}, "delivered")
        except WebhookVerificationError as error:
            status = 401
            print(status, "NOT verified:", error, flush=True)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


taken = open("taken", "a+")
taken.seek(0)
for line in taken.read().splitlines():
    sequence, event_id = line.split(" ")
    if event_id == "-":
        forget(int(sequence))
    else:
        ids.add(event_id)
        note(int(sequence))
gap.set()  # what came while nobody listened
threading.Thread(target=close_gaps, daemon=True).start()
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 3000))), Receiver).serve_forever()
