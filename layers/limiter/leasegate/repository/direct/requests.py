"""A request as it travels: its JSON text is written by this package, once, and not by the SDK."""

from __future__ import annotations

from collections.abc import Mapping
from json import loads
from typing import Any, Final, Self

from ..wire import written


class Request(dict[str, Any]):
    """A request: ``body`` is its JSON text; as a mapping it has the parameters that are the same for its shape.

    Whoever traces calls looks at those (``TableName``). :meth:`parameters` are all of them.
    """

    __slots__ = ("body",)

    def __init__(self, seen: Mapping[str, Any], body: str) -> None:
        """Keep a body, and what may be seen of it at little cost."""
        super().__init__(seen)
        self.body = body

    @classmethod
    def whole(cls, parameters: Mapping[str, Any]) -> Self:
        """Write a request that has no template."""
        return cls(parameters, written(parameters))

    def parameters(self) -> dict[str, Any]:
        """Return all parameters, as a boto3 client takes them."""
        parameters: dict[str, Any] = loads(self.body)
        return parameters


_FORM: Final[Mapping[str, object]] = {
    "url": "",
    "body": "",
    "headers": None,
    "context": None,
    "method": "POST",
    "url_path": "/",
    "query_string": "",
}


class Sketch(dict[str, Any]):
    """What is shown of a request, in botocore's form, to whoever listens before it goes out, without headers."""

    __slots__ = ("request",)

    def __init__(self, request: Request, url: str, context: object) -> None:
        """Show a request that is on its way to ``url``."""
        super().__init__(_FORM)
        self["url"] = url
        self["body"] = request.body
        self["headers"] = {}
        self["context"] = context
        self.request = request

    def is_as_it_was(self, url: str) -> bool:
        """Say whether whoever listened left it alone, but perhaps added headers."""
        return (
            self["url"] == url
            and self["body"] is self.request.body
            and self["method"] == "POST"
            and self["url_path"] == "/"
            and not self["query_string"]
        )

    def carry_changes_to(self, whole: dict[str, Any]) -> None:
        """Do to a request that botocore prepared what whoever listened has done to this one."""
        for name in ("method", "url_path", "query_string", "url"):
            whole[name] = self[name]
        if self["body"] is not self.request.body:
            whole["body"] = self["body"]
        whole["headers"].update(self["headers"])
