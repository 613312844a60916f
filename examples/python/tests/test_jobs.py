"""JobService, from Python."""

from datetime import timedelta

import grpc
import pytest
from google.rpc import error_details_pb2

from refusal import detail_of
from scene import CALL_SECONDS, Scene
from stint.v1 import job_pb2, job_service_pb2, worker_service_pb2


def test_an_enqueued_job_is_there_with_all_that_was_given(scene: Scene) -> None:
    answer = scene.enqueue(payload=b"\x00in", content_type="a/b", headers={"h": "v"}, labels={"l": "w"}, priority=-3)
    assert not answer.deduplicated
    request = job_service_pb2.GetJobRequest(job_id=answer.job.job_id, view=job_service_pb2.JOB_VIEW_FULL)
    found = scene.jobs.GetJob(request, timeout=CALL_SECONDS)
    assert found.payload == b"\x00in"
    assert found.content_type == "a/b"
    assert found.job == answer.job
    assert (found.job.state, found.job.priority, found.job.max_attempts) == (job_pb2.JOB_STATE_READY, -3, 10)
    assert (dict(found.job.headers), dict(found.job.labels)) == ({"h": "v"}, {"l": "w"})
    # Zero and not given are told apart.
    assert not found.job.HasField("result")
    assert not found.job.HasField("started_at")


def test_the_same_key_and_content_is_the_same_job(scene: Scene) -> None:
    first = scene.enqueue(idempotency_key="key", payload=b"in")
    second = scene.enqueue(idempotency_key="key", payload=b"in")
    assert (first.deduplicated, second.deduplicated) == (False, True)
    assert second.job == first.job


def test_a_batch_answers_each_job_at_its_place(scene: Scene) -> None:
    known = scene.enqueue(idempotency_key="known").job
    good, bad, again = scene.spec(), scene.spec(), scene.spec(idempotency_key="known")
    bad.queue = "no name"
    request = job_service_pb2.EnqueueBatchRequest(jobs=[good, bad, again])
    taken, refused, found = scene.jobs.EnqueueBatch(request, timeout=CALL_SECONDS).results
    assert [result.WhichOneof("result") for result in (taken, refused, found)] == ["job", "error", "job"]
    assert scene.job(taken.job.job_id).state == job_pb2.JOB_STATE_READY
    assert (found.job.job_id, found.deduplicated) == (known.job_id, True)
    assert refused.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert detail_of(refused.error, error_details_pb2.ErrorInfo).reason == "INVALID_FIELD"
    [violation] = detail_of(refused.error, error_details_pb2.BadRequest).field_violations
    assert violation.field == "jobs[1].queue"


def test_an_await_tells_the_changes_and_ends_with_the_result(scene: Scene) -> None:
    job_id = scene.enqueue().job.job_id
    request = job_service_pb2.AwaitTerminalRequest(job_id=job_id, include_progress=True)
    stream = scene.jobs.AwaitTerminal(request, timeout=CALL_SECONDS)
    assert next(stream).job.state == job_pb2.JOB_STATE_READY
    token = scene.claim_one().lease.lease_token
    assert next(message for message in stream if message.job.state != job_pb2.JOB_STATE_LEASED).job.state == (
        job_pb2.JOB_STATE_RUNNING
    )
    ack = worker_service_pb2.AckRequest(lease_token=token, result=b"out", content_type="c/d")
    scene.workers.Ack(ack, timeout=CALL_SECONDS)
    *_, last = stream
    assert last.terminal
    assert last.job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert (last.job.result, last.job.result_content_type) == (b"out", "c/d")
    assert stream.code() == grpc.StatusCode.OK


def test_an_await_lasts_until_the_clients_own_deadline(scene: Scene) -> None:
    job_id = scene.enqueue().job.job_id
    stream = scene.jobs.AwaitTerminal(job_service_pb2.AwaitTerminalRequest(job_id=job_id), timeout=1)
    with pytest.raises(grpc.RpcError) as refused:
        list(stream)
    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert scene.job(job_id).state == job_pb2.JOB_STATE_READY


def test_a_scheduled_job_waits_for_its_time(scene: Scene) -> None:
    info = scene.jobs.GetServerInfo(job_service_pb2.GetServerInfoRequest(), timeout=CALL_SECONDS)
    run_at = info.database_time.ToDatetime() + timedelta(hours=1)
    job = scene.enqueue(run_at=run_at).job
    assert job.state == job_pb2.JOB_STATE_SCHEDULED
    assert job.run_at.ToDatetime() == run_at
    assert not scene.claim(wait=timedelta(0)).jobs
