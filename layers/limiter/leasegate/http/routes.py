"""The routes: what the API answers, at which path, with what.

One table, of which the functions take their routing, ``scripts/openapi.py`` the OpenAPI document, and tests what
there is to try. Names of bodies and answers are those of :mod:`leasegate.http.schemas`.
"""

from __future__ import annotations

from typing import Final

from .idempotency import IDEMPOTENCY_KEY
from .routing import Parameter, Route

_PAGE: Final = (
    Parameter("cursor", "Cursor", "Where the page before ended; without it, the first page."),
    Parameter("page_size", "PageSize", "The most items of the page."),
)

_KEY: Final = Parameter(IDEMPOTENCY_KEY, "IdempotencyKey", "Makes it safe to repeat: it happens once under a key.")

_LEASE: Final = "/leases/{lease_id}"
_ENTITY: Final = "/entities/{entity_id}"
_ENTITY_LIMITS: Final = f"{_ENTITY}/limits"
_ENTITY_RESOURCE_LIMITS: Final = f"{_ENTITY}/limits/{{resource}}"
_RESOURCE: Final = "/resources/{resource}"
_RESOURCE_LIMITS: Final = f"{_RESOURCE}/limits"
_SYSTEM_LIMITS: Final = "/system/limits"

SPENDING: Final = (
    Route(
        "POST",
        "/acquire",
        "acquire",
        "Spend tokens of an entity for a resource, and of all its ancestors, or refuse.",
        {200: "Grant"},
        (403, 404, 422, 429),
        headers=(_KEY,),
        body="Acquire",
    ),
    Route(
        "POST",
        "/acquire/batch",
        "acquire_batch",
        "Answer up to 25 acquires at once, each by itself.",
        {200: "Verdicts"},
        instead_of_key="give each of the requests its idempotency_key",
        body="AcquireBatch",
    ),
    Route(
        "POST",
        f"{_LEASE}/settle",
        "settle_lease",
        "End a durable lease with what was really used; once.",
        {200: "LeaseEnd"},
        (404, 409),
        body="Settlement",
        needs_body=False,
    ),
    Route(
        "POST",
        f"{_LEASE}/release",
        "release_lease",
        "End a durable lease and give everything back; once.",
        {200: "LeaseEnd"},
        (404, 409),
        body="Nothing",
        needs_body=False,
    ),
    Route(
        "POST",
        f"{_LEASE}/renew",
        "renew_lease",
        "Let a durable lease go on, and hold its places under concurrency limits.",
        {200: "Renewal"},
        (404, 409),
        body="RenewLease",
        needs_body=False,
    ),
    Route(
        "POST",
        "/adjust",
        "adjust",
        "Correct what an entity and its ancestors spent, without a lease; what is not there becomes debt.",
        {200: "Standing"},
        (404, 422),
        headers=(_KEY,),
        body="Adjust",
    ),
)

