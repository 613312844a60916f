"""A worker, whole: claims jobs that name a file, computes its SHA-256, hands it over as the result.

Run it with: .venv/bin/python examples/python/worker.py QUEUE WORKER_ID [--address HOST:PORT]
"""

import argparse
import asyncio
import logging
import signal
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import grpc

from calls import is_passing, until_answered
from hash_file import Stopped, hash_file
from held_lease import HeldLease
from refusal import reason_of
from stint.v1 import retry_pb2, worker_service_pb2, worker_service_pb2_grpc

log = logging.getLogger(__name__)

CALL_SECONDS = 10.0
CHANNEL_OPTIONS = [
    # gRPC's own default lets two minutes pass between tries to connect.
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Finds out that the other side has vanished without a word.
    ("grpc.keepalive_time_ms", 30_000),
]


class Worker:
    def __init__(self, service: worker_service_pb2_grpc.WorkerServiceStub, options: argparse.Namespace) -> None:
        self.service = service
        self.options = options
        self.leaving = asyncio.Event()

    def leave(self) -> None:
        """Finishes what is held and claims no more."""
        self.leaving.set()
        log.info("leaving")

    async def work(self) -> None:
        """One slot: one job after another, until told to leave. Raises what waiting would not mend."""
        while not self.leaving.is_set():
            # The first try: what is granted later holds longer than is counted on here.
            sent_at = asyncio.get_running_loop().time()
            try:
                answer = await self.claim(sent_at)
            except grpc.RpcError as error:
                if not is_passing(error):
                    raise
                log.warning("cannot claim: %s", describe(error))
                continue
            for claimed in answer.jobs:
                if self.leaving.is_set():
                    await self.release(claimed)
                else:
                    await self.do(claimed, HeldLease(claimed.lease, sent_at))

    async def claim(self, sent_at: float) -> worker_service_pb2.ClaimResponse:
        lease_seconds = self.options.lease
        # The lease's time runs from the sending of the claim and not from its answer, so waiting must not eat it up.
        wait_seconds = lease_seconds / 3
        request = worker_service_pb2.ClaimRequest(
            worker_id=self.options.worker_id,
            queues=[self.options.queue],
            max_jobs=1,
            lease_duration=timedelta(seconds=lease_seconds),
            wait=timedelta(seconds=wait_seconds),
            # Makes a lost answer harmless: the next try is given the same lease.
            request_id=str(uuid.uuid4()),
        )
        loop = asyncio.get_running_loop()
        return await until_answered(
            lambda: self.service.Claim(request, timeout=wait_seconds + CALL_SECONDS),
            goes_on=lambda: not self.leaving.is_set() and loop.time() < sent_at + lease_seconds / 2,
        )

    async def do(self, claimed: worker_service_pb2.ClaimedJob, lease: HeldLease) -> None:
        work = asyncio.create_task(asyncio.to_thread(outcome_of, claimed.payload, lease.stop))
        heartbeats = asyncio.create_task(lease.keep(self.service, self.options.worker_id))
        try:
            async with lease.bound:
                await self.settle(lease.token, await asyncio.shield(work))
        except TimeoutError:
            # It is another worker's: whatever is told of it here would be refused.
            log.warning("the lease of %s is over", claimed.job.job_id)
        except grpc.RpcError as error:
            log.warning("cannot settle %s: %s", claimed.job.job_id, describe(error))
        finally:
            heartbeats.cancel()
            lease.stop.set()
            # A slot is free once its work has stopped, not before.
            await asyncio.wait([work])

    async def settle(self, lease_token: str, outcome: bytes | retry_pb2.Failure) -> None:
        """Safe to repeat: settling again with the same token is answered the same."""
        if isinstance(outcome, retry_pb2.Failure):
            fail = worker_service_pb2.FailRequest(lease_token=lease_token, failure=outcome)
            await until_answered(lambda: self.service.Fail(fail, timeout=CALL_SECONDS))
        else:
            ack = worker_service_pb2.AckRequest(
                lease_token=lease_token,
                result=outcome,
                content_type="application/octet-stream",
            )
            await until_answered(lambda: self.service.Ack(ack, timeout=CALL_SECONDS))

    async def release(self, claimed: worker_service_pb2.ClaimedJob) -> None:
        """Gives back a job that came too late: it keeps its place, and no attempt is spent."""
        request = worker_service_pb2.ReleaseRequest(lease_token=claimed.lease.lease_token)
        try:
            await self.service.Release(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            log.warning("cannot release %s: %s", claimed.job.job_id, describe(error))


def outcome_of(payload: bytes, stop: threading.Event) -> bytes | retry_pb2.Failure:
    try:
        return hash_file(Path(payload.decode()), stop)
    except Stopped:
        return retry_pb2.Failure(code="worker.stopped", message="stopped as asked")
    except (OSError, ValueError) as error:
        return retry_pb2.Failure(code="file.unreadable", message=str(error))


def describe(error: grpc.RpcError) -> str:
    return f"{error.code().name}/{reason_of(error)} {error.details()}"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hashes the files that the jobs of a queue name.")
    parser.add_argument("queue")
    parser.add_argument("worker_id")
    parser.add_argument("--address", default="127.0.0.1:50051", metavar="HOST:PORT")
    parser.add_argument("--slots", type=int, default=4, help="jobs at a time")
    parser.add_argument("--lease", type=float, default=30, metavar="SECONDS")
    return parser.parse_args()


async def main() -> None:
    options = read_options()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(options.slots))
    async with grpc.aio.insecure_channel(options.address, options=CHANNEL_OPTIONS) as channel:
        worker = Worker(worker_service_pb2_grpc.WorkerServiceStub(channel), options)
        # A parked claim is not cancelled: an answer that crosses the cancellation leaves a lease that nobody keeps.
        for reason in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(reason, worker.leave)
        await asyncio.gather(*(worker.work() for _ in range(options.slots)))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(main())
