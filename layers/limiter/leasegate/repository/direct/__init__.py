"""The direct path: what an operation on an item needs, and no more of the SDK than that.

A boto3 client spends some 0.8 ms of processor time on a call: it checks and writes the request by the service's
model, finds the endpoint, derives the key of the signature, goes through three layers of HTTP, and parses the
answer by the model again. All of that is the same for every call of a shape, and here it is done once.

:class:`DirectCalls` stands before the class of a boto3 client, below ``_make_api_call``: credentials, endpoint,
error classes, the events around a call, and whatever patches that method (aws_xray_sdk, OpenTelemetry) stay as
they are.

1. :mod:`~leasegate.repository.direct.trust` says whether the SDK is built as it must be for this, and whether
   anybody wants to look into a request on its way. If so, everything takes the standard path.
2. The first request of an operation is prepared by botocore; its address and headers are kept (``client``).
3. Each request after that: a signature (``signing``), one send and one receive (``connections``), one parse
   (``answers``).
4. What comes back and is not plain, an error, silence, becomes the first attempt of botocore's standard path
   (``handover``), which makes out what it means and whether to repeat it.
"""

from __future__ import annotations

from .client import DirectCalls

__all__ = ["DirectCalls"]