ADMINISTRATION: Final = (
    # entities
    Route("GET", "/entities", "list_entities", "List the entities without a parent.", {200: "Names"}, query=_PAGE),
    Route("GET", _ENTITY, "get_entity", "Show an entity.", {200: "Entity"}, (404,)),
    Route(
        "PUT",
        _ENTITY,
        "put_entity",
        "Create an entity, or replace its parent, name and metadata.",
        {200: "Entity", 201: "Entity"},
        (404, 409),
        body="EntityFields",
    ),
    Route(
        "PATCH",
        _ENTITY,
        "update_entity",
        "Change what is given of an entity, by a JSON merge patch: null removes. A new parent_id moves it.",
        {200: "Entity"},
        (404, 409),
        body="EntityChanges",
    ),
    Route(
        "DELETE",
        _ENTITY,
        "delete_entity",
        "Delete an entity, its limits and its buckets. 202 means that time ran out: repeat the request.",
        {202: "Deletion", 204: None},
        (404, 409),
        query=(Parameter("children", "Children", "What becomes of its children."),),
    ),
    Route(
        "GET", f"{_ENTITY}/children", "list_children", "List an entity's children.", {200: "Names"}, query=_PAGE
    ),
    Route(
        "GET", f"{_ENTITY}/buckets", "list_buckets", "List an entity's buckets.", {200: "Buckets"}, (404,), _PAGE
    ),
    Route(
        "GET",
        f"{_ENTITY}/resolution",
        "resolve_limits",
        "Say which limits hold for an entity and a resource, and why.",
        {200: "Resolution"},
        query=(Parameter("resource", "Identifier", "The resource.", is_required=True),),
    ),
    Route(
        "GET",
        f"{_ENTITY}/available",
        "available",
        "Say what an entity and its ancestors have left of a resource; nothing is spent.",
        {200: "Standing"},
        (403, 404),
        query=(
            Parameter("resource", "Identifier", "The resource.", is_required=True),
            Parameter("parent_id", "Identifier", "A hint for the first read, never trusted."),
        ),
    ),
    Route(
        "GET",
        f"{_ENTITY}/usage",
        "list_usage",
        "List what an entity spent of a resource, window by window; those without usage are left out.",
        {200: "Usage"},
        query=(
            Parameter("resource", "Identifier", "The resource.", is_required=True),
            Parameter("window", "Window", "How long the windows are; by default an hour."),
            Parameter("from", "Time", "From the window in which this is; by default from the first."),
            Parameter("to", "Time", "Windows that begin before this; by default up to now."),
            *_PAGE,
        ),
    ),
    Route(
        "POST",
        f"{_ENTITY}/disable",
        "disable_entity",
        "Let an entity spend nothing, of one resource or of all.",
        {200: "Switch"},
        (404, 409),
        body="EntitySwitch",
        needs_body=False,
    ),
    Route(
        "POST",
        f"{_ENTITY}/enable",
        "enable_entity",
        "Let an entity spend again, of one resource or of all.",
        {200: "Switch"},
        (404, 409),
        body="EntitySwitch",
        needs_body=False,
    ),
    Route(
        "POST",
        f"{_ENTITY}/reset",
        "reset",
        "Fill up the bucket of an entity and a resource, debts forgiven.",
        {200: "Replenishment"},
        (404, 409, 422),
        instead_of_key="give an operation_id",
        body="Reset",
    ),
    Route(
        "POST",
        f"{_ENTITY}/top-up",
        "top_up",
        "Add tokens to the bucket of an entity and a resource, never to more than full.",
        {200: "Replenishment"},
        (404, 409, 422),
        instead_of_key="give an operation_id",
        body="TopUp",
    ),
    Route(
        "POST",
        f"{_ENTITY}/finish-changes",
        "finish_changes",
        "Finish changes of an entity that has_pending_changes; to repeat the change does so too.",
        {204: None},
        body="Nothing",
        needs_body=False,
    ),
    # limits of entities
    Route(
        "GET",
        _ENTITY_LIMITS,
        "get_entity_limits",
        "Show an entity's limits for all resources that it has no others for.",
        {200: "Limits"},
        (404,),
    ),
    Route(
        "PUT",
        _ENTITY_LIMITS,
        "set_entity_limits",
        "Limit an entity for all resources that it has no other limits for; its next acquire obeys.",
        {200: "Limits"},
        (409,),
        body="SetLimits",
    ),
    Route("DELETE", _ENTITY_LIMITS, "delete_entity_limits", "Delete an entity's limits.", {204: None}, (404, 409)),
    Route(
        "GET",
        f"{_ENTITY}/limits-by-resource",
        "list_limits",
        "List all limits that are set on an entity, those for all resources first.",
        {200: "LimitsByResource"},
        query=_PAGE,
    ),
    Route(
        "GET",
        _ENTITY_RESOURCE_LIMITS,
        "get_entity_resource_limits",
        "Show an entity's limits for one resource.",
        {200: "Limits"},
        (404,),
    ),
    Route(
        "PUT",
        _ENTITY_RESOURCE_LIMITS,
        "set_entity_resource_limits",
        "Limit an entity for one resource; its next acquire obeys.",
        {200: "Limits"},
        (409,),
        body="SetLimits",
    ),
    Route(
        "DELETE",
        _ENTITY_RESOURCE_LIMITS,
        "delete_entity_resource_limits",
        "Delete an entity's limits for one resource.",
        {204: None},
        (404, 409),
    ),
    # resources
    Route(
        "GET",
        "/resources",
        "list_resources",
        "List the resources that have defaults.",
        {200: "Names"},
        query=(Parameter("consistent", "Flag", "false costs half, and may miss what just changed."),),
    ),
    Route("GET", _RESOURCE, "get_resource", "Show a resource's defaults, and its switch.", {200: "Resource"}),
    Route(
        "GET",
        f"{_RESOURCE}/usage",
        "rank_usage",
        "List who spent a resource in one window, those who spent the most first.",
        {200: "Usage"},
        query=(
            Parameter("window", "Window", "How long the window is; by default a day."),
            Parameter("at", "Time", "A time in the window; by default now."),
            Parameter("by", "Metric", "What they are ranked by, of all limits together."),
            Parameter("limit_name", "LimitName", "Rank by the tokens or the refusals of this limit alone."),
            *_PAGE,
        ),
    ),
    Route("GET", _RESOURCE_LIMITS, "get_resource_limits", "Show a resource's defaults.", {200: "Limits"}, (404,)),
    Route(
        "PUT",
        _RESOURCE_LIMITS,
        "set_resource_limits",
        "Limit, for a resource, every entity that has no limits of its own; obeyed within seconds.",
        {200: "Limits"},
        body="SetLimits",
    ),
    Route(
        "DELETE", _RESOURCE_LIMITS, "delete_resource_limits", "Delete a resource's defaults.", {204: None}, (404,)
    ),
    Route(
        "POST",
        f"{_RESOURCE}/disable",
        "disable_resource",
        "Let nobody spend a resource, within seconds.",
        {200: "Switch"},
        body="Nothing",
        needs_body=False,
    ),
    Route(
        "POST",
        f"{_RESOURCE}/enable",
        "enable_resource",
        "Let a resource be spent again, within seconds.",
        {200: "Switch"},
        body="Nothing",
        needs_body=False,
    ),
    # the system
    Route("GET", _SYSTEM_LIMITS, "get_system_limits", "Show the system's defaults.", {200: "Limits"}, (404,)),
    Route(
        "PUT",
        _SYSTEM_LIMITS,
        "set_system_limits",
        "Limit whatever no other level limits; obeyed within seconds.",
        {200: "Limits"},
        body="SetLimits",
    ),
    Route("DELETE", _SYSTEM_LIMITS, "delete_system_limits", "Delete the system's defaults.", {204: None}, (404,)),
    Route(
        "GET",
        "/audit",
        "list_audit",
        "List the changes of the last 90 days, the latest first.",
        {200: "AuditRecords"},
        query=(
            Parameter("scope", "Scope", "What was changed.", is_required=True),
            *_PAGE,
        ),
    ),
)

ROUTES: Final = (*SPENDING, *ADMINISTRATION)
