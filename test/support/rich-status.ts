import type { ServiceError } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../gen/google/rpc/error_details.ts';
import { Status } from '../../gen/google/rpc/status.ts';

/** What the service says beside code and message: in the trailer of every failure of its own, and of no other. */
export const DETAILS_TRAILER = 'grpc-status-details-bin';

/** The rich status of a failed call, its details opened. */
export function richStatus(error: Pick<ServiceError, 'metadata'>) {
  const [bytes] = error.metadata.get(DETAILS_TRAILER);
  if (!(bytes instanceof Buffer)) throw new Error('the call carried no details');
  return openStatus(Status.decode(bytes), bytes.byteLength);
}

export function openStatus(status: Status, size = 0) {
  const detail = (name: string) => status.details.find(({ typeUrl }) => typeUrl === `type.googleapis.com/google.rpc.${name}`)?.value;
  const info = detail('ErrorInfo');
  const badRequest = detail('BadRequest');
  const retryInfo = detail('RetryInfo');
  return {
    code: status.code,
    message: status.message,
    size,
    names: status.details.map(({ typeUrl }) => typeUrl.slice(typeUrl.lastIndexOf('.') + 1)),
    info: info === undefined ? undefined : ErrorInfo.decode(info),
    violations: badRequest === undefined ? [] : BadRequest.decode(badRequest).fieldViolations,
    retryDelay: retryInfo === undefined ? undefined : RetryInfo.decode(retryInfo).retryDelay,
  };
}
