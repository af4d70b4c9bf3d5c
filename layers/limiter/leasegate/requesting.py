"""What is asked for: the arguments of an acquire, checked, as the flows take them."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from .durable import MAX_EXPIRES_S, owner_of
from .errors import InvalidRequest
from .flows.grants import Ask, Cascade, OnExpiry, Terms, check_cascade
from .identifiers import check_amounts, check_identifier, check_integer
from .limits import Limit, Limits, index_limits

type Durable = bool | Literal["if_held"]

_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AcquireRequest:
    """One of many acquires; the fields are the arguments of :meth:`Spender.acquire`."""

    entity_id: str
    resource: str
    consume: Mapping[str, int]
    limits: Iterable[Limit] | None = None
    parent_id: str | None = None
    cascade: Cascade = True
    idempotency_key: str | None = None
    durable: Durable = False
    expires_in: int | None = None
    on_expiry: OnExpiry | None = None

    @property
    def is_durable(self) -> bool:
        """Whether the lease is stored, whatever it holds: it was asked for, or an idempotency key needs it."""
        return self.durable is True or self.idempotency_key is not None


def ask_for(request: AcquireRequest, actor: str, now_ms: int) -> Ask:
    """Return what a request asks for, in the name of ``actor``; raise :class:`InvalidRequest` naming a field."""
    entity_id = check_identifier("entity_id", request.entity_id)
    parent_id = None if request.parent_id is None else check_identifier("parent_id", request.parent_id)
    if parent_id == entity_id:
        raise InvalidRequest("parent_id", f"{entity_id} is its own ancestor")
    resource = check_identifier("resource", request.resource)
    consume = check_amounts("consume", request.consume)
    limits = None if request.limits is None else index_limits(request.limits)
    cascade = check_cascade(request.cascade)
    terms = _terms(request, actor, now_ms)
    if terms is not None:
        what = (entity_id, resource, sorted(consume.items()), _described(limits), parent_id, cascade)
        terms = replace(terms, fingerprint=_digest(repr((*what, request.expires_in, request.on_expiry))))
    return Ask(entity_id, resource, consume, limits, parent_id, cascade, terms)


def keyed_terms(key: str | None, what: object, actor: str) -> Terms | None:
    """Return the terms under which something else than a lease is done once; None without a key."""
    if key is None:
        return None
    check_key("idempotency_key", key)
    owner = owner_of(actor)
    return Terms(_keyed_name(owner, key), owner, _digest(repr(what)), key)


def check_key(field: str, value: object) -> str:
    """Return ``value`` if it can be an idempotency key; raise :class:`InvalidRequest` if not."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise InvalidRequest(field, "must be 1 to 255 printable ASCII characters")
    return value


def _terms(request: AcquireRequest, actor: str, now_ms: int) -> Terms | None:
    """Return the terms of a lease that is durable, or may be, without the fingerprint."""
    if request.durable not in (True, False, "if_held"):
        raise InvalidRequest("durable", 'must be true, false or "if_held"')
    if request.expires_in is not None:
        check_integer("expires_in", request.expires_in, 1, MAX_EXPIRES_S)
        if not request.is_durable:
            raise InvalidRequest("expires_in", "is for durable leases: it takes durable, or an idempotency key")
    if request.on_expiry not in (None, "release", "keep"):
        raise InvalidRequest("on_expiry", 'must be "release" or "keep"')
    if request.on_expiry is not None and request.expires_in is None:
        raise InvalidRequest("on_expiry", "is for leases that expire: it takes expires_in")
    if not request.is_durable and request.durable != "if_held":
        return None
    key = None if request.idempotency_key is None else check_key("idempotency_key", request.idempotency_key)
    owner = owner_of(actor)
    return Terms(
        lease=_encode(os.urandom(16)) if key is None else _keyed_name(owner, key),
        owner=owner,
        fingerprint="",
        key=key,
        ends_at_ms=None if request.expires_in is None else now_ms + request.expires_in * 1000,
        on_expiry=request.on_expiry or "release",
        only_if_held=not request.is_durable,
    )


def _described(limits: Limits | None) -> object:
    return None if limits is None else [limit.describe() for limit in limits.values()]


def _keyed_name(owner: str, key: str) -> str:
    return _encode(hashlib.blake2b(f"{owner} {key}".encode(), digest_size=16).digest())


def _digest(text: str) -> str:
    return _encode(hashlib.blake2b(text.encode(), digest_size=12).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
