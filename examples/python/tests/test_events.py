"""EventService, from Python."""

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from refusal import reason_of
from scene import CALL_SECONDS, Scene
from stint.v1 import job_pb2
from stint.v1.event_service_pb2 import ListEventsRequest, SubscribeRequest, SubscribeResponse
from stint.v1.worker_service_pb2 import AckRequest

TYPES = ["enqueued", "claimed", "started", "succeeded"]


def run_one_job(scene: Scene) -> str:
    job_id = scene.enqueue().job.job_id
    token = scene.claim_one().lease.lease_token
    scene.workers.Ack(AckRequest(lease_token=token, result=b"out"), timeout=CALL_SECONDS)
    return job_id


def list_events(scene: Scene, job_id: str, **fields: object) -> list:
    return list(scene.events.ListEvents(ListEventsRequest(job_id=job_id, **fields), timeout=CALL_SECONDS).events)


def read_until(scene: Scene, count: int, **start: object) -> tuple[list, str]:
    """At least this many events of the queue, and the cursor after the last."""
    stream = scene.events.Subscribe(SubscribeRequest(queue=scene.queue, **start), timeout=CALL_SECONDS)
    events, cursor = [], ""
    for message in stream:
        events += message.events
        cursor = message.cursor
        if len(events) >= count:
            break
    stream.cancel()
    return events, cursor


def test_a_jobs_events_are_numbered_without_a_gap(scene: Scene) -> None:
    job_id = run_one_job(scene)
    events = list_events(scene, job_id)
    assert [(event.sequence, event.type) for event in events] == list(enumerate(TYPES, 1))
    assert [event.WhichOneof("detail") for event in events] == TYPES
    assert events[-1].state == job_pb2.JOB_STATE_SUCCEEDED
    assert list_events(scene, job_id, after_sequence=1, types=["started"]) == events[2:3]


def test_a_subscription_tells_what_the_list_tells_and_goes_on_from_its_cursor(scene: Scene) -> None:
    first_job = run_one_job(scene)
    first, cursor = read_until(scene, 4, from_beginning=Empty())
    assert first == list_events(scene, first_job)
    second_job = run_one_job(scene)
    second, _ = read_until(scene, 4, cursor=cursor)
    assert second == list_events(scene, second_job)


def test_a_subscription_hears_of_what_happens_while_it_is_open(scene: Scene) -> None:
    stream = scene.events.Subscribe(SubscribeRequest(queue=scene.queue, from_beginning=Empty()), timeout=CALL_SECONDS)
    job_id = run_one_job(scene)
    types: list[str] = []
    while types != TYPES:
        message: SubscribeResponse = next(stream)
        assert {event.job_id for event in message.events} <= {job_id}
        types += [event.type for event in message.events]
    stream.cancel()


def test_a_cursor_of_another_scope_is_refused(scene: Scene) -> None:
    run_one_job(scene)
    _, cursor = read_until(scene, 4, from_beginning=Empty())
    with pytest.raises(grpc.RpcError) as refused:
        next(scene.events.Subscribe(SubscribeRequest(everything=Empty(), cursor=cursor), timeout=CALL_SECONDS))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused.value) == "INVALID_FIELD"
