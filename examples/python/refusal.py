"""What a refused call says besides its code: google.rpc.Status, in the trailer grpc-status-details-bin."""

from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

Detail = TypeVar("Detail", bound=Message)


def detail_of(status: status_pb2.Status | None, kind: type[Detail]) -> Detail | None:
    """The first detail of this kind, such as `error_details_pb2.BadRequest`; None if there is none."""
    for packed in status.details if status is not None else ():
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None


def reason_of(error: grpc.RpcError) -> str:
    """The name in `stint.v1.ErrorReason`, without its prefix; empty where something else than the service refused."""
    # Also for what grpc.aio raises: rpc_status.aio is for its calls, whose metadata must be awaited.
    info = detail_of(rpc_status.from_call(error), error_details_pb2.ErrorInfo)
    return info.reason if info is not None and info.domain == "stint" else ""
