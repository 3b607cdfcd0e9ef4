"""The budget of a training run: virtual seconds on a CPU, wall seconds on a GPU.

Wall and CPU time change with whatever else the machine does, so on a CPU the clock adds up what the work
*would* cost:

    seconds = 9e-12 * floating point operations + 1e-10 * bytes read and written + 5e-6 * tensor operations

(fitted to the CPU time of one core with AVX2; views are free). The same steps cost the same at any load, so
the same seed gives the same model to the last bit. A step is counted when it is the first and then every
50th; the steps in between are charged what the last counted one cost. Work outside of steps is charged as it
happens, except that two warm-up passes are free. The clock runs in the process of the candidate, which could
tamper with it: the scorer therefore also holds the CPU time of that process against the virtual seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SECONDS_PER_FLOP = 9e-12
SECONDS_PER_BYTE = 1e-10
SECONDS_PER_OPERATION = 5e-6
RECOUNT_EVERY = 50
FREE_WARMUPS = 2


class Clock:
    """What training may still spend: `while clock.open():` take one step inside `with clock.step(tokens):`."""

    def __init__(self, budget: float, wall: bool = False) -> None:
        self.budget = budget
        self.wall = wall
        self.spent = 0.0
        self.steps = 0
        self.tokens = 0
        self._step_cost = 0.0
        self._warmups = 0
        self._counter = _Counter()

    @property
    def progress(self) -> float:
        """The share of the budget that is spent, from 0 to 1."""
        return min(self.spent / self.budget, 1.0)

    def open(self) -> bool:
        """Whether another whole step brings the total nearer to the budget; the first step is always taken."""
        self._charge()
        return self.steps == 0 or self.spent + self._step_cost / 2 <= self.budget

    @contextmanager
    def step(self, tokens: int) -> Iterator[None]:
        """One optimizer step over `tokens` tokens: everything from drawing the batch to changing the weights."""
        self._charge()
        if self.wall:
            started = _now()
            yield
            self._step_cost = _now() - started
        elif self.steps % RECOUNT_EVERY == 0:
            yield
            self._step_cost = self._counter.take()
        else:
            with self._uncounted():
                yield
        self.spent += self._step_cost
        self.steps += 1
        self.tokens += tokens

    @contextmanager
    def warmup(self) -> Iterator[None]:
        """A pass that is not charged, to fill caches and compile; at most two."""
        if self._warmups == FREE_WARMUPS:
            raise RuntimeError(f"only {FREE_WARMUPS} warm-up passes are free")
        self._warmups += 1
        with self._uncounted():
            yield
        if self.wall:
            _now()

    def __enter__(self) -> Clock:
        if not self.wall:
            self._counter.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.wall:
            self._counter.__exit__(kind, error, trace)
            self._charge()

    def _charge(self) -> None:
        self.spent += self._counter.take()

    @contextmanager
    def _uncounted(self) -> Iterator[None]:
        if self.wall:
            yield
            return
        self._counter.__exit__(None, None, None)
        try:
            yield
        finally:
            self._counter.__enter__()


def _now() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


class _Counter(TorchDispatchMode):
    """Adds up the cost of each tensor operation, backward passes included, while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled under this counter, and the default imports torch._dynamo, a CPU second

    def take(self) -> float:
        seconds, self.seconds = self.seconds, 0.0
        return seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not (func.is_view or func in FREE):
            moved = _bytes(args) + _bytes(result) + (_bytes(tuple(kwargs.values())) if kwargs else 0)
            flops = _flops(func.overloadpacket, args, result)
            self.seconds += SECONDS_PER_FLOP * flops + SECONDS_PER_BYTE * moved + SECONDS_PER_OPERATION
        return result


aten = torch.ops.aten
FREE = frozenset(
    {aten._unsafe_view.default, aten.empty.memory_format, aten.empty_like.default, aten.lift_fresh.default}
)
SCALED_DOT_PRODUCT = {
    aten._scaled_dot_product_flash_attention_for_cpu: (4, 0),  # FLOPs per query, key and channel; index of the query
    aten._scaled_dot_product_flash_attention_for_cpu_backward: (10, 1),
}


def _bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, (list, tuple)):
        return sum(_bytes(item) for item in value)
    return 0


def _flops(operation: Any, args: Any, result: Any) -> int:
    """Multiplications and additions of matrix products and attention; all else is priced by its bytes."""
    if operation in (aten.mm, aten.bmm):
        return int(2 * result.numel() * args[0].shape[-1])
    if operation in (aten.addmm, aten.baddbmm):
        return int(2 * result.numel() * args[1].shape[-1])
    if operation in SCALED_DOT_PRODUCT:
        factor, first = SCALED_DOT_PRODUCT[operation]
        query, key = args[first], args[first + 1]
        return int(factor * query.numel() * key.shape[-2])
    if operation is aten.convolution:
        return int(2 * result.numel() * args[1].numel() // args[1].shape[0])
    if operation is aten.convolution_backward:
        return int(4 * args[0].numel() * args[2].numel() // args[2].shape[0])
    return 0
