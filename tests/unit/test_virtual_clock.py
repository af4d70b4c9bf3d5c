"""A clock that jumps: who waits least goes on first, one at a time, and work takes no time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from scripts.peers.crowd import CALL_S, Keeper
from scripts.peers.gate import Reply, Request, Send
from scripts.peers.virtual_clock import NS_PER_S, VirtualClock

REQUEST = Request("UpdateItem", {}, b"")
REPLY = Reply(200, {}, b"{}")


def elapsed_s(clock: VirtualClock, since_ns: int) -> float:
    return (clock.time_ns() - since_ns) / NS_PER_S


def test_one_who_waits_alone_goes_on_at_once_and_the_time_is_over() -> None:
    clock = VirtualClock()
    began_ns = clock.time_ns()
    clock.sleep(3_600)
    assert elapsed_s(clock, began_ns) == 3_600


def test_those_who_wait_go_on_by_their_time_and_the_clock_waits_for_who_works() -> None:
    clock = VirtualClock()
    began_ns = clock.time_ns()
    seen: list[tuple[str, float]] = []

    def work(name: str, pause_s: float) -> None:
        clock.sleep(pause_s)
        for _ in range(3):
            seen.append((name, elapsed_s(clock, began_ns)))
            clock.sleep(1)
        clock.leave()

    clock.join(3)
    with ThreadPoolExecutor(3) as pool:
        for name, pause_s in (("c", 0.75), ("a", 0.25), ("b", 0.5)):
            pool.submit(work, name, pause_s)
        clock.leave()
    pauses = {"a": 0.25, "b": 0.5, "c": 0.75}
    assert seen == [(name, turn + pause) for turn in range(3) for name, pause in pauses.items()]


def test_calls_side_by_side_are_counted_each_and_take_the_time_of_one() -> None:
    clock = VirtualClock()
    keeper = Keeper(clock)
    keeper.call_s = CALL_S
    began_ns = clock.time_ns()
    sent: list[float] = []

    def send(_request: Request) -> Reply:
        sent.append(elapsed_s(clock, began_ns))
        return REPLY

    def call(own_send: Send) -> Reply:
        return keeper(REQUEST, own_send)

    with ThreadPoolExecutor(2) as pool:
        clock.join()  # until both are under way, so that the first does not go on without the second
        waiting = [pool.submit(call, send) for _ in range(2)]
        while keeper.calls < 2:
            pass
        clock.leave()
        assert [each.result() for each in waiting] == [REPLY, REPLY]
    assert sent == [CALL_S / 2, CALL_S / 2]
    clock.sleep(0)  # whoever made the calls works again, and nobody else
    assert elapsed_s(clock, began_ns) == CALL_S
    assert keeper.calls == 2
