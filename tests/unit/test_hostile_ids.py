"""Ids that try to be more than ids: none reaches another item, another path, a header or a line of the log."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from leasegate import InvalidRequest, LeaseNotFound, Limit, Limiter, NotFound, schema
from leasegate.flows.auditing import check_scope
from leasegate.http.idempotency import IDEMPOTENCY_KEY, read_key
from leasegate.identifiers import check_identifier, check_integer, check_limit_name
from leasegate.operations import Key
from leasegate.repository.memory import MemoryRepository
from leasegate.requesting import check_key
from leasegate.windows import HOUR_MS
from tests.fixtures.functions import TABLE_NAME, Launch
from tests.functions import Function, Response, lines

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

HOSTILE: Final = {
    "another part of the key": "key-1#gpt-4",
    "another item": "key-1#STATE",
    "a number sign alone": "#",
    "a fullwidth number sign": "key\uff031",
    "a small number sign": "key\ufe5f1",
    "a sharp": "key\u266f1",
    "another path": "a/limits",
    "a fullwidth solidus": "a\uff0flimits",
    "a division slash": "a\u2215limits",
    "a backslash": "a\\limits",
    "this folder": ".",
    "the folder above": "..",
    "a Cyrillic a": "\u0430dmin",
    "an accent apart": "e\u0301",
    "an accent": "\u00e9",
    "a ligature": "\ufb01",
    "an Arabic digit": "key-\u0661",
    "a joiner": "key\u200d1",
    "text from right to left": "key\u202e1",
    "a byte order mark": "\ufeffkey",
    "NUL": "key\x001",
    "a line end": "key\n",
    "a header": "key\r\nX-Injected: 1",
    "an escape": "key\x1b[2J",
    "a line separator": "key\u20281",
    "a tab": "key\t1",
    "a space": "key 1",
    "a percent sign": "key%231",
    "nothing": "",
    "257 characters": "k" * 257,
    "half of a pair": "key\ud800",
    "an emoji": "key\U0001f511",
    "what replaces it": "key\ufffd",
}
ALLOWED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@+-")
HOSTILE_IDS: Final = pytest.mark.parametrize("hostile", HOSTILE.values(), ids=list(HOSTILE))

good_ids = st.text(st.sampled_from(sorted(ALLOWED)), min_size=1, max_size=256).filter(
    lambda text: text not in (".", "..")
)
near_ids = st.lists(st.sampled_from([*"ab.:#/%", "\n", "\uff03", "\x00", "BUCKET#", "#STATE"]), max_size=8).map(
    "".join
)
any_ids = st.one_of(good_ids, near_ids, st.text())


def is_id(text: str) -> bool:
    return set(text) <= ALLOWED and 1 <= len(text) <= 256 and text not in (".", "..")


# --- what is an id ------------------------------------------------------------------------------------


@given(any_ids)
@example(".")
@example("..")
@example("...")
@example("k" * 256)
@example("k" * 257)
@example("a\n")
def test_an_id_is_returned_as_it_is_or_refused_by_the_name_of_its_field(text: str) -> None:
    if is_id(text):
        assert check_identifier("entity_id", text) == text == unicodedata.normalize("NFKC", text)
        return
    with pytest.raises(InvalidRequest) as refused:
        check_identifier("entity_id", text)
    assert refused.value.field == "entity_id"


@HOSTILE_IDS
def test_what_is_hostile_is_refused(hostile: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_identifier("resource", hostile)
    assert refused.value.field == "resource"
    assert refused.value.reason.isascii()
    for kind in ("entity", "resource"):
        with pytest.raises(InvalidRequest, match=r"^scope: "):
            check_scope(f"{kind}:{hostile}")
    with pytest.raises(InvalidRequest, match=r"^limit: "):
        check_limit_name("limit", hostile.lower() * 33)


def test_dots_among_other_characters_are_an_id() -> None:
    for identifier in ("...", "a.", ".a", "a..b"):
        assert check_identifier("entity_id", identifier) == identifier


# --- keys: no two pairs share one, and each says whose it is --------------------------------------------

WINDOW_MS: Final = 490_000 * HOUR_MS
ONE_WAY: Final[Mapping[str, Callable[[str, str], Key]]] = {
    "entity": lambda entity, _: schema.entity_key(entity),
    "entity's limits": schema.entity_limits_key,
    "entity's default": lambda entity, _: schema.entity_limits_key(entity, None),
    "resource's defaults": lambda _, resource: schema.resource_defaults_key(resource),
    "bucket": schema.bucket_key,
    "usage": lambda entity, resource: schema.usage_key(entity, resource, "hour", WINDOW_MS),
    "operation": schema.operation_key,
    "audit of the entity": lambda entity, _: schema.audit_key(f"entity:{entity}", WINDOW_MS, "id"),
    "audit of the resource": lambda _, resource: schema.audit_key(f"resource:{resource}", WINDOW_MS, "id"),
    "lease": lambda entity, _: schema.lease_key(entity),
}
"""The keys of all kinds of items that ids stand in."""
ALONE: Final = {
    schema.system_defaults_key(),
    schema.registry_key(),
    schema.backfill_key(),
    schema.audit_key("system", WINDOW_MS, "id"),
}
"""The keys of items that no id stands in."""
BOTH: Final = frozenset({"entity's limits", "bucket", "usage", "operation"})
"""Keys that say an entity and a second id."""
SECOND: Final = frozenset({"resource's defaults", "audit of the resource"})
"""Keys that say the second id alone."""


def ids_in(kind: str, entity: str, resource: str) -> tuple[str, ...]:
    if kind in BOTH:
        return (entity, resource)
    return (resource,) if kind in SECOND else (entity,)


@given(good_ids, good_ids, good_ids, good_ids)
@example("a", "b", "a:b", "c")
@example("entity:a", "a", "a", "entity:a")
def test_keys_are_equal_only_if_kind_and_ids_are(
    entity: str, resource: str, entity_2: str, resource_2: str
) -> None:
    for kind, kind_2 in product(ONE_WAY, ONE_WAY):
        key, key_2 = ONE_WAY[kind](entity, resource), ONE_WAY[kind_2](entity_2, resource_2)
        said, said_2 = ids_in(kind, entity, resource), ids_in(kind_2, entity_2, resource_2)
        assert (key == key_2) == ((kind, said) == (kind_2, said_2)), (kind, kind_2)
        assert key not in ALONE
        assert key.pk.count("#") == 1 + (kind in {"bucket", "usage", "operation"})


@given(good_ids, good_ids)
def test_keys_decode_to_exactly_their_ids(entity: str, resource: str) -> None:
    assert schema.bucket_of(schema.bucket_key(entity, resource)) == (entity, resource)
    assert schema.usage_of(schema.usage_key(entity, resource, "hour", WINDOW_MS)) == (
        entity,
        resource,
        "hour",
        WINDOW_MS,
    )
    assert schema.entity_of(schema.entity_key(entity)) == entity
    assert schema.resource_of_limits(schema.entity_limits_key(entity, resource)) == resource
    assert schema.resource_of_limits(schema.entity_limits_key(entity, None)) is None
    assert schema.resource_of_defaults(schema.resource_defaults_key(resource)) == resource


RPM: Final = Limit.per_day("rpm", 1_000)


@given(any_ids, any_ids)
@example("a", "")
@example("", "a")
@example("SYSTEM#", "#LIMITS")
def test_the_library_writes_under_exactly_the_ids_that_it_was_given(entity: str, resource: str) -> None:
    repository = MemoryRepository()
    limiter = Limiter(repository)
    if is_id(entity) and is_id(resource):
        limiter.acquire(entity, resource, {"rpm": 1}, limits=[RPM])
        assert set(repository.items) == {schema.entity_key(entity), schema.bucket_key(entity, resource)}
        return
    with pytest.raises(InvalidRequest) as refused:
        limiter.acquire(entity, resource, {"rpm": 1}, limits=[RPM])
    assert refused.value.field == ("resource" if is_id(entity) else "entity_id")
    assert not repository.items


CALLS: Final[Mapping[str, Callable[[Limiter, str], object]]] = {
    "acquire.entity": lambda limiter, id_: limiter.acquire(id_, "r", {"rpm": 1}, limits=[RPM]),
    "acquire.resource": lambda limiter, id_: limiter.acquire("e", id_, {"rpm": 1}, limits=[RPM]),
    "acquire.parent": lambda limiter, id_: limiter.acquire("e", "r", {"rpm": 1}, limits=[RPM], parent_id=id_),
    "acquire.limit": lambda limiter, id_: limiter.acquire("e", "r", {id_ * 33: 1}, limits=[RPM]),
    "adjust.entity": lambda limiter, id_: limiter.adjust(id_, "r", {"rpm": 1}),
    "adjust.resource": lambda limiter, id_: limiter.adjust("e", id_, {"rpm": 1}),
    "available.entity": lambda limiter, id_: limiter.available(id_, "r"),
    "available.resource": lambda limiter, id_: limiter.available("e", id_),
    "available.parent": lambda limiter, id_: limiter.available("e", "r", parent_id=id_),
    "put_entity": lambda limiter, id_: limiter.put_entity(id_),
    "put_entity.parent": lambda limiter, id_: limiter.put_entity("e", id_),
    "get_entity": lambda limiter, id_: limiter.get_entity(id_),
    "delete_entity": lambda limiter, id_: limiter.delete_entity(id_),
    "list_children": lambda limiter, id_: limiter.list_children(id_),
    "list_buckets": lambda limiter, id_: limiter.list_buckets(id_),
    "list_limits": lambda limiter, id_: limiter.list_limits(id_),
    "set_limits.entity": lambda limiter, id_: limiter.set_limits(id_, [RPM]),
    "set_limits.resource": lambda limiter, id_: limiter.set_limits("e", [RPM], resource=id_),
    "get_limits.resource": lambda limiter, id_: limiter.get_limits("e", id_),
    "delete_limits.resource": lambda limiter, id_: limiter.delete_limits("e", id_),
    "set_resource_defaults": lambda limiter, id_: limiter.set_resource_defaults(id_, [RPM]),
    "get_resource_defaults": lambda limiter, id_: limiter.get_resource_defaults(id_),
    "delete_resource_defaults": lambda limiter, id_: limiter.delete_resource_defaults(id_),
    "get_resource": lambda limiter, id_: limiter.get_resource(id_),
    "disable_entity": lambda limiter, id_: limiter.disable_entity(id_),
    "disable_entity.resource": lambda limiter, id_: limiter.disable_entity("e", id_),
    "enable_resource": lambda limiter, id_: limiter.enable_resource(id_),
    "reset.resource": lambda limiter, id_: limiter.reset("e", id_),
    "reset.operation": lambda limiter, id_: limiter.reset("e", "r", operation_id=id_),
    "top_up.resource": lambda limiter, id_: limiter.top_up("e", id_, {"rpm": 1}),
    "resolve_limits": lambda limiter, id_: limiter.resolve_limits("e", id_),
    "usage": lambda limiter, id_: limiter.usage(id_, "r"),
    "usage.resource": lambda limiter, id_: limiter.usage("e", id_),
    "resource_usage": lambda limiter, id_: limiter.resource_usage(id_),
    "finish_changes": lambda limiter, id_: limiter.finish_changes(id_),
    "list_audit": lambda limiter, id_: limiter.list_audit(f"entity:{id_}"),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_method_of_the_library_refuses_what_is_hostile_and_touches_nothing(call: str) -> None:
    repository = MemoryRepository()
    for name, hostile in HOSTILE.items():
        with pytest.raises(InvalidRequest):
            CALLS[call](Limiter(repository), hostile)
            pytest.fail(f"{call} took {name}")
    assert not repository.items


# --- leases and idempotency keys ------------------------------------------------------------------------


@HOSTILE_IDS
def test_a_hostile_lease_is_not_found(hostile: str) -> None:
    with pytest.raises(LeaseNotFound):
        Limiter(MemoryRepository()).lease(hostile)


@given(st.text(max_size=300))
@example("a\r\nSet-Cookie: b")
@example('"a\\"b"')
@example("\x00")
def test_an_idempotency_key_is_printable_ascii_or_refused_by_its_name(value: str) -> None:
    try:
        key = read_key([value])
    except InvalidRequest as error:
        refused = error
    else:
        assert key is not None
        assert key.isascii()
        assert key.isprintable()
        assert 1 <= len(key) <= 255
        return
    assert refused.field == IDEMPOTENCY_KEY
    assert refused.reason.isascii()


@given(good_ids, good_ids, st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=255))
def test_the_same_key_of_another_caller_is_another_lease(actor: str, actor_2: str, key: str) -> None:
    assume(actor != actor_2)
    repository = MemoryRepository()
    limiter = Limiter(repository)
    names = {
        limiter.acquire("e", "r", {"rpm": 1}, limits=[RPM], idempotency_key=check_key("key", key), actor=who).id
        for who in (actor, actor_2)
    }
    assert len(names) == 2


@given(st.integers(), st.integers(min_value=0, max_value=6_000))
def test_a_number_of_any_length_is_refused_by_the_name_of_its_field(start: int, digits: int) -> None:
    value = start * 10**digits
    assume(not 0 <= value <= 10)
    with pytest.raises(InvalidRequest) as refused:
        check_integer("consume.rpm", value, 0, 10)
    assert refused.value.field == "consume.rpm"
    assert len(refused.value.reason) < 100


# --- over HTTP ------------------------------------------------------------------------------------------


@pytest.fixture
def functions(moto_client: DynamoDBClient, launch: Launch) -> tuple[Function, Function]:
    return launch("acquire"), launch("admin")


def check_told(response: Response, hostile: str) -> None:
    """Fail unless the answer is a problem that carries nothing hostile in its head, and no key in its body."""
    assert 400 <= response.status < 500, response
    assert response.headers["Content-Type"] == "application/problem+json"
    for name, value in response.headers.items():
        assert f"{name}: {value}".isprintable(), (name, value)
        assert len(hostile) < 2 or hostile not in value
    assert "#STATE" not in response.body.get("detail", "")


PLACES: Final = [
    ("POST", "/acquire", "entity_id"),
    ("POST", "/acquire", "resource"),
    ("POST", "/acquire", "parent_id"),
    ("POST", "/adjust", "entity_id"),
    ("POST", "/adjust", "resource"),
]


@HOSTILE_IDS
def test_in_a_body_it_is_named(hostile: str, functions: tuple[Function, Function]) -> None:
    for method, path, field in PLACES:
        amounts = "adjust" if path == "/adjust" else "consume"
        body = {"entity_id": "e", "resource": "r", amounts: {"rpm": 1}, field: hostile}
        response = functions[0].send(method, path, body)
        check_told(response, hostile)
        assert (response.status, response.body["field"]) == (400, field)


@HOSTILE_IDS
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_in_a_path_it_is_named_or_there_is_no_such_path(
    hostile: str, times: int, functions: tuple[Function, Function], moto_client: DynamoDBClient
) -> None:
    encoded = hostile.encode(errors="surrogatepass")
    segment = quote(encoded, safe="")
    for _ in range(times - 1):
        segment = quote(segment, safe="")
    for path in (f"/entities/{segment}/limits", f"/entities/e/limits/{segment}", f"/resources/{segment}/limits"):
        response = functions[1].send("PUT", path, {"limits": [{"name": "rpm", "amount": 1, "period": "day"}]})
        check_told(response, hostile)
        assert response.status == 404 or response.body["field"] in ("entity_id", "resource", "path")
    assert moto_client.scan(TableName=TABLE_NAME)["Count"] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/entities/a%2Flimits",
        "/entities/a%2flimits",
        "/entities//limits",
        "/entities/a/limits/",
        "/entities/",
        "/entities/a/limits%2F",
        "//entities/a/limits",
        "/entities/%2E/limits",
        "/entities/%2e%2e/limits",
        "/entities/./limits",
        "/entities/../limits",
    ],
)
def test_a_path_that_would_become_another_one_leads_nowhere(
    path: str, functions: tuple[Function, Function]
) -> None:
    functions[1].send("PUT", "/entities/a", {})
    functions[1].send("PUT", "/entities/limits", {})
    response = functions[1].send("DELETE", path)
    assert response.status in (400, 404)
    for entity_id in ("a", "limits"):
        assert functions[1].send("GET", f"/entities/{entity_id}").status == 200


@HOSTILE_IDS
def test_in_a_query_it_is_named(hostile: str, functions: tuple[Function, Function]) -> None:
    value = quote(hostile.encode(errors="surrogatepass"), safe="")
    for path, field in [
        (f"/entities/e/available?resource={value}", "resource"),
        (f"/entities/e/available?resource=r&parent_id={value}", "parent_id"),
        (f"/entities/e/usage?resource={value}", "resource"),
        (f"/audit?scope=entity:{value}", "scope"),
        (f"/entities?cursor={value}", "cursor"),
        (f"/resources/r/usage?limit_name={value}", "limit_name"),
    ]:
        response = functions[1].send("GET", path)
        check_told(response, hostile)
        assert response.body["field"] == field


@HOSTILE_IDS
def test_an_unknown_parameter_or_field_is_named_and_escaped(
    hostile: str, functions: tuple[Function, Function]
) -> None:
    response = functions[0].post({"entity_id": "e", "resource": "r", "consume": {"rpm": 1}, f"x{hostile}": 1})
    check_told(response, hostile)
    assert response.body["field"] == f"x{hostile}"[:100]


@HOSTILE_IDS
def test_as_an_idempotency_key_it_is_a_key_or_named(hostile: str, functions: tuple[Function, Function]) -> None:
    body = {"entity_id": "e", "resource": "r", "consume": {"rpm": 1}}
    response = functions[0].post(body, headers={"Idempotency-Key": hostile})
    # Printable ASCII is a key, and nothing of it is in the answer; there are no limits here.
    is_key = hostile.isascii() and hostile.isprintable() and 1 <= len(hostile) <= 255
    assert response.status == (404 if is_key else 400)
    if not is_key:
        assert response.body["field"] == "Idempotency-Key"
    check_told(response, hostile)


@HOSTILE_IDS
def test_no_id_forges_a_line_of_the_log(
    hostile: str,
    functions: tuple[Function, Function],
    moto_client: DynamoDBClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    moto_client.delete_table(TableName=TABLE_NAME)
    forged = '{"level":"ERROR","message":"forged"}'
    name = f"{hostile}\n{forged}\r\n{forged}"
    cause: Any = RuntimeError(f"a failure that repeats {name}")
    functions[0].module.logger.error("no answer", exc_info=cause, extra={"asked": name})
    functions[0].post({"entity_id": "e", "resource": "r", "consume": {"rpm": 1}}, headers={"X-Forged": name})
    logged = [line for line in lines(capsys) if "level" in line]
    assert [line["message"] for line in logged] == ["no answer", "no answer"]
    assert forged in json.dumps(logged[0]["exception"]).replace('\\"', '"')


def test_an_entity_that_does_not_exist_is_all_that_an_error_repeats() -> None:
    with pytest.raises(NotFound) as refused:
        Limiter(MemoryRepository()).get_entity("key-1")
    assert str(refused.value) == "entity key-1 does not exist"
