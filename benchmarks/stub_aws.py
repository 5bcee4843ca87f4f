"""AWS as far as the benchmark needs it: every call is answered at once and counted, so that only our own time shows.

`GET /calls` tells how often each operation was called since the last `DELETE /calls`.
"""

import hashlib
import json
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs

SECRETS = {
    "hook": {"current": "secret-of-the-benchmark", "previous": ""},
    "vtex": {"luxstore": {"app_key": "key", "app_token": "token"}},
}


def answer(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return what AWS would answer to a JSON call."""
    match operation:
        case "SendMessage":
            return {"MessageId": "1", "MD5OfMessageBody": _md5(request["MessageBody"])}
        case "SendMessageBatch":
            entries = request["Entries"]
            return {
                "Successful": [
                    {"Id": entry["Id"], "MessageId": "1", "MD5OfMessageBody": _md5(entry["MessageBody"])}
                    for entry in entries
                ]
            }
        case "GetSecretValue":
            return {"ARN": request["SecretId"], "SecretString": json.dumps(SECRETS[request["SecretId"]])}
        case "BatchGetItem":
            return {"Responses": {}}
        case _:
            return {}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers the JSON protocols by X-Amz-Target, and SNS by its form."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    calls: ClassVar[Counter[str]] = Counter()

    def do_POST(self) -> None:
        """Answer a call of AWS."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        target = self.headers.get("X-Amz-Target")
        if target:
            operation = target.split(".")[-1]
            self.calls[operation] += 1
            self._send(json.dumps(answer(operation, json.loads(body))).encode(), "application/x-amz-json-1.0")
            return
        form = parse_qs(body)
        self.calls[form["Action"][0]] += 1
        ids = [value[0] for name, value in form.items() if name.endswith(".Id")]
        members = "".join(f"<member><Id>{number}</Id><MessageId>1</MessageId></member>" for number in ids)
        text = f"<PublishBatchResponse><PublishBatchResult><Successful>{members}</Successful></PublishBatchResult>"
        self._send(f"{text}</PublishBatchResponse>".encode(), "text/xml")

    def do_GET(self) -> None:
        """Tell the calls."""
        self._send(json.dumps(self.calls).encode(), "application/json")

    def do_DELETE(self) -> None:
        """Forget the calls."""
        self.calls.clear()
        self._send(b"{}", "application/json")

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _send(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
