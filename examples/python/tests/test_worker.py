"""The example worker as a process, against the service."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from front import Front, Unavailable, lose_answer, refuse
from processes import Process, Service, start_worker, wait_until
from scene import CALL_SECONDS, SOON, Scene
from slow_file import SlowFile
from stint.v1 import event_service_pb2, job_pb2, lease_pb2, retry_pb2

StartWorker = Callable[..., Process]


@pytest.fixture
def start(scene: Scene) -> Iterator[StartWorker]:
    """Starts a worker of the scene's queue at an address."""
    started: list[Process] = []

    def start_one(address: str, **options: float) -> Process:
        started.append(start_worker(scene.queue, address, **options))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()


@pytest.fixture
def front(channel: grpc.Channel) -> Iterator[Front]:
    front = Front(channel)
    yield front
    front.stop()


@pytest.fixture
def slow_file(tmp_path: Path) -> SlowFile:
    return SlowFile(tmp_path / "slow")


def enqueue_file(scene: Scene, path: Path, **fields: object) -> str:
    return scene.enqueue(payload=str(path).encode(), retry=SOON, **fields).job.job_id


def wait_for_state(scene: Scene, job_id: str, state: int) -> None:
    wait_until(lambda: scene.job(job_id).state == state, f"the job is {job_pb2.JobState.Name(state)}")


def event_types(scene: Scene, job_id: str) -> list[str]:
    request = event_service_pb2.ListEventsRequest(job_id=job_id)
    return [event.type for event in scene.events.ListEvents(request, timeout=CALL_SECONDS).events]


def test_does_the_jobs_of_its_queue_and_leaves_when_told(
    scene: Scene, start: StartWorker, address: str, tmp_path: Path
) -> None:
    files = [tmp_path / str(number) for number in range(10)]
    for number, file in enumerate(files):
        file.write_bytes(bytes(number * 50_000))
    job_ids = [enqueue_file(scene, file) for file in files]
    worker = start(address, slots=3, lease_seconds=6)
    for file, job_id in zip(files, job_ids, strict=True):
        ended = scene.await_terminal(job_id)
        assert (ended.state, ended.attempt) == (job_pb2.JOB_STATE_SUCCEEDED, 1)
        assert ended.result == hashlib.sha256(file.read_bytes()).digest()
    worker.terminate()
    assert worker.wait() == 0


def test_fails_a_job_whose_file_cannot_be_read(scene: Scene, start: StartWorker, address: str, tmp_path: Path) -> None:
    job = scene.enqueue(payload=str(tmp_path / "absent").encode(), retry=retry_pb2.RetryPolicy(max_attempts=1)).job
    start(address)
    ended = scene.await_terminal(job.job_id)
    assert (ended.state, ended.failure.code) == (job_pb2.JOB_STATE_FAILED, "file.unreadable")


def test_keeps_its_lease_for_as_long_as_the_work_takes(
    scene: Scene, start: StartWorker, front: Front, slow_file: SlowFile
) -> None:
    job_id = enqueue_file(scene, slow_file.path)
    start(front.address, lease_seconds=4)
    # One each third of the lease.
    wait_until(lambda: len(front.seen["Heartbeat"]) >= 5, "the first lease would be over")
    slow_file.end()
    assert scene.await_terminal(job_id).state == job_pb2.JOB_STATE_SUCCEEDED
    assert event_types(scene, job_id) == ["enqueued", "claimed", "started", "succeeded"]


def test_stops_when_its_own_clock_says_that_the_lease_is_over(
    scene: Scene, start: StartWorker, front: Front, slow_file: SlowFile
) -> None:
    front.answers["Heartbeat"] = refuse
    job_id = enqueue_file(scene, slow_file.path)
    worker = start(front.address, lease_seconds=2)
    worker.wait_for_line("is over")
    del front.answers["Heartbeat"]
    # Within the grace the service would still take an ack; the worker must not count on it.
    slow_file.end()
    wait_until(lambda: scene.job(job_id).attempt == 2, "the job is claimed again")
    assert not front.seen["Ack"]
    assert not front.seen["Fail"]


def test_counts_a_lease_from_the_sending_of_its_claim(
    scene: Scene, start: StartWorker, front: Front, tmp_path: Path
) -> None:
    lease_seconds = 2.0

    def answer_too_late(request: object, forward: Callable) -> object:
        answer = forward(request)
        time.sleep(lease_seconds)
        return answer

    front.answer_once("Claim", answer_too_late)
    file = tmp_path / "file"
    file.touch()
    enqueue_file(scene, file)
    start(front.address, lease_seconds=lease_seconds).wait_for_line("is over")
    assert not front.seen["Ack"]


