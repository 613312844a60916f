"""A world of its own for a test: a queue that nobody else uses, with a client of each service."""

import uuid
from datetime import timedelta

import grpc

from stint.v1 import (
    event_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    retry_pb2,
    worker_service_pb2,
    worker_service_pb2_grpc,
)

# Nothing here takes long; what hangs shall fail by name.
CALL_SECONDS = 30.0

SOON = retry_pb2.RetryPolicy(initial_backoff=timedelta(milliseconds=1), jitter=False)


class Scene:
    def __init__(self, channel: grpc.Channel) -> None:
        self.jobs = job_service_pb2_grpc.JobServiceStub(channel)
        self.workers = worker_service_pb2_grpc.WorkerServiceStub(channel)
        self.events = event_service_pb2_grpc.EventServiceStub(channel)
        self.queue = f"python-{uuid.uuid4()}"

    def spec(self, **fields: object) -> job_pb2.JobSpec:
        return job_pb2.JobSpec(queue=self.queue, type="test", **fields)

    def enqueue(self, **fields: object) -> job_service_pb2.EnqueueResponse:
        return self.jobs.Enqueue(job_service_pb2.EnqueueRequest(job=self.spec(**fields)), timeout=CALL_SECONDS)

    def job(self, job_id: str) -> job_pb2.Job:
        return self.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=job_id), timeout=CALL_SECONDS).job

    def claim_request(self, **fields: object) -> worker_service_pb2.ClaimRequest:
        fields = {"worker_id": "worker-1", "wait": timedelta(seconds=20), **fields}
        return worker_service_pb2.ClaimRequest(queues=[self.queue], **fields)

    def claim(self, **fields: object) -> worker_service_pb2.ClaimResponse:
        return self.workers.Claim(self.claim_request(**fields), timeout=CALL_SECONDS)

    def claim_one(self, **fields: object) -> worker_service_pb2.ClaimedJob:
        [claimed] = self.claim(**fields).jobs
        return claimed

    def await_terminal(self, job_id: str) -> job_pb2.Job:
        request = job_service_pb2.AwaitTerminalRequest(job_id=job_id)
        *_, last = self.jobs.AwaitTerminal(request, timeout=120)
        assert last.terminal
        return last.job
