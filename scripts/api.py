"""A client of the deployed API: signs with SigV4, and keeps its connections."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered; headers are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Parse the body, an object."""
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


class ApiClient:
    """Sends JSON to one API; safe to share between threads. Paths are as they stand in a URL, percent-encoded."""

    def __init__(self, api_url: str, *, region: str, access_key_id: str, secret_access_key: str) -> None:
        self._api_url = api_url
        self._signer = SigV4Auth(Credentials(access_key_id, secret_access_key), "execute-api", region)
        self._pool = urllib3.PoolManager(maxsize=32, timeout=urllib3.Timeout(connect=5, read=30), retries=False)

    def get(self, path: str) -> Answer:
        """Ask for what is at a path."""
        return self.send("GET", path)

    def post(
        self, path: str, body: object = None, *, headers: Mapping[str, str] | None = None, signed: bool = True
    ) -> Answer:
        """Send a JSON document, or bytes as they are."""
        return self.send("POST", path, body, headers=headers, signed=signed)

    def put(self, path: str, body: object) -> Answer:
        """Put a JSON document at a path."""
        return self.send("PUT", path, body)

    def patch(self, path: str, body: object) -> Answer:
        """Send a JSON merge patch."""
        return self.send("PATCH", path, body, headers={"Content-Type": "application/merge-patch+json"})

    def delete(self, path: str) -> Answer:
        """Delete what is at a path."""
        return self.send("DELETE", path)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        signed: bool = True,
    ) -> Answer:
        """Send a JSON document, bytes as they are, or (None) no body."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        content_type = {} if data is None else {"Content-Type": "application/json"}
        url = self._api_url + path
        request = AWSRequest(method, url, data=data, headers={**content_type, **(headers or {})})
        if signed:
            self._signer.add_auth(request)
        response = self._pool.request(method, url, body=data, headers=dict(request.headers))
        return Answer(response.status, response.headers, response.data)
