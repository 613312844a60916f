"""WorkerService, from Python."""

import uuid
from datetime import timedelta

import grpc
import pytest
from google.rpc import error_details_pb2

from refusal import detail_of, reason_of
from scene import CALL_SECONDS, SOON, Scene
from stint.v1 import job_pb2, lease_pb2, retry_pb2
from stint.v1.worker_service_pb2 import (
    CLAIM_DECISION_ASSIGNED,
    CLAIM_DECISION_EMPTY,
    SETTLEMENT_OUTCOME_ALREADY_APPLIED,
    SETTLEMENT_OUTCOME_APPLIED,
    SETTLEMENT_OUTCOME_NOT_HELD,
    START_MODE_EXPLICIT,
    AckRequest,
    AckSettlement,
    FailRequest,
    FailSettlement,
    HeartbeatRequest,
    LeaseRenewal,
    ReleaseRequest,
    ReleaseSettlement,
    Settlement,
    SettleRequest,
    StartRequest,
)


def test_a_claim_waits_for_a_job(scene: Scene) -> None:
    waiting = scene.workers.Claim.future(scene.claim_request(), timeout=CALL_SECONDS)
    job_id = scene.enqueue(payload=b"in").job.job_id
    answer = waiting.result(CALL_SECONDS)
    assert answer.decision == CLAIM_DECISION_ASSIGNED
    [claimed] = answer.jobs
    assert (claimed.job.job_id, claimed.job.state, claimed.payload) == (job_id, job_pb2.JOB_STATE_RUNNING, b"in")
    assert claimed.lease.attempt == 1
    assert claimed.lease.fence == claimed.job.fence > 0
    assert claimed.lease.heartbeat_interval.ToTimedelta() < claimed.lease.ttl.ToTimedelta()
    assert not claimed.HasField("checkpoint")


def test_a_claim_is_answered_before_the_clients_own_deadline(scene: Scene) -> None:
    answer = scene.workers.Claim(scene.claim_request(wait=timedelta(seconds=60)), timeout=3)
    assert answer.decision == CLAIM_DECISION_EMPTY
    assert not answer.jobs


def test_a_claim_told_to_be_the_same_is_given_its_lease_again(scene: Scene) -> None:
    scene.enqueue()
    scene.enqueue()
    request_id = str(uuid.uuid4())
    first, again, other = [scene.claim_one(request_id=given) for given in (request_id, request_id, "")]
    assert first.lease.lease_token == again.lease.lease_token
    assert first.lease.fence == again.lease.fence
    assert other.job.job_id != first.job.job_id


def test_a_job_may_be_started_after_its_claim(scene: Scene) -> None:
    scene.enqueue()
    claimed = scene.claim_one(start=START_MODE_EXPLICIT)
    assert claimed.job.state == job_pb2.JOB_STATE_LEASED
    started = scene.workers.Start(StartRequest(lease_token=claimed.lease.lease_token), timeout=CALL_SECONDS)
    assert started.job.state == job_pb2.JOB_STATE_RUNNING


def test_a_heartbeat_renews_what_is_held_and_tells_what_is_lost(scene: Scene) -> None:
    scene.enqueue()
    claimed = scene.claim_one()
    renewals = [LeaseRenewal(lease_token=token) for token in (claimed.lease.lease_token, "made-up")]
    request = HeartbeatRequest(worker_id="worker-1", leases=renewals)
    live, lost = scene.workers.Heartbeat(request, timeout=CALL_SECONDS).results
    assert live.WhichOneof("result") == "renewed"
    assert live.renewed.directive == lease_pb2.DIRECTIVE_CONTINUE
    assert live.renewed.ttl == claimed.lease.ttl
    assert live.renewed.expires_at.ToNanoseconds() > claimed.lease.expires_at.ToNanoseconds()
    assert lost.lost.reason == lease_pb2.LEASE_LOST_REASON_NOT_HELD


def test_a_checkpoint_reaches_the_next_attempt(scene: Scene) -> None:
    scene.enqueue(retry=SOON)
    token = scene.claim_one().lease.lease_token
    renewal = LeaseRenewal(lease_token=token, checkpoint=b"half way")
    scene.workers.Heartbeat(HeartbeatRequest(worker_id="worker-1", leases=[renewal]), timeout=CALL_SECONDS)
    scene.workers.Fail(FailRequest(lease_token=token), timeout=CALL_SECONDS)
    again = scene.claim_one()
    assert (again.lease.attempt, again.checkpoint) == (2, b"half way")


