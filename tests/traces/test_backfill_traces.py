"""What X-Ray records of the registry's backfill by the built function, in a table of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leasegate import Limiter, schema
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.repository.wire import encode_key
from tests.traces.conftest import Launch
from tests.traces.instances import beside, check
from tests.traces.scenes import SLOW

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SEGMENTS: Final = 4


def test_a_backfill_scans_side_by_side_and_adds_all_names_in_one_transaction(
    launch: Launch, client: DynamoDBClient, fresh_table: Callable[[], str]
) -> None:
    table_name = fresh_table()
    with DynamoRepository(client, table_name) as repository:
        admin = Limiter(repository)
        for number in range(5):
            admin.set_resource_defaults(f"model-{number}", SLOW)
        client.delete_item(TableName=table_name, Key=encode_key(schema.registry_key()))
        instance = launch("BackfillFunction", table=table_name)
        done, again = instance.invoke({"segments": SEGMENTS}), instance.invoke({"segments": SEGMENTS})
        assert len(admin.list_resources_with_defaults()) == 5
    assert (done.answer["status"], done.answer["added"]) == ("complete", 5)
    assert (again.answer["status"], again.answer["added"]) == ("complete", 0)
    beginning = (
        "GetItem",
        "PutItem",
        beside("Scan", SEGMENTS),
        "GetItem",
    )  # the checkpoint, all keys, the registry
    check(done, *beginning, "TransactWriteItems", "DeleteItem")
    check(again, *beginning, "PutItem", "DeleteItem")
