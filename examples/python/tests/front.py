"""A gRPC server between a worker and the service: passes calls on, unless a test wants one answered otherwise."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import grpc
from google.protobuf.message import Message

from stint.v1 import worker_service_pb2_grpc

Forward = Callable[[Message], Message]
# Answers a request; may raise Unavailable, before or after it has passed it on.
Answer = Callable[[Message, Forward], Message]


class Unavailable(Exception):
    """The worker gets UNAVAILABLE."""


def refuse(_request: Message, _forward: Forward) -> NoReturn:
    raise Unavailable


def lose_answer(request: Message, forward: Forward) -> NoReturn:
    forward(request)
    raise Unavailable


class Front(worker_service_pb2_grpc.WorkerServiceServicer):
    """`answers` by RPC name; `seen` are the requests of each RPC, in order."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.answers: dict[str, Answer] = {}
        self.seen: dict[str, list[Message]] = {"Claim": [], "Heartbeat": [], "Ack": [], "Fail": [], "Release": []}
        self._service = worker_service_pb2_grpc.WorkerServiceStub(channel)
        self._server = grpc.server(ThreadPoolExecutor(16))
        worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(grace=None).wait()

    def answer_once(self, name: str, answer: Answer) -> None:
        """Only the next call is answered so."""

        def once(request: Message, forward: Forward) -> Message:
            del self.answers[name]
            return answer(request, forward)

        self.answers[name] = once

    def _answer(self, name: str, request: Message, context: grpc.ServicerContext) -> Message:
        self.seen[name].append(request)

        def forward(request: Message) -> Message:
            return getattr(self._service, name)(request, timeout=context.time_remaining())

        try:
            answer = self.answers.get(name)
            return forward(request) if answer is None else answer(request, forward)
        except Unavailable:
            context.abort(grpc.StatusCode.UNAVAILABLE, "as the test wants it")
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata())
            context.abort(error.code(), error.details())

    def Claim(self, request: Message, context: grpc.ServicerContext) -> Message:
        return self._answer("Claim", request, context)

    def Heartbeat(self, request: Message, context: grpc.ServicerContext) -> Message:
        return self._answer("Heartbeat", request, context)

    def Ack(self, request: Message, context: grpc.ServicerContext) -> Message:
        return self._answer("Ack", request, context)

    def Fail(self, request: Message, context: grpc.ServicerContext) -> Message:
        return self._answer("Fail", request, context)

    def Release(self, request: Message, context: grpc.ServicerContext) -> Message:
        return self._answer("Release", request, context)
