"""A server that answers as DynamoDB does, and does nothing for it: what a call takes is its client's own.

    python -m tests.benchmark.null_server [certificate]

Prints its port, and ends with the process that started it. With a certificate, whose file has the key too, it
speaks TLS. Every update is applied, but for those of one entity, which are refused.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY, create_server, socket
from typing import Final

from leasegate import schema
from leasegate.repository.wire import encode_item, written
from scripts.processes import stop, tied_to_parent
from scripts.toolchain import ROOT
from tests.benchmark.workload import ENTITY, REFUSED, RESOURCE, TABLE_NAME, bucket_item, plain_item, plain_keys
from tests.direct.plays import message
from tests.listeners import receive

_REFUSAL: Final = "refusal"
_ACQUIRE: Final = "acquire"


def answers() -> Mapping[str, bytes]:
    """Return what is answered, by the operation's name; apart from that, what an acquire is answered."""
    first, *_ = keys = plain_keys()
    item = plain_item()
    bucket = encode_item(schema.bucket_key(ENTITY, RESOURCE), bucket_item())
    documents: Mapping[str, Mapping[str, object]] = {
        "UpdateItem": {"Attributes": encode_item(first, item)},
        "GetItem": {"Item": encode_item(first, item)},
        "BatchGetItem": {
            "Responses": {TABLE_NAME: [encode_item(key, item) for key in keys]},
            "UnprocessedKeys": {},
        },
        "TransactWriteItems": {},
        f"{_ACQUIRE} UpdateItem": {"Attributes": bucket},
        f"{_ACQUIRE} BatchGetItem": {"Responses": {TABLE_NAME: [bucket]}, "UnprocessedKeys": {}},
        _REFUSAL: {
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "message": "The conditional request failed",
            "Item": encode_item(schema.bucket_key(REFUSED, RESOURCE), item),
        },
    }
    return {
        name: message(written(document).encode(), "400 Bad Request" if name is _REFUSAL else "200 OK")
        for name, document in documents.items()
    }


def serve(connection: socket, said: Mapping[str, bytes]) -> None:
    """Answer the requests of one connection until its caller hangs up."""
    refused = schema.bucket_key(REFUSED, RESOURCE).pk.encode()
    acquired = schema.bucket_key(ENTITY, RESOURCE).pk.encode()
    with connection, suppress(OSError):
        while request := receive(connection):
            head, _, body = request.partition(b"\r\n\r\n")
            operation = head.lower().partition(b"x-amz-target: dynamodb_20120810.")[2].partition(b"\r\n")[0]
            name = _NAMES[operation]
            if refused in body:
                name = _REFUSAL
            elif acquired in body:
                name = f"{_ACQUIRE} {name}"
            connection.sendall(said[name])


_NAMES: Final = {
    name.lower().encode(): name for name in ("UpdateItem", "GetItem", "BatchGetItem", "TransactWriteItems")
}


def main(certificate: str | None = None) -> None:
    """Serve each connection on a thread of its own, for ever."""
    said = answers()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    with create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)  # noqa: T201 - for whoever started it
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            threading.Thread(target=_greet, args=[connection, context, said], daemon=True).start()


def _greet(connection: socket, context: ssl.SSLContext | None, said: Mapping[str, bytes]) -> None:
    serve(connection if context is None else context.wrap_socket(connection, server_side=True), said)


@contextmanager
def null_server(certificate: Path | None = None) -> Iterator[str]:
    """Run the server as a process of its own until the block ends; the value is its URL."""
    arguments = [] if certificate is None else [str(certificate)]
    command = tied_to_parent([sys.executable, "-m", "tests.benchmark.null_server", *arguments])
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            stop(process)


if __name__ == "__main__":
    main(*sys.argv[1:])
