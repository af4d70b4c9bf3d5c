"""The class that stands before that of a boto3 client, and takes the direct path where it can.

Its methods replace those that ``BaseClient._make_api_call`` calls one after the other, each for a
:class:`~leasegate.repository.direct.requests.Request` alone; whatever else the client is asked for is botocore's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botocore.client import BaseClient

from .handover import attempted, ended
from .path import Detour, DirectPath
from .requests import Request, Sketch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.credentials import ReadOnlyCredentials

    from .path import Way

    class _Client(BaseClient):
        """What botocore's client has besides, and its types leave out."""

        def _make_api_call(self, operation_name: str, api_params: Any) -> dict[str, Any]: ...
        def _emit_api_params(self, *, api_params: Any, operation_model: Any, context: Any) -> Any: ...
        def _resolve_endpoint_ruleset(
            self, operation_model: Any, params: Any, request_context: Any, *more: Any, **named: Any
        ) -> Any: ...
        def _convert_to_request_dict(
            self,
            api_params: Any,
            operation_model: Any,
            endpoint_url: Any,
            context: Any = None,
            *more: Any,
            **named: Any,
        ) -> Any: ...
        def _make_request(self, operation_model: Any, request_dict: Any, request_context: Any) -> Any: ...

else:
    _Client = BaseClient

_DIRECT: Final = "leasegate-direct"
"""Where a call keeps its way and its credentials, in botocore's context of it."""


class DirectCalls(_Client):
    """A DynamoDB client that sends requests of Leasegate's directly, and all others as it always did."""

    def __init__(self, *more: Any, **named: Any) -> None:
        """Build the client as botocore does, and look whether it is as it must be."""
        super().__init__(*more, **named)
        self.direct = DirectPath(self)

    def ask(self, operation: str, request: Request) -> Mapping[str, Any]:
        """Make a call by its operation's name; answers and raises as the client's own method for it does."""
        return self._make_api_call(operation, request)

    def close(self) -> None:
        """End all connections."""
        self.direct.close_connections()
        super().close()

    def _emit_api_params(self, api_params: Any, operation_model: Any, context: Any) -> Any:
        if type(api_params) is Request:
            if self.direct.obstacle(operation_model.name) is None:
                return api_params
            api_params = api_params.parameters()
        return super()._emit_api_params(api_params=api_params, operation_model=operation_model, context=context)

    def _resolve_endpoint_ruleset(
        self,
        operation_model: Any,
        params: Any,
        request_context: Any,
        *more: Any,
        **named: Any,
    ) -> Any:
        if type(params) is Request:
            credentials = self.direct.credentials()
            way = credentials and self._way(operation_model, params, request_context, credentials)
            if way is not None:
                request_context[_DIRECT] = way, credentials
                return way.url, {}, None
            params = params.parameters()
        return super()._resolve_endpoint_ruleset(operation_model, params, request_context, *more, **named)

    def _convert_to_request_dict(
        self,
        api_params: Any,
        operation_model: Any,
        endpoint_url: Any,
        context: Any = None,
        *more: Any,
        **named: Any,
    ) -> Any:
        if type(api_params) is Request:
            if _DIRECT in context:
                return Sketch(api_params, endpoint_url, context)
            api_params = api_params.parameters()
        return super()._convert_to_request_dict(api_params, operation_model, endpoint_url, context, *more, **named)

    def _make_request(self, operation_model: Any, request_dict: Any, request_context: Any) -> Any:
        if type(request_dict) is not Sketch:
            return super()._make_request(operation_model, request_dict, request_context)
        way, credentials = request_context.pop(_DIRECT)
        answer = self.direct.send(way, credentials, request_dict)
        if not isinstance(answer, Detour):
            return answer
        whole = self._whole(operation_model, request_dict.request.parameters(), request_context)
        request_dict.carry_changes_to(whole)
        token = attempted(answer.met)
        try:
            return super()._make_request(operation_model, whole, request_context)
        finally:
            ended(token)

    def _way(
        self,
        operation_model: Any,
        request: Request,
        context: Mapping[str, Any],
        credentials: ReadOnlyCredentials,
    ) -> Way | None:
        """Return the way of an operation; the first time, learn it from a request that botocore prepares."""
        name = operation_model.name
        try:
            return self.direct.way(name, credentials)
        except KeyError:
            parameters, own = request.parameters(), dict(context)
            whole = self._whole(operation_model, dict(parameters), own)
            return self.direct.explore(name, credentials, whole, parameters, own)

    def _whole(self, operation_model: Any, parameters: Any, context: Any) -> dict[str, Any]:
        """Prepare a request as botocore does."""
        url, headers, properties = super()._resolve_endpoint_ruleset(operation_model, parameters, context)
        if properties:
            context["endpoint_properties"] = properties
        whole: dict[str, Any] = super()._convert_to_request_dict(
            api_params=parameters,
            operation_model=operation_model,
            endpoint_url=url,
            context=context,
            headers=headers,
        )
        return whole
