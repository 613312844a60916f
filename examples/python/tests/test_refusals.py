"""What a refusal says, read with grpcio-status."""

import asyncio

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from processes import Service
from refusal import detail_of, reason_of
from scene import CALL_SECONDS, Scene
from stint.v1 import error_reason_pb2, job_pb2, job_service_pb2, job_service_pb2_grpc, reconnect_pb2
from stint.v1.event_service_pb2 import SubscribeRequest
from stint.v1.job_service_pb2 import AwaitTerminalRequest
from stint.v1.worker_service_pb2 import CLAIM_DECISION_EMPTY


def rich_status(error: grpc.RpcError) -> status_pb2.Status:
    """Found, sound, and of a reason that the contract tells of."""
    status = rpc_status.from_call(error)
    assert status is not None
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info = detail_of(status, error_details_pb2.ErrorInfo)
    assert info.domain == "stint"
    error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{info.reason}")
    return status


def refused(call: object, request: object) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo, status_pb2.Status]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=CALL_SECONDS)
    status = rich_status(caught.value)
    return caught.value.code(), detail_of(status, error_details_pb2.ErrorInfo), status


def test_a_bad_request_names_each_bad_field(scene: Scene) -> None:
    spec = job_pb2.JobSpec(queue="no name", type="é")
    code, info, status = refused(scene.jobs.Enqueue, job_service_pb2.EnqueueRequest(job=spec))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    violations = detail_of(status, error_details_pb2.BadRequest).field_violations
    assert {violation.field for violation in violations} == {"job.queue", "job.type"}
    assert all(violation.description for violation in violations)


def test_an_unknown_job_is_named(scene: Scene) -> None:
    job_id = "0199c2f4-6a3e-7c1b-9d55-0c1f6f0a7b21"
    code, info, _ = refused(scene.jobs.GetJob, job_service_pb2.GetJobRequest(job_id=job_id))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
    assert dict(info.metadata) == {"job_id": job_id}


def test_asyncio_reads_the_reason_too(address: str) -> None:
    async def read_reason() -> str:
        async with grpc.aio.insecure_channel(address) as channel:
            jobs = job_service_pb2_grpc.JobServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                await jobs.GetJob(job_service_pb2.GetJobRequest(job_id="unknown"), timeout=CALL_SECONDS)
            return reason_of(caught.value)

    assert asyncio.run(read_reason()) == "INVALID_FIELD"


def test_a_refusal_that_is_not_the_services_has_no_reason() -> None:
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            jobs.GetServerInfo(job_service_pb2.GetServerInfoRequest(), timeout=CALL_SECONDS)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert reason_of(caught.value) == ""


def test_a_duplicate_names_the_job_that_holds_the_key(scene: Scene) -> None:
    holder = scene.enqueue(idempotency_key="key", payload=b"one").job
    request = job_service_pb2.EnqueueRequest(job=scene.spec(idempotency_key="key", payload=b"other"))
    code, info, _ = refused(scene.jobs.Enqueue, request)
    assert (code, info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "DUPLICATE_JOB")
    assert info.metadata["job_id"] == holder.job_id


def test_a_shutdown_ends_every_wait_and_says_when_to_come_back(own_service: Service) -> None:
    with grpc.insecure_channel(own_service.address) as channel:
        scene = Scene(channel)
        job_id = scene.enqueue().job.job_id
        subscription = scene.events.Subscribe(
            SubscribeRequest(queue=scene.queue, from_beginning=Empty()), timeout=CALL_SECONDS
        )
        next(subscription)
        awaited = scene.jobs.AwaitTerminal(AwaitTerminalRequest(job_id=job_id), timeout=CALL_SECONDS)
        assert not next(awaited).terminal
        scene.claim()
        parked = scene.workers.Claim.future(scene.claim_request(), timeout=CALL_SECONDS)
        # Answered after the parked claim was sent on the same connection, so that has arrived.
        scene.job(job_id)
        own_service.terminate()

        assert parked.result().decision == CLAIM_DECISION_EMPTY
        *_, last = subscription
        assert last.cursor
        assert last.reconnect.reason == reconnect_pb2.RECONNECT_REASON_SHUTTING_DOWN
        with pytest.raises(grpc.RpcError) as caught:
            list(awaited)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        status = rich_status(caught.value)
        assert detail_of(status, error_details_pb2.ErrorInfo).reason == "SHUTTING_DOWN"
        delay = detail_of(status, error_details_pb2.RetryInfo).retry_delay
        assert delay.ToTimedelta().total_seconds() > 0
    own_service.stop()
