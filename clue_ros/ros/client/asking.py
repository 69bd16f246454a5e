"""The robot's question to the program's `on_question`, and what that gives to the node's `answer` service.

A plain function is called in a thread of its own: a person takes seconds, and the goal must hear a cancel meanwhile. A
coroutine runs where the program awaits: in asyncio's loop if the goal was sent from there, else in the executor of the
node.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any, Awaitable, Callable, Optional

from rclpy.node import Node

from clue_ros.ros.client.goal import Goal, OnQuestion
from clue_ros.ros.client.outcome import CallOutcome
from clue_ros.ros.client.promise import Promise
from clue_ros.ros.client.requests import answer_request

Send = Callable[[Any], "Promise"]  # srv/Answer request -> promise of a CallOutcome


class Asking:
    """Asks for one goal. `send` sends an answer."""

    def __init__(
        self, node: Node, on_question: OnQuestion, send: Send, loop: Optional[asyncio.AbstractEventLoop]
    ) -> None:
        self._node, self._on_question, self._send, self._loop = node, on_question, send, loop

    def __call__(self, goal: Goal, question: str, number: int) -> None:
        """Returns at once."""
        if inspect.iscoroutinefunction(self._on_question):
            self._schedule(self._on_question(question), goal, number)
            return
        threading.Thread(target=self._call, args=(goal, question, number), name="on_question", daemon=True).start()

    def _call(self, goal: Goal, question: str, number: int) -> None:
        try:
            reply = self._on_question(question)
        except Exception as error:  # of the program: its caller gets it
            goal.fail(error)
            return
        if inspect.isawaitable(reply):
            self._schedule(reply, goal, number)
        else:
            self._give(reply, goal, number)

    def _schedule(self, reply: Awaitable[Any], goal: Goal, number: int) -> None:
        async def play() -> None:
            try:
                self._give(await reply, goal, number)
            except Exception as error:
                goal.fail(error)

        executor = self._node.executor
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(play(), self._loop)
        elif executor is not None:
            executor.create_task(play)
        else:  # spun by hand, now and then: nobody takes tasks
            threading.Thread(target=lambda: asyncio.run(play()), name="on_question", daemon=True).start()

    def _give(self, reply: Any, goal: Goal, number: int) -> None:
        """None: somebody else answers. What comes when another question is open, or none, is dropped: it would answer
        that.
        """
        if reply is None or goal.done or number != len(goal.asked) or not goal.question:
            return
        try:
            request = answer_request(reply)
        except (TypeError, ValueError, AssertionError) as error:  # rclpy checks numbers by assertions
            goal.fail(error)
            return
        promise = self._send(request)
        promise.then(lambda: self._taken(promise.result(), goal))

    def _taken(self, outcome: CallOutcome, goal: Goal) -> None:
        if not outcome.ok:
            goal.reject_answer(outcome.error_msg)
            self._node.get_logger().warning(
                f"the answer to {goal.expression[:80]!r} was not taken: {outcome.error_msg}; the question stays open"
            )
