"""The scope of a call: ids, deadlines, cancellation."""

import threading
from contextvars import copy_context

import pytest

from reasoncd.errors import CancelledError, DeadlineError
from reasoncd.rpc.scope import CallScope, current_scope, enter, is_request_id, new_request_id, under

pytestmark = pytest.mark.unit


def test_ids_are_new_and_usable() -> None:
    ids = {new_request_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(is_request_id(each) for each in ids)
    assert CallScope(request_id="mine").request_id == "mine"
    assert CallScope().request_id != CallScope().request_id


@pytest.mark.parametrize("text", ["", "a b", "a\n", "ä", "²", "x" * 65, 'a"', "a/b"])
def test_what_is_no_id(text: str) -> None:
    assert not is_request_id(text)


def test_no_deadline() -> None:
    scope = CallScope()
    assert scope.remaining_s() is None
    scope.check()


def test_a_deadline_passes() -> None:
    scope = CallScope(timeout_s=60)
    remaining = scope.remaining_s()
    assert remaining is not None
    assert 0 < remaining <= 60
    scope.check()
    for late in (0, -5):
        scope = CallScope(timeout_s=late)
        assert scope.remaining_s() == 0
        with pytest.raises(DeadlineError, match="allow more time"):
            scope.check()


def test_cancelling_calls_back_once_and_stays() -> None:
    scope = CallScope(timeout_s=0)
    called: list[str] = []
    with scope.when_cancelled(lambda: called.append("in")):
        with scope.when_cancelled(lambda: called.append("gone")):
            pass
        assert not scope.cancelled
        scope.cancel()
        scope.cancel()
    assert called == ["in"]
    assert scope.cancelled
    # Nobody waits, so the deadline is of no more interest.
    with pytest.raises(CancelledError):
        scope.check()
    with scope.when_cancelled(lambda: called.append("late")):
        assert called == ["in", "late"]
    scope.cancel()
    assert called == ["in", "late"]


def test_one_callback_twice_is_two() -> None:
    scope, called = CallScope(), []
    callback = lambda: called.append(1)  # noqa: E731
    with scope.when_cancelled(callback):
        with scope.when_cancelled(callback):
            pass
        scope.cancel()
    assert called == [1]


def test_a_callback_may_use_the_scope() -> None:
    scope = CallScope()
    seen: list[bool] = []

    def look() -> None:
        with scope.when_cancelled(lambda: seen.append(scope.cancelled)):
            scope.cancel()

    with scope.when_cancelled(look):
        scope.cancel()
    assert seen == [True]


def test_threads_cancel_once() -> None:
    scope = CallScope()
    called: list[int] = []
    with scope.when_cancelled(lambda: called.append(1)):
        threads = [threading.Thread(target=scope.cancel) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert called == [1]


def test_the_current_scope() -> None:
    outer, inner = CallScope(), CallScope()
    assert current_scope() is not current_scope()
    with under(outer):
        with under(inner):
            assert current_scope() is inner
        assert current_scope() is outer
        # A thread has its own, unless it is given this context.
        found: list[CallScope] = []
        context = copy_context()
        for run in (lambda look: look(), context.run):
            thread = threading.Thread(target=run, args=(lambda: found.append(current_scope()),))
            thread.start()
            thread.join()
        assert found[0] is not outer
        assert found[1] is outer
    context = copy_context()
    context.run(enter, inner)
    assert context.run(current_scope) is inner
    assert current_scope() is not inner