def test_stops_and_fails_a_job_that_is_to_be_cancelled(
    scene: Scene, start: StartWorker, front: Front, slow_file: SlowFile
) -> None:
    def cancel(request: object, forward: Callable) -> object:
        answer = forward(request)
        answer.results[0].renewed.directive = lease_pb2.DIRECTIVE_CANCEL
        return answer

    front.answers["Heartbeat"] = cancel
    job = scene.enqueue(payload=str(slow_file.path).encode(), retry=retry_pb2.RetryPolicy(max_attempts=1)).job
    worker = start(front.address, lease_seconds=3)
    worker.wait_for_line("asked to stop")
    slow_file.write(b"more")
    ended = scene.await_terminal(job.job_id)
    assert (ended.state, ended.failure.code) == (job_pb2.JOB_STATE_FAILED, "worker.stopped")


@pytest.mark.parametrize("name", ["Claim", "Ack"])
def test_a_lost_answer_does_no_harm(scene: Scene, start: StartWorker, front: Front, tmp_path: Path, name: str) -> None:
    front.answer_once(name, lose_answer)
    file = tmp_path / "file"
    file.write_bytes(b"content")
    job_id = enqueue_file(scene, file)
    start(front.address)
    ended = scene.await_terminal(job_id)
    assert (ended.state, ended.attempt) == (job_pb2.JOB_STATE_SUCCEEDED, 1)
    wait_until(lambda: len(front.seen[name]) >= 2, f"the {name} is sent again")
    first, again, *_ = front.seen[name]
    assert first == again


def test_outlasts_a_restart_of_the_service(
    start: StartWorker, own_service: Service, scene: Scene, slow_file: SlowFile, tmp_path: Path
) -> None:
    other_file = tmp_path / "other"
    other_file.touch()
    # The other slot claims in vain meanwhile.
    start(own_service.address, slots=2)
    with grpc.insecure_channel(own_service.address) as channel:
        own_scene = Scene(channel)
        own_scene.queue = scene.queue
        held = enqueue_file(own_scene, slow_file.path)
        wait_for_state(own_scene, held, job_pb2.JOB_STATE_RUNNING)
        own_service.stop()
        # What is done meanwhile is told once there is somebody to hear it.
        slow_file.end()
        own_service.start()
        grpc.channel_ready_future(channel).result(CALL_SECONDS)
        ended = own_scene.await_terminal(held)
        assert (ended.state, ended.attempt) == (job_pb2.JOB_STATE_SUCCEEDED, 1)
        other = own_scene.await_terminal(enqueue_file(own_scene, other_file))
        assert (other.state, other.attempt) == (job_pb2.JOB_STATE_SUCCEEDED, 1)
    own_service.stop()


def test_finishes_what_it_holds_and_claims_no_more_once_told_to_leave(
    scene: Scene, start: StartWorker, address: str, slow_file: SlowFile
) -> None:
    held = enqueue_file(scene, slow_file.path)
    worker = start(address)
    wait_for_state(scene, held, job_pb2.JOB_STATE_RUNNING)
    waiting = enqueue_file(scene, slow_file.path)
    worker.terminate()
    worker.wait_for_line("leaving")
    slow_file.write(b"the end")
    slow_file.end()
    assert worker.wait() == 0
    ended = scene.job(held)
    assert (ended.state, ended.result) == (job_pb2.JOB_STATE_SUCCEEDED, hashlib.sha256(b"the end").digest())
    assert event_types(scene, waiting) == ["enqueued"]


def test_gives_back_what_comes_after_it_was_told_to_leave(
    scene: Scene, start: StartWorker, front: Front, tmp_path: Path
) -> None:
    may_answer = threading.Event()

    def answer_late(request: object, forward: Callable) -> object:
        answer = forward(request)
        if not may_answer.wait(CALL_SECONDS):
            raise Unavailable
        return answer

    front.answers["Claim"] = answer_late
    job_id = enqueue_file(scene, tmp_path / "any")
    worker = start(front.address)
    wait_for_state(scene, job_id, job_pb2.JOB_STATE_RUNNING)
    worker.terminate()
    worker.wait_for_line("leaving")
    may_answer.set()
    assert worker.wait() == 0
    given_back = scene.job(job_id)
    assert (given_back.state, given_back.attempt) == (job_pb2.JOB_STATE_READY, 0)
