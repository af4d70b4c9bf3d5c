"""Many items at once, for tests in which a table is full."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import TYPE_CHECKING, Final

from leasegate.operations import Item, Key
from leasegate.repository.wire import encode_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import WriteRequestTypeDef

    from tests.fixtures.dynamodb import Table

_ITEMS_IN_A_CALL: Final = 25
_THREADS: Final = 4


def load(table: Table, items: Iterable[tuple[Key, Item]]) -> None:
    """Write items into a table of an emulator, which takes them all."""

    def put(batch: tuple[tuple[Key, Item], ...]) -> None:
        requests: list[WriteRequestTypeDef] = [{"PutRequest": {"Item": encode_item(*each)}} for each in batch]
        answer = table.client.batch_write_item(RequestItems={table.name: requests})
        assert not answer["UnprocessedItems"]

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(put, batched(items, _ITEMS_IN_A_CALL, strict=False)):
            pass
