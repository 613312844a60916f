import type { TerminalState } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import type { PruneItem } from '../../engine/ports/queues.ts';
import { JobState } from '../../../gen/stint/v1/job.ts';
import { PruneRequest, type QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import { readRequestKey } from '../request-key.ts';
import type { MethodHandler } from '../service.ts';

export function prune(engine: Engine): MethodHandler<typeof QueueServiceService.prune> {
  return async (request, call) => {
    const item = decode((fields) => readPrune(fields, request, call.peer));
    const { pruned, complete } = accepted(await engine.queues.prune(item));
    return { pruned: BigInt(pruned), complete };
  };
}

const TERMINAL: Readonly<Record<number, TerminalState>> = {
  [JobState.SUCCEEDED]: 'SUCCEEDED',
  [JobState.FAILED]: 'FAILED',
  [JobState.CANCELLED]: 'CANCELLED',
  [JobState.ABANDONED]: 'ABANDONED',
};

function readTerminalStates(fields: Fields, states: readonly JobState[]): readonly TerminalState[] {
  const read = fields.list('states', states, { min: 0, max: LIMITS.batchItems }, (state, path) => {
    const name = TERMINAL[state];
    if (name === undefined) fields.refuse(path, 'must be a terminal state: what is not over is not pruned');
    return name;
  });
  return [...new Set(read.filter((state) => state !== undefined))];
}

function readPrune(fields: Fields, request: PruneRequest, actor: string): PruneItem {
  const finishedBefore = fields.instant('finished_before', request.finishedBefore);
  if (finishedBefore === null) fields.refuse('finished_before', 'is required');
  return {
    actor,
    states: readTerminalStates(fields, request.states),
    namespace: readNamespace(fields, request.namespace),
    queue: fields.nameOr('queue', request.queue, null),
    finishedBefore: finishedBefore ?? 0,
    dryRun: request.dryRun,
    request: readRequestKey(fields, request, PruneRequest),
  };
}
