import { LIMITS } from '../../domain/limits.ts';
import type { Operate, Reasoned } from '../../engine/engine.ts';
import { readNamespace, readRequiredJobId } from '../decode.ts';
import type { Fields } from '../fields.ts';
import { readRequestKey } from '../request-key.ts';

interface OperateRequest {
  readonly namespace: string;
  readonly jobId: string;
  readonly requestId: string;
}

type Codec<Message> = Parameters<typeof readRequestKey<OperateRequest & Message>>[2];

/** What every request names that changes one job. */
export function readOperate<Message extends OperateRequest>(fields: Fields, request: Message, codec: Codec<Message>): Operate {
  return {
    namespace: readNamespace(fields, request.namespace),
    request: readRequestKey(fields, request, codec),
    jobId: readRequiredJobId(fields, request.jobId),
  };
}

export function readReasoned<Message extends OperateRequest & { readonly reason: string }>(
  fields: Fields,
  request: Message,
  codec: Codec<Message>,
): Reasoned {
  return { reason: readReason(fields, request.reason), ...readOperate(fields, request, codec) };
}

export function readReason(fields: Fields, reason: string): string {
  return fields.text('reason', reason, LIMITS.reasonBytes);
}
