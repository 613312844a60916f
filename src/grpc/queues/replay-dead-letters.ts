import { type DeadLetterId, formatDeadLetterId, parseDeadLetterId } from '../../domain/dead-letter.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import type { ReplayDeadLetters } from '../../engine/queues/replay-dead-letters.ts';
import type { ReplayStretch } from '../../engine/ports/dead-letters.ts';
import { type QueueServiceService, ReplayDeadLettersRequest } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import { readReason } from '../jobs/operate.ts';
import { type Filter, formatPageToken, readPageSize, readPageToken } from '../page-token.ts';
import { readRequestKey } from '../request-key.ts';
import type { MethodHandler } from '../service.ts';
import { refusalStatus } from '../status.ts';
import { readDeadLetterPosition } from './dead-letter.ts';

export function replayDeadLetters(engine: Engine): MethodHandler<typeof QueueServiceService.replayDeadLetters> {
  return async (request) => {
    const command = decode((fields) => readReplay(fields, request));
    const { results, next } = accepted(await engine.queues.replayDeadLetters(command));
    return {
      results: results.map(({ id, result }) => ({
        deadLetterId: formatDeadLetterId(id),
        result: result.ok ? { $case: 'jobId', jobId: result.value } : { $case: 'error', error: refusalStatus(result.refusal) },
      })),
      nextPageToken: next === null ? '' : formatPageToken(tokenFilter(command.namespace, request), `${next.after} ${next.until}`),
    };
  };
}

function readReplay(fields: Fields, request: ReplayDeadLettersRequest): ReplayDeadLetters {
  const namespace = readNamespace(fields, request.namespace);
  return {
    namespace,
    queue: fields.nameOr('queue', request.queue, null),
    chosen: request.deadLetterIds.length > 0 ? readIds(fields, request) : readFilter(fields, namespace, request),
    reason: readReason(fields, request.reason),
    dryRun: request.dryRun,
    request: readRequestKey(fields, request, ReplayDeadLettersRequest),
  };
}

/** All in one call: there are no pages, and nothing but the queue narrows them down. */
function readIds(fields: Fields, request: ReplayDeadLettersRequest): ReplayDeadLetters['chosen'] {
  const { deadLetterIds, type, failureCode, pageToken } = request;
  for (const [field, value] of Object.entries({ type, failure_code: failureCode, page_token: pageToken })) {
    if (value !== '') fields.refuse(field, 'goes with a filter, not with dead_letter_ids');
  }
  readPageSize(fields, request.pageSize);
  const ids = fields.list('dead_letter_ids', deadLetterIds, { min: 0, max: LIMITS.batchItems }, (text, path) => {
    const id = parseDeadLetterId(text);
    if (id === null) fields.refuse(path, 'was not given by this service');
    return id;
  });
  fields.distinct('dead_letter_ids', deadLetterIds);
  return { kind: 'ids', ids: ids.filter((id): id is DeadLetterId => id !== null) };
}

function readFilter(fields: Fields, namespace: string, request: ReplayDeadLettersRequest): ReplayDeadLetters['chosen'] {
  if (request.queue === '') fields.refuse('queue', 'is required where there are no dead_letter_ids');
  const position = readPageToken(fields, request.pageToken, tokenFilter(namespace, request));
  return {
    kind: 'filter',
    type: fields.nameOr('type', request.type, null),
    failureCode: fields.nameOr('failure_code', request.failureCode, null),
    pageSize: readPageSize(fields, request.pageSize),
    stretch: position === null ? null : readStretch(fields, position),
  };
}

function readStretch(fields: Fields, position: string): ReplayStretch {
  const [after = '', until = ''] = position.split(' ');
  return { after: readDeadLetterPosition(fields, after), until: readDeadLetterPosition(fields, until) };
}

function tokenFilter(namespace: string, { queue, type, failureCode }: ReplayDeadLettersRequest): Filter {
  return ['ReplayDeadLetters', namespace, queue, type, failureCode];
}
