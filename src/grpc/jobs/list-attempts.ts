import type { Engine } from '../../engine/engine.ts';
import type { JobServiceService, ListAttemptsRequest } from '../../../gen/stint/v1/job_service.ts';
import { wireAttempt } from '../attempt.ts';
import { readNamespace, readRequiredJobId } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import { type Filter, formatPageToken, readPageSize, readPageToken } from '../page-token.ts';
import { attemptBytes, fitting } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';

export function listAttempts(engine: Engine): MethodHandler<typeof JobServiceService.listAttempts> {
  return async (request) => {
    const query = decode((fields) => readListAttempts(fields, request));
    const page = accepted(await engine.jobs.listAttempts(query));
    const attempts = fitting(page.attempts.map(wireAttempt), attemptBytes);
    const nextAfter = attempts.length < page.attempts.length ? attempts.at(-1)?.fence : page.nextAfter;
    return { attempts, nextPageToken: nextAfter ? formatPageToken(tokenFilter(query), String(nextAfter)) : '' };
  };
}

function readListAttempts(fields: Fields, request: ListAttemptsRequest) {
  const query = { namespace: readNamespace(fields, request.namespace), jobId: readRequiredJobId(fields, request.jobId) };
  const position = readPageToken(fields, request.pageToken, tokenFilter(query));
  return { ...query, pageSize: readPageSize(fields, request.pageSize), after: position === null ? 0n : readFence(fields, position) };
}

const FENCE = /^\d{1,19}$/;

function readFence(fields: Fields, position: string): bigint {
  if (FENCE.test(position) && BigInt.asIntN(64, BigInt(position)) === BigInt(position)) return BigInt(position);
  fields.refuse('page_token', 'was not given by this service');
  return 0n;
}

function tokenFilter({ namespace, jobId }: { readonly namespace: string; readonly jobId: string }): Filter {
  return ['ListAttempts', namespace, jobId];
}
