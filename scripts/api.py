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
    """POSTs JSON to one API; safe to share between threads."""

    def __init__(self, api_url: str, *, region: str, access_key_id: str, secret_access_key: str) -> None:
        self._api_url = api_url
        self._signer = SigV4Auth(Credentials(access_key_id, secret_access_key), "execute-api", region)
        self._pool = urllib3.PoolManager(maxsize=32, timeout=urllib3.Timeout(connect=5, read=30), retries=False)

    def post(
        self, path: str, body: object, *, headers: Mapping[str, str] | None = None, signed: bool = True
    ) -> Answer:
        """Send a JSON document, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = AWSRequest(
            "POST",
            self._api_url + path,
            data=data,
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        if signed:
            self._signer.add_auth(request)
        response = self._pool.request("POST", self._api_url + path, body=data, headers=dict(request.headers))
        return Answer(response.status, response.headers, response.data)