def test_an_ack_takes_effect_once(scene: Scene) -> None:
    job_id = scene.enqueue().job.job_id
    token = scene.claim_one().lease.lease_token
    first = scene.workers.Ack(AckRequest(lease_token=token, result=b"first"), timeout=CALL_SECONDS)
    again = scene.workers.Ack(AckRequest(lease_token=token, result=b"second"), timeout=CALL_SECONDS)
    assert first.outcome == SETTLEMENT_OUTCOME_APPLIED
    assert again.outcome == SETTLEMENT_OUTCOME_ALREADY_APPLIED
    ended = scene.await_terminal(job_id)
    assert (ended.state, ended.result) == (job_pb2.JOB_STATE_SUCCEEDED, b"first")


def test_a_failure_is_tried_again_until_it_is_for_good(scene: Scene) -> None:
    job_id = scene.enqueue(retry=SOON).job.job_id
    passing = retry_pb2.Failure(code="smtp.busy", message="try later")
    answer = scene.workers.Fail(
        FailRequest(lease_token=scene.claim_one().lease.lease_token, failure=passing), timeout=CALL_SECONDS
    )
    assert answer.job.state == job_pb2.JOB_STATE_RETRY_WAIT
    assert answer.WhichOneof("consequence") == "retry_scheduled"
    assert answer.retry_scheduled.next_attempt == 2
    assert answer.retry_scheduled.HasField("retry_at")

    for_good = retry_pb2.Failure(code="smtp.refused", kind=retry_pb2.FAILURE_KIND_TERMINAL)
    answer = scene.workers.Fail(
        FailRequest(lease_token=scene.claim_one().lease.lease_token, failure=for_good), timeout=CALL_SECONDS
    )
    assert answer.WhichOneof("consequence") == "dead_lettered"
    ended = scene.await_terminal(job_id)
    assert (ended.state, ended.attempt, ended.failure.code) == (job_pb2.JOB_STATE_FAILED, 2, "smtp.refused")


def test_a_stale_token_changes_nothing(scene: Scene) -> None:
    job_id = scene.enqueue(retry=SOON).job.job_id
    stale = scene.claim_one().lease
    scene.workers.Fail(FailRequest(lease_token=stale.lease_token), timeout=CALL_SECONDS)
    live = scene.claim_one().lease
    assert live.fence > stale.fence
    with pytest.raises(grpc.RpcError) as refused:
        scene.workers.Ack(AckRequest(lease_token=stale.lease_token), timeout=CALL_SECONDS)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refused.value) == "LEASE_LOST"
    assert scene.job(job_id).state == job_pb2.JOB_STATE_RUNNING
    answer = scene.workers.Ack(AckRequest(lease_token=live.lease_token), timeout=CALL_SECONDS)
    assert answer.outcome == SETTLEMENT_OUTCOME_APPLIED


def test_a_released_job_has_spent_nothing(scene: Scene) -> None:
    scene.enqueue()
    token = scene.claim_one().lease.lease_token
    released = scene.workers.Release(ReleaseRequest(lease_token=token), timeout=CALL_SECONDS)
    assert (released.job.state, released.job.attempt) == (job_pb2.JOB_STATE_READY, 0)
    assert scene.claim_one().lease.attempt == 1
    # The one stale token that is no error: there is nothing left to give back.
    unknown = scene.workers.Release(ReleaseRequest(lease_token="made-up"), timeout=CALL_SECONDS)
    assert unknown.outcome == SETTLEMENT_OUTCOME_NOT_HELD
    assert not unknown.HasField("job")


def test_settling_many_refuses_a_bad_one_alone(scene: Scene) -> None:
    for _ in range(3):
        scene.enqueue()
    ack, fail, release = [claimed.lease.lease_token for claimed in scene.claim(max_jobs=3).jobs]
    settlements = [
        Settlement(lease_token=ack, ack=AckSettlement(result=b"out")),
        Settlement(lease_token="made-up", ack=AckSettlement()),
        Settlement(lease_token=fail, fail=FailSettlement()),
        Settlement(lease_token=release, release=ReleaseSettlement()),
    ]
    results = scene.workers.Settle(SettleRequest(settlements=settlements), timeout=CALL_SECONDS).results
    assert [result.WhichOneof("result") for result in results] == ["ack", "error", "fail", "release"]
    assert results[0].ack.job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert detail_of(results[1].error, error_details_pb2.ErrorInfo).reason == "LEASE_LOST"
    assert results[2].fail.job.state == job_pb2.JOB_STATE_RETRY_WAIT
    assert results[3].release.job.state == job_pb2.JOB_STATE_READY
