"""A channel that prints what it is told, and does what a receiver must: it verifies the signature (Standard Webhooks), keeps the
highest version of each SKU, and drops an id it has seen.

    RECEIVER_SECRET=whsec_... python3 receiver.py 127.0.0.1 9001
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import time

# Older or newer by more than this, a call may be a copy of somebody's.
TOLERANCE_S = 5 * 60
BODY_BYTES_MAX = 4 * 1024 * 1024

secret = base64.b64decode(os.environ["RECEIVER_SECRET"].removeprefix("whsec_"))
versions: dict[str, int] = {}
seen: set[str] = set()


def is_signed(headers, body: bytes) -> bool:
    """Whether one of the signatures is right, and fresh."""
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isdigit() or abs(time.time() - int(stamp)) > TOLERANCE_S:
        return False
    signed = f"{headers.get('webhook-id', '')}.{stamp}.".encode() + body
    right = "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(right, given) for given in headers.get("webhook-signature", "").split())


def apply(event: dict) -> None:
    """Shows one CloudEvent, unless a newer one was shown."""
    data = event["data"]
    sku, version = data["sku"], data["version"]
    if version < versions.get(sku, 0):
        print(f"{sku}: version {version} is older than {versions[sku]}: ignored")
        return
    versions[sku] = version
    state = "paused" if data["paused"] else "for sale"
    print(f"{sku}: {data['quantity']} ({state}), version {version}")


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(int(length))
        if not is_signed(self.headers, body):
            print("a call without a right signature: refused")
            return self.answer(401)
        # A retry keeps its id.
        call = self.headers["webhook-id"]
        if call not in seen:
            told = json.loads(body)
            # A channel with `batch` above 1 gets a list.
            for event in told if isinstance(told, list) else [told]:
                apply(event)
            seen.add(call)
        return self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    try:
        http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Receiver).serve_forever()
    except KeyboardInterrupt:
        pass
