import { type JobId, parseJobId } from '../../domain/job.ts';
import type { ReplayDifference } from '../../domain/replay.ts';
import type { Engine } from '../../engine/engine.ts';
import type { VerifyReplay } from '../../engine/queues/verify-replay.ts';
import type { QueueServiceService, VerifyReplayRequest } from '../../../gen/stint/v1/queue_service.ts';
import { readJobId, readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import { type Filter, formatPageToken, readPageSize, readPageToken } from '../page-token.ts';
import type { MethodHandler } from '../service.ts';

export function verifyReplay(engine: Engine): MethodHandler<typeof QueueServiceService.verifyReplay> {
  return async (request) => {
    const query = decode((fields) => readVerifyReplay(fields, request));
    const page = accepted(await engine.queues.verifyReplay(query));
    return {
      jobsVerified: page.jobsVerified,
      differences: page.differences.map(wireDifference),
      nextPageToken: page.nextAfter === null ? '' : formatPageToken(tokenFilter(query), page.nextAfter),
      passedOver: [...page.passedOver],
    };
  };
}

function readVerifyReplay(fields: Fields, request: VerifyReplayRequest): VerifyReplay {
  const scope = readScope(fields, readNamespace(fields, request.namespace), request.scope);
  const pageSize = readPageSize(fields, request.pageSize);
  const position = readPageToken(fields, request.pageToken, tokenFilter(scope));
  return scope.kind === 'job' ? scope : { ...scope, pageSize, after: position === null ? null : readPosition(fields, position) };
}

type Scope = Extract<VerifyReplay, { kind: 'job' }> | Pick<Extract<VerifyReplay, { kind: 'queue' }>, 'namespace' | 'kind' | 'queue'>;

function readScope(fields: Fields, namespace: string, scope: VerifyReplayRequest['scope']): Scope {
  switch (scope?.$case) {
    case 'jobId':
      return { namespace, kind: 'job', jobId: readJobId(fields, 'job_id', scope.jobId) ?? fields.giveUp() };
    case 'queue':
      return { namespace, kind: 'queue', queue: fields.name('queue', scope.queue) };
    case undefined:
      fields.refuse('scope', 'is required: one of job_id, queue');
      return fields.giveUp();
  }
}

function readPosition(fields: Fields, position: string): JobId | null {
  const after = parseJobId(position);
  if (after === null) fields.refuse('page_token', 'was not given by this service');
  return after;
}

function wireDifference({ jobId, field, folded, stored, atSequence }: ReplayDifference) {
  return { jobId, field, folded, stored, atSequence: BigInt(atSequence) };
}

function tokenFilter(scope: Scope): Filter {
  return ['VerifyReplay', scope.namespace, scope.kind, scope.kind === 'job' ? scope.jobId : scope.queue];
}
