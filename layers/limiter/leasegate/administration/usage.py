"""Usage: what entities spent, as the stream's aggregator counted it."""

from __future__ import annotations

from ..errors import InvalidRequest
from ..flows import usage
from ..flows.usage import METRICS, Measure, Metric
from ..identifiers import check_identifier, check_integer, check_limit_name
from ..records import Listing, UsageRecord
from ..session import DEFAULT_PAGE_SIZE, Session, check_page_size
from ..windows import LAST_MS, Window, check_window


class UsageReading(Session):
    """Totals by window of time. They are eventually exact: a few seconds behind, by the lag of the aggregator."""

    def usage(
        self,
        entity_id: str,
        resource: str,
        window: Window = "hour",
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        cursor: str | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
    ) -> Listing[UsageRecord]:
        """Return what an entity spent of a resource, window by window; those without usage are left out.

        One round trip, and a read unit for some 10 windows. Of an entity that was deleted there still are totals.

        Args:
            entity_id: who.
            resource: what.
            window: ``"minute"``, ``"hour"``, ``"day"`` or ``"month"``; only those that the aggregator counts by
                have totals.
            start_ms: from the window in which this time lies; by default from the first.
            end_ms: windows that begin before this time; by default up to now.
            cursor: where the page before this one ended.
            page_size: the most windows of a page.
        """
        check_identifier("entity_id", entity_id)
        check_identifier("resource", resource)
        check_window(window)
        first_ms = 0 if start_ms is None else check_integer("start_ms", start_ms, 0, LAST_MS)
        last_ms = self._clock() + 1 if end_ms is None else check_integer("end_ms", end_ms, 0, LAST_MS)
        if end_ms is not None and last_ms <= first_ms:
            raise InvalidRequest("end_ms", "must be later than start_ms")
        flow = usage.read_usage(entity_id, resource, window, first_ms, last_ms, cursor, check_page_size(page_size))
        return self._drive(flow)

    def resource_usage(
        self,
        resource: str,
        window: Window = "day",
        at_ms: int | None = None,
        *,
        by: Metric = "tokens",
        limit_name: str | None = None,
        cursor: str | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
    ) -> Listing[UsageRecord]:
        """Return who spent the most of a resource in one window, most first; equals in the order of their ids.

        All who spent anything are in it, page after page. While a window lasts, an entity may rise or fall between
        one page and the next, and be on both of them or on none.

        It reads an index that lists entities by the size of all that was counted of them: tokens, refusals and
        grants together. So few totals are read where the first by this measure are among the first by that one, as
        they are by tokens: two or three round trips. By what is a small part of all, such as refusals among
        millions of tokens, most totals are read: another round trip for every 2,000. Later pages read those before
        them again.

        Args:
            resource: what.
            window: which length of window.
            at_ms: a time in it; by default now.
            by: what they are ranked by: ``"tokens"`` or ``"refused"``, of all limits together, or ``"grants"``.
            limit_name: rank by the tokens or refusals of this limit alone.
            cursor: where the page before this one ended.
            page_size: the most entities of a page.
        """
        check_identifier("resource", resource)
        check_window(window)
        time_ms = self._clock() if at_ms is None else check_integer("at_ms", at_ms, 0, LAST_MS)
        if by not in METRICS:
            raise InvalidRequest("by", f"must be one of {', '.join(METRICS)}")
        if limit_name is not None and by == "grants":
            raise InvalidRequest("limit_name", "does not go with grants, which are of all limits together")
        measure = Measure(by, None if limit_name is None else check_limit_name("limit_name", limit_name))
        flow = usage.rank_usage(resource, window, time_ms, measure, cursor, check_page_size(page_size))
        return self._drive(flow)
