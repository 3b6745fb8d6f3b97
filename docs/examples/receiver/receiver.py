"""A webhook receiver that verifies with the official package: pip install standardwebhooks

    SECRET=whsec_... python3 receiver.py
"""

import http.server
import os

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["SECRET"])


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            event = webhook.verify(body, headers)
            status = 500 if os.path.exists("broken") else 200
            print(status, "verified", headers["webhook-id"], event["type"], "attempt", headers["webhook-attempt"], flush=True)
        except WebhookVerificationError as error:
            status = 401
            print(status, "NOT verified:", error, flush=True)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 3000))), Receiver).serve_forever()
