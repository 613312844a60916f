"""A lease as its worker may trust it."""

import asyncio
import logging
import threading

import grpc

from stint.v1 import lease_pb2, worker_service_pb2, worker_service_pb2_grpc

log = logging.getLogger(__name__)

RETRY_PAUSE_SECONDS = 0.2


class HeldLease:
    """Holds until `ttl` after the request that gave or renewed it was *sent*, by this process's own monotonic clock.

    The database's clock decides, but nobody here can read it; what was sent before it was granted is the safe side.
    """

    def __init__(self, lease: lease_pb2.Lease, sent_at: float) -> None:
        """`sent_at`: the event loop's time when the claim was sent, the first time if it was sent again."""
        self.token = lease.lease_token
        # Set once the work shall stop: the job is to be cancelled, or the lease is gone.
        self.stop = threading.Event()
        # What runs inside ends with TimeoutError when the lease does.
        self.bound = asyncio.timeout_at(sent_at + lease.ttl.ToTimedelta().total_seconds())
        self._interval = lease.heartbeat_interval.ToTimedelta().total_seconds()
        self._sent_at = sent_at

    async def keep(self, service: worker_service_pb2_grpc.WorkerServiceStub, worker_id: str) -> None:
        """Renews the lease until this task is cancelled."""
        loop = asyncio.get_running_loop()
        renewal = worker_service_pb2.LeaseRenewal(lease_token=self.token)
        request = worker_service_pb2.HeartbeatRequest(worker_id=worker_id, leases=[renewal])
        while True:
            # From the sending of the last one: after a claim that waited long, the first heartbeat goes out at once.
            await asyncio.sleep(self._sent_at + self._interval - loop.time())
            sent_at = loop.time()
            try:
                answer = await service.Heartbeat(request, timeout=self._interval)
                self._hear(answer.results[0], sent_at)
            except grpc.RpcError:
                # If none gets through, the lease ends by its own clock.
                await asyncio.sleep(RETRY_PAUSE_SECONDS)

    def _hear(self, result: worker_service_pb2.HeartbeatResult, sent_at: float) -> None:
        if self.bound.expired():
            return
        if result.WhichOneof("result") != "renewed":
            self.bound.reschedule(sent_at)
            return
        self._sent_at = sent_at
        self.bound.reschedule(sent_at + result.renewed.ttl.ToTimedelta().total_seconds())
        if result.renewed.directive == lease_pb2.DIRECTIVE_CANCEL and not self.stop.is_set():
            # Still ours: whoever stops for a cancellation says so with a failure.
            self.stop.set()
            log.info("asked to stop")
