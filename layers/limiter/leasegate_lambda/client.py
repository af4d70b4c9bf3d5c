"""The DynamoDB client, built without a look at what botocore knows of all other services.

botocore makes a client out of data. To find DynamoDB's it looks into the folders of some 440 services, and for the
endpoints it parses a megabyte about all of them: two thirds of the time that a client takes. Here it is told that
there is one service, and the endpoints come from the small file about partitions that it reads anyway. Both are
botocore's own data, of whatever version runs, so there is nothing to keep in step. And boto3 would add nothing to
such a client but what it imports for S3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botocore.loaders import Loader
from botocore.session import Session

from leasegate.repository import client as repository_client

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_VARIANTS: Final = ("use_fips_endpoint", "use_dualstack_endpoint")
"""Settings under which some regions have endpoints that no rule yields."""


def dynamodb_client(endpoint_url: str | None) -> DynamoDBClient:
    """Build a client of DynamoDB as ``boto3.client`` would; it has no paginators or waiters of other services."""
    session = Session()
    by_rule = not any(session.get_config_variable(name) for name in _VARIANTS)
    session.register_component("data_loader", OneService(by_rule=by_rule))
    return repository_client.dynamodb_client(session=session, endpoint_url=endpoint_url)


class OneService(Loader):
    """Loads botocore's data about DynamoDB, and the rules that lead to its endpoints."""

    def __init__(self, *, by_rule: bool) -> None:
        """Load endpoints as a rule for each partition, or as the list of all exceptions that botocore has."""
        super().__init__()
        self._by_rule = by_rule

    def list_available_services(self, type_name: str) -> list[str]:
        """Name the one service; botocore asks whether what it is to load is among them."""
        return ["dynamodb"]

    def load_data_with_path(self, name: str) -> tuple[dict[str, Any], str]:
        """Load data, and say where it was found."""
        if name != "endpoints" or not self._by_rule:
            return super().load_data_with_path(name)
        known, path = super().load_data_with_path("partitions")
        return {"version": 3, "partitions": [_endpoints_of(partition) for partition in known["partitions"]]}, path


def _endpoints_of(partition: dict[str, Any]) -> dict[str, Any]:
    return {
        "partition": partition["id"],
        "dnsSuffix": partition["outputs"]["dnsSuffix"],
        "regionRegex": partition["regionRegex"],
        "regions": partition["regions"],
        "defaults": {
            "hostname": "{service}.{region}.{dnsSuffix}",
            "protocols": ["https"],
            "signatureVersions": ["v4"],
        },
        "services": {},
    }
