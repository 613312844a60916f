import type { Engine } from '../../engine/engine.ts';
import type { DeadLetterFilter } from '../../engine/ports/dead-letters.ts';
import type { ListDeadLettersRequest, QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readJobId, readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import { type Filter, formatPageToken, readPageSize, readPageToken } from '../page-token.ts';
import { deadLetterBytes, fitting } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';
import { readDeadLetterPosition, wireDeadLetter } from './dead-letter.ts';

export function listDeadLetters(engine: Engine): MethodHandler<typeof QueueServiceService.listDeadLetters> {
  return async (request) => {
    const query = decode((fields) => readListDeadLetters(fields, request));
    const page = accepted(await engine.queues.listDeadLetters(query));
    const deadLetters = fitting(page.deadLetters.map(wireDeadLetter), deadLetterBytes);
    const isCut = deadLetters.length < page.deadLetters.length;
    const next = isCut ? page.deadLetters[deadLetters.length - 1]?.position : page.nextAfter;
    return { deadLetters, nextPageToken: next ? formatPageToken(tokenFilter(query.filter), String(next)) : '' };
  };
}

function readListDeadLetters(fields: Fields, request: ListDeadLettersRequest) {
  const filter: DeadLetterFilter = {
    namespace: readNamespace(fields, request.namespace),
    queue: fields.nameOr('queue', request.queue, null),
    type: fields.nameOr('type', request.type, null),
    failureCode: fields.nameOr('failure_code', request.failureCode, null),
    jobId: request.jobId === '' ? null : readJobId(fields, 'job_id', request.jobId),
    includeReplayed: request.includeReplayed,
  };
  const position = readPageToken(fields, request.pageToken, tokenFilter(filter));
  return {
    filter,
    pageSize: readPageSize(fields, request.pageSize),
    after: position === null ? null : readDeadLetterPosition(fields, position),
  };
}

function tokenFilter({ namespace, queue, type, failureCode, jobId, includeReplayed }: DeadLetterFilter): Filter {
  return ['ListDeadLetters', namespace, queue, type, failureCode, jobId, includeReplayed];
}
