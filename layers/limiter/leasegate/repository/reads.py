"""What is asked of the DynamoDB client for each read, and how its answer reads; ``calls`` does it for writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..operations import Found, Item, Key, Outcome, Page, Query, Scan
from ..schema import GSI1PK, GSI1SK, INDEX, PK, SK
from .direct.requests import Request
from .failures import Unanswered
from .wire import decode_key, decode_position, encode_key, encode_position, key_text, quoted, written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .asking import Speaker

type Parameters = dict[str, Any]


class Form(NamedTuple):
    """What reads of one kind have in common: ``seen`` of their parameters, and the text around their keys."""

    seen: Mapping[str, Any]
    before: str
    after: str


def get_form(table_name: str, *, is_consistent: bool) -> Form:
    """Write what all GetItems of a table have in common."""
    return Form(
        {"TableName": table_name, "ConsistentRead": is_consistent},
        f'{{"TableName":{quoted(table_name)},"ConsistentRead":{written(is_consistent)},"Key":',
        "}",
    )


def batch_form(table_name: str, *, is_consistent: bool) -> Form:
    """Write what all BatchGetItems of a table have in common."""
    return Form(
        {"RequestItems": {table_name: None}},
        f'{{"RequestItems":{{{quoted(table_name)}:{{"ConsistentRead":{written(is_consistent)},"Keys":[',
        "]}}}",
    )


class GetCall:
    """GetItem."""

    __slots__ = ("_key", "_request", "_speaker")
    writes: Final = False

    def __init__(self, speaker: Speaker, form: Form, key: Key) -> None:
        self._speaker = speaker
        self._key = key
        self._request = Request(form.seen, f"{form.before}{key_text(key)}{form.after}")

    def send(self) -> Outcome:
        attributes = self._speaker.ask("GetItem", self._request).get("Item")
        return Found({self._key: self._speaker.read(attributes)} if attributes else {})


class BatchGetCall:
    """BatchGetItem of at most 100 keys, as text; keeps what was found, and asks again only for what was not."""

    __slots__ = ("_form", "_found", "_pending", "_speaker")
    writes: Final = False

    def __init__(self, speaker: Speaker, form: Form, keys: Sequence[str]) -> None:
        self._speaker = speaker
        self._form = form
        self._found: dict[Key, Item] = {}
        self._pending = keys

    def send(self) -> Outcome:
        form = self._form
        request = Request(form.seen, f"{form.before}{','.join(self._pending)}{form.after}")
        answer = self._speaker.ask("BatchGetItem", request)
        for items in answer["Responses"].values():
            for attributes in items:
                key = decode_key(attributes)
                self._found[key] = self._speaker.read(attributes)
        unprocessed = answer.get("UnprocessedKeys")
        if unprocessed:
            self._pending = [written(key) for table in unprocessed.values() for key in table["Keys"]]
            raise Unanswered(f"{len(self._pending)} keys were not processed")
        return Found(self._found)


class PageCall:
    """Query or Scan, for one page."""

    __slots__ = ("_operation", "_request", "_speaker")
    writes: Final = False

    def __init__(self, speaker: Speaker, operation: str, parameters: Parameters) -> None:
        self._speaker = speaker
        self._operation = operation
        self._request = Request.whole(parameters)

    def send(self) -> Outcome:
        answer = self._speaker.ask(self._operation, self._request)
        last = answer.get("LastEvaluatedKey")
        return Page(
            tuple([(decode_key(attributes), self._speaker.read(attributes)) for attributes in answer["Items"]]),
            decode_position(last) if last else None,
            answer["ScannedCount"],
        )


def query_request(table_name: str, query: Query) -> Parameters:
    """Write the request of a query; the index cannot be read consistently, the table is."""
    pk, sk = (GSI1PK, GSI1SK) if query.in_index else (PK, SK)
    request: Parameters = {
        "TableName": table_name,
        "KeyConditionExpression": "#pk = :pk",
        "ExpressionAttributeNames": {"#pk": pk},
        "ExpressionAttributeValues": {":pk": {"S": query.partition}},
        "ConsistentRead": not query.in_index,
        "ScanIndexForward": not query.newest_first,
        "Limit": query.limit,
    }
    if query.in_index:
        request["IndexName"] = INDEX
    if query.prefix:  # DynamoDB takes no empty one
        request["KeyConditionExpression"] += " AND begins_with(#sk, :prefix)"
        request["ExpressionAttributeNames"]["#sk"] = sk
        request["ExpressionAttributeValues"][":prefix"] = {"S": query.prefix}
    if query.after is not None:
        request["ExclusiveStartKey"] = encode_position(query.after, query.partition)
    return request


def scan_request(table_name: str, scan: Scan) -> Parameters:
    """Write the request of a scan; DynamoDB filters by attributes that it does not return."""
    request: Parameters = {
        "TableName": table_name,
        "FilterExpression": "attribute_exists(#attribute)",
        "ProjectionExpression": "#pk, #sk",
        "ExpressionAttributeNames": {"#pk": PK, "#sk": SK, "#attribute": scan.attribute},
        "Segment": scan.segment,
        "TotalSegments": scan.segments,
        "ConsistentRead": True,
        "Limit": scan.limit,
    }
    if scan.prefix:
        request["FilterExpression"] = f"begins_with(#pk, :prefix) AND {request['FilterExpression']}"
        request["ExpressionAttributeValues"] = {":prefix": {"S": scan.prefix}}
    if scan.after is not None:
        request["ExclusiveStartKey"] = encode_key(scan.after.key)
    return request
