"""Who is not let in: the default stack answers nobody whose signature it does not know, and nothing beyond IAM.

The emulator takes its root account at its word, so these are the keys of a user, whose signatures it verifies. It
does not look at the region and the service that a signature is for; AWS does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from leasegate.http.routes import ROUTES
from scripts.deployment import client
from tests.functions import api_events

if TYPE_CHECKING:
    from scripts.stack import Stack

METHODS: Final = ("GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE", "TRACE")
PATHS: Final = {route.path for route in ROUTES} | {"/", "/nothing", "/acquire/", "/%2e%2e/acquire"}
ASK: Final = json.dumps(
    {
        "entity_id": "uninvited",
        "resource": "gpt-4",
        "consume": {"rpm": 1},
        "limits": [{"name": "rpm", "amount": 1_000, "period": "day"}],
    }
).encode()


@dataclass(frozen=True)
class Message:
    """A request as it goes over the wire."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def send(self) -> urllib3.BaseHTTPResponse:
        return urllib3.request(self.method, self.url, body=self.body, headers=dict(self.headers), retries=False)

    def without(self, name: str) -> Message:
        return replace(self, headers={key: value for key, value in self.headers.items() if key != name})

    def with_header(self, name: str, value: str) -> Message:
        return replace(self, headers={**self.headers, name: value})


@dataclass(frozen=True)
class User:
    """A user of the account with a key of their own."""

    stack: Stack
    name: str
    access_key_id: str
    secret_access_key: str

    def may_invoke(self, *what: str) -> None:
        """Allow them these methods and paths of the API, and nothing else."""
        resources = [f"arn:aws:execute-api:*:*:*/v1/{path}" for path in what]
        statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resources}
        client("iam", self.stack.endpoint_url).put_user_policy(
            UserName=self.name,
            PolicyName="Invoke",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )

    def sign(self, method: str, path: str, body: bytes = b"", *, secret: str | None = None) -> Message:
        url = self.stack.api_url + path
        request = AWSRequest(method, url, data=body, headers={"Content-Type": "application/json"})
        credentials = Credentials(self.access_key_id, secret or self.secret_access_key)
        SigV4Auth(credentials, "execute-api", self.stack.region).add_auth(request)
        return Message(method, url, dict(request.headers), body)


@pytest.fixture(scope="module")
def user(stack: Stack) -> Iterator[User]:
    iam = client("iam", stack.endpoint_url)
    iam.create_user(UserName="caller")
    key = iam.create_access_key(UserName="caller")["AccessKey"]
    user = User(stack, "caller", key["AccessKeyId"], key["SecretAccessKey"])
    user.may_invoke("*")
    yield user
    iam.delete_access_key(UserName="caller", AccessKeyId=user.access_key_id)
    iam.delete_user_policy(UserName="caller", PolicyName="Invoke")
    iam.delete_user(UserName="caller")


def check_refused(response: urllib3.BaseHTTPResponse) -> None:
    """Fail unless the gateway refused, without a function having seen the request."""
    assert response.status == 403, response.data
    assert not [name for name in response.headers if name.lower().startswith(("leasegate-", "ratelimit"))]
    assert b"problem" not in response.headers.get("content-type", "").encode()


def test_every_method_of_every_path_is_refused_unsigned(stack: Stack) -> None:
    asked = 0
    for path in sorted(PATHS):
        for method in METHODS:
            message = Message(method, stack.api_url + path, {"Content-Type": "application/json"}, ASK)
            check_refused(message.send())
            asked += 1
    assert asked == len(PATHS) * len(METHODS)


def test_every_method_that_the_stack_serves_is_among_them() -> None:
    served = {method for name in ("AcquireFunction", "AdminFunction") for method, _ in api_events(name)}
    assert served <= set(METHODS)


def test_a_good_signature_is_let_in(user: User) -> None:
    response = user.sign("POST", "/acquire", ASK).send()
    assert response.status == 200, response.data


BROKEN: Final[Mapping[str, Callable[[User], Message]]] = {
    "another secret": lambda user: user.sign("POST", "/acquire", ASK, secret="x" * 40),
    "no such key": lambda user: replace(user, access_key_id="AKIAIOSFODNN7EXAMPLE").sign("POST", "/acquire", ASK),
    "another signature": lambda user: (message := user.sign("POST", "/acquire", ASK)).with_header(
        "Authorization", message.headers["Authorization"][:-64] + "0" * 64
    ),
    "another body": lambda user: replace(
        user.sign("POST", "/acquire", ASK), body=ASK.replace(b"uninvited", b"univinted")
    ),
    "another method": lambda user: replace(user.sign("POST", "/entities/a", ASK), method="PUT"),
    "another path": lambda user: replace(user.sign("POST", "/acquire", ASK), url=user.stack.api_url + "/adjust"),
    "another query": lambda user: replace(
        user.sign("GET", "/entities?page_size=1"), url=user.stack.api_url + "/entities?page_size=2"
    ),
    "years ago": lambda user: user.sign("POST", "/acquire", ASK).with_header("X-Amz-Date", "20200101T000000Z"),
    "no date": lambda user: user.sign("POST", "/acquire", ASK).without("X-Amz-Date"),
    "no signature": lambda user: user.sign("POST", "/acquire", ASK).without("Authorization"),
    "an empty signature": lambda user: user.sign("POST", "/acquire", ASK).with_header("Authorization", ""),
    "a bearer token": lambda user: user.sign("POST", "/acquire", ASK).with_header("Authorization", "Bearer x"),
    "a password": lambda user: user.sign("POST", "/acquire", ASK).with_header("Authorization", "Basic dTpw"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_signature_is_refused(how: str, user: User) -> None:
    check_refused(BROKEN[how](user).send())


def test_who_may_spend_may_not_administer(user: User) -> None:
    user.may_invoke("POST/acquire")
    assert user.sign("POST", "/acquire", ASK).send().status == 200
    for method, path in [("PUT", "/system/limits"), ("GET", "/resources"), ("POST", "/adjust")]:
        check_refused(user.sign(method, path, b"").send())
    user.may_invoke("*")
    assert user.sign("GET", "/resources").send().status == 200
