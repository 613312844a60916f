"""Three replicas are restarted one after the other: a client as docs/languages.md has it goes on."""

import asyncio
import itertools
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import TypeVar

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from processes import ROOT, Replicas
from refusal import reason_of
from stint.v1 import (
    event_service_pb2,
    event_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    reconnect_pb2,
    worker_service_pb2,
    worker_service_pb2_grpc,
)

ROUNDS = 2
PRODUCERS = 8
CALL_SECONDS = 20.0
PAUSE_SECONDS = 0.02
LEASE = timedelta(seconds=10)
CREDITS = 10

Response = TypeVar("Response")


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    replicas = Replicas()
    yield replicas
    replicas.remove()


class Client:
    """Makes the very same call until it is answered, and keeps account of what it met."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.jobs = job_service_pb2_grpc.JobServiceStub(channel)
        self.workers = worker_service_pb2_grpc.WorkerServiceStub(channel)
        self.events = event_service_pb2_grpc.EventServiceStub(channel)
        self.queue = f"restart-{uuid.uuid4()}"
        # How often each: code and reason of a failure, reason of a `reconnect`.
        self.seen: Counter[str] = Counter()
        # Told to leave: the producers first, then the others.
        self.enough = asyncio.Event()
        self.leaving = asyncio.Event()
        # Between two answers, whatever they answered.
        self.longest_pause = 0.0
        self._answered_at = time.monotonic()

    async def ask(self, call: Callable[[], Awaitable[Response]]) -> Response:
        while True:
            try:
                answer = await call()
            except grpc.RpcError as error:
                await self.bear(error)
                continue
            now = time.monotonic()
            self.longest_pause = max(self.longest_pause, now - self._answered_at)
            self._answered_at = now
            return answer

    async def bear(self, error: grpc.RpcError) -> None:
        """Waits a moment where the same may succeed then; raises what a restart must not cause."""
        self.seen[f"{error.code().name}/{reason_of(error) or error.details()}"] += 1
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            raise error
        await asyncio.sleep(PAUSE_SECONDS)

    def reconnect(self, reason: reconnect_pb2.ReconnectReason) -> None:
        self.seen[f"reconnect/{reconnect_pb2.ReconnectReason.Name(reason)}"] += 1


async def produce(client: Client, ended: set[str]) -> None:
    """Enqueues, and awaits each job that was answered for."""
    while not client.enough.is_set():
        key = str(uuid.uuid4())
        spec = job_pb2.JobSpec(queue=client.queue, idempotency_key=key, payload=key.encode())
        request = job_service_pb2.EnqueueRequest(job=spec)
        answer = await client.ask(lambda request=request: client.jobs.Enqueue(request, timeout=CALL_SECONDS))
        job = await end_of(client, answer.job.job_id)
        assert (job.state, job.result) == (job_pb2.JOB_STATE_SUCCEEDED, key.encode())
        ended.add(job.job_id)


async def end_of(client: Client, job_id: str) -> job_pb2.Job:
    while True:
        try:
            async for message in client.jobs.AwaitTerminal(job_service_pb2.AwaitTerminalRequest(job_id=job_id)):
                if message.terminal:
                    return message.job
        except grpc.RpcError as error:
            await client.bear(error)


def acked(claimed: worker_service_pb2.ClaimedJob) -> worker_service_pb2.Settlement:
    ack = worker_service_pb2.AckSettlement(result=claimed.payload)
    return worker_service_pb2.Settlement(lease_token=claimed.lease.lease_token, ack=ack)


async def claim(client: Client, worker_id: str) -> None:
    """Works by unary calls."""
    while not client.leaving.is_set():
        request = worker_service_pb2.ClaimRequest(
            worker_id=worker_id,
            queues=[client.queue],
            max_jobs=CREDITS,
            wait=timedelta(seconds=2),
            lease_duration=LEASE,
            request_id=str(uuid.uuid4()),
        )
        answer = await client.ask(lambda request=request: client.workers.Claim(request, timeout=CALL_SECONDS))
        if not answer.jobs:
            continue
        settle = worker_service_pb2.SettleRequest(settlements=[acked(job) for job in answer.jobs])
        settled = await client.ask(lambda settle=settle: client.workers.Settle(settle, timeout=CALL_SECONDS))
        assert {result.WhichOneof("result") for result in settled.results} == {"ack"}


async def work(client: Client, worker_id: str) -> None:
    """Works over one stream after the other: what was not answered on one is settled again on the next."""
    unanswered: dict[str, worker_service_pb2.WorkSettle] = {}
    while not client.leaving.is_set() or unanswered:
        requests: asyncio.Queue[worker_service_pb2.WorkRequest | None] = asyncio.Queue()
        leave = asyncio.create_task(say_no_more(client, requests))
        opening = worker_service_pb2.WorkOpen(
            worker_id=worker_id,
            queues=[client.queue],
            credits=0 if client.leaving.is_set() else CREDITS,
            lease_duration=LEASE,
        )
        requests.put_nowait(worker_service_pb2.WorkRequest(open=opening))
        for settle in unanswered.values():
            requests.put_nowait(worker_service_pb2.WorkRequest(settle=settle))
        try:
            async for response in client.workers.Work(said(requests)):
                hear(client, response, requests, unanswered)
        except grpc.RpcError as error:
            await client.bear(error)
        finally:
            leave.cancel()
            requests.put_nowait(None)


async def said(requests: asyncio.Queue) -> AsyncIterator[worker_service_pb2.WorkRequest]:
    while (request := await requests.get()) is not None:
        yield request


async def say_no_more(client: Client, requests: asyncio.Queue) -> None:
    await client.leaving.wait()
    requests.put_nowait(None)


def hear(client: Client, response: worker_service_pb2.WorkResponse, requests: asyncio.Queue, unanswered: dict) -> None:
    match response.WhichOneof("response"):
        case "assigned":
            settlements = [acked(job) for job in response.assigned.jobs]
            settle = worker_service_pb2.WorkSettle(id=str(uuid.uuid4()), settlements=settlements)
            unanswered[settle.id] = settle
            requests.put_nowait(worker_service_pb2.WorkRequest(settle=settle))
        case "settled":
            assert {result.WhichOneof("result") for result in response.settled.results} == {"ack"}
            del unanswered[response.settled.id]
        case "reconnect":
            client.reconnect(response.reconnect.reason)
            requests.put_nowait(None)


class Follower:
    """What was told of each job, in order and without a gap; told again only behind a stream that broke."""

    def __init__(self, client: Client) -> None:
        self.ended: set[str] = set()
        self._client = client
        self._sequences: dict[str, int] = {}
        self._claimed: dict[str, int] = {}
        self._heard = asyncio.Event()

    async def heard_of(self, job_ids: set[str]) -> None:
        while not job_ids <= self.ended:
            self._heard.clear()
            await self._heard.wait()

    async def follow(self) -> None:
        request = event_service_pb2.SubscribeRequest(queue=self._client.queue, from_beginning=Empty())
        while True:
            try:
                async for message in self._client.events.Subscribe(request):
                    for event in message.events:
                        self._hear(event)
                    request = event_service_pb2.SubscribeRequest(queue=self._client.queue, cursor=message.cursor)
                    if message.HasField("reconnect"):
                        self._client.reconnect(message.reconnect.reason)
            except grpc.RpcError as error:
                await self._client.bear(error)

    def _hear(self, event: object) -> None:
        told = self._sequences.get(event.job_id, 0)
        if event.sequence <= told:
            return
        assert event.sequence == told + 1
        self._sequences[event.job_id] = event.sequence
        if event.type == "claimed":
            self._claimed[event.job_id] = event.fence
        elif event.type == "succeeded":
            assert event.job_id not in self.ended
            assert event.fence == self._claimed[event.job_id]
            self.ended.add(event.job_id)
            self._heard.set()


async def ride(replicas: Replicas) -> str:
    service_config = (ROOT / "examples/service-config.json").read_text()
    options = [("grpc.service_config", service_config), ("grpc.max_reconnect_backoff_ms", 2_000)]
    async with grpc.aio.insecure_channel(f"ipv4:{replicas.addresses}", options=options) as channel:
        client = Client(channel)
        follower = Follower(client)
        ended: set[str] = set()
        async with asyncio.TaskGroup() as group:
            following = group.create_task(follower.follow())
            for number, worker in itertools.product(range(2), (claim, work)):
                group.create_task(worker(client, f"{worker.__name__}-{number}"))
            async with asyncio.TaskGroup() as producers:
                for _ in range(PRODUCERS):
                    producers.create_task(produce(client, ended))
                for _ in range(ROUNDS):
                    await asyncio.to_thread(replicas.restart_each)
                client.enough.set()
            # What comes later are claims that wait in vain.
            pause_ms = round(client.longest_pause * 1000)
            await follower.heard_of(ended)
            client.leaving.set()
            following.cancel()
        assert ended
        assert ended == follower.ended
        return f"Python: {len(ended)} jobs, longest pause {pause_ms} ms, seen {dict(client.seen)}"


def test_a_client_of_three_replicas_rides_through_their_restart(replicas: Replicas, figures: list[str]) -> None:
    figures.append(asyncio.run(ride(replicas)))
