"""Several runs at a time: worker processes that are told run by run what to do.

The first arm of a task and replicate measures the baseline; the others of that pair begin when it has ended, whatever
it came to. A worker whose parent is gone stops what it does and ends.
"""

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType
from typing import IO, Any

from bilevel.compare.folder import Folder, Job, write_text
from bilevel.errors import Stopped


class Worker:
    """A process that does one run at a time, and says on a line of its output how it ended."""

    def __init__(self, folder: Folder, lock: int, replies: "queue.Queue[tuple[Worker, dict[str, Any] | None]]") -> None:
        command = [sys.executable, "-m", "bilevel.compare.worker", str(folder.path)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, pass_fds=(lock,)
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.asked = self.process.stdin
        self.job: Job | None = None
        threading.Thread(target=self._listen, args=(self.process.stdout, replies), daemon=True).start()

    def do(self, job: Job) -> None:
        self.job = job
        self.asked.write(json.dumps({"task": job.task, "replicate": job.replicate, "arm": job.arm}) + "\n")
        self.asked.flush()

    def _listen(self, lines: IO[str], replies: "queue.Queue[tuple[Worker, dict[str, Any] | None]]") -> None:
        for line in lines:
            replies.put((self, json.loads(line)))
        replies.put((self, None))


class Workers:
    """A number of workers, ended at the end of the block. A stop of this process is passed on to them.

    They hold the comparison's lock too: after a kill of this process nobody else begins before they have ended."""

    def __init__(self, folder: Folder, lock: int, count: int) -> None:
        self.folder, self.lock, self.count = folder, lock, count
        self._replies: queue.Queue[tuple[Worker, dict[str, Any] | None]] = queue.Queue()
        self._workers: list[Worker] = []
        self._stopped = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Workers":
        if threading.current_thread() is threading.main_thread():
            self._handlers = {n: signal.signal(n, self._stop) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for worker in self._workers:
            worker.asked.close()  # it ends
        for worker in self._workers:
            worker.process.wait()

    def run(self, left: Sequence[Job]) -> Iterator[Job]:
        """The jobs as they end. Raises Stopped once all that was under way has ended after a stop."""
        waiting, leading = list(left), {job.pair for job in left if job.leads}
        idle = [self._start() for _ in range(self.count)]
        while waiting or len(idle) < len(self._workers):
            for job in [] if self._stopped else [job for job in waiting if job.leads or job.pair not in leading]:
                if idle:
                    waiting.remove(job)
                    idle.pop().do(job)
            if self._stopped and len(idle) == len(self._workers):
                raise Stopped("stopped; what is finished is stored")
            worker, reply = self._replies.get()
            ended, worker.job = worker.job, None
            if reply is None:
                self._workers.remove(worker)
                worker = self._replaced(worker, ended)
            idle.append(worker)
            if reply is not None and reply.get("stopped"):
                self._stopped = True
            elif ended is not None:
                if ended.leads:
                    leading.discard(ended.pair)
                yield ended

    def _start(self) -> Worker:
        worker = Worker(self.folder, self.lock, self._replies)
        self._workers.append(worker)
        return worker

    def _replaced(self, worker: Worker, job: Job | None) -> Worker:
        """A new worker for one that ended by itself, which is the failure of its run."""
        code = worker.process.wait()
        if job is not None:
            write_text(self.folder.failure_file(job), f"its process ended with exit code {code}\n")
        return self._start()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True
        for worker in self._workers:
            if worker.job is not None and worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
