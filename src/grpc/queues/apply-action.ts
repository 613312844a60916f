import { LIMITS } from '../../domain/limits.ts';
import type { OperatorAction as Action } from '../../domain/queue.ts';
import type { Engine } from '../../engine/engine.ts';
import type { ActionItem } from '../../engine/ports/queues.ts';
import { ApplyActionRequest, OperatorAction, type QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import { readRequestKey } from '../request-key.ts';
import type { MethodHandler } from '../service.ts';
import { wireQueue } from './queue.ts';

export function applyAction(engine: Engine): MethodHandler<typeof QueueServiceService.applyAction> {
  return async (request, call) => {
    const item = decode((fields) => readAction(fields, request, call.peer));
    const { queue, changed } = accepted(await engine.queues.applyAction(item));
    return { queue: queue === null ? undefined : wireQueue(queue), changed };
  };
}

const ACTIONS: Readonly<Record<number, Action>> = {
  [OperatorAction.PAUSE]: 'PAUSE',
  [OperatorAction.RESUME]: 'RESUME',
  [OperatorAction.DRAIN_BACKLOG]: 'DRAIN_BACKLOG',
  [OperatorAction.DRAIN_IN_FLIGHT]: 'DRAIN_IN_FLIGHT',
};

function readAction(fields: Fields, request: ApplyActionRequest, actor: string): ActionItem {
  const queue = fields.nameOr('queue', request.queue, '') || null;
  const action = fields.choice<Action>('action', request.action, ACTIONS, 'PAUSE');
  if (queue === null && action !== 'PAUSE' && action !== 'RESUME') fields.refuse('action', 'of a whole namespace must be PAUSE or RESUME');
  return {
    ...{ queue, action, actor },
    namespace: readNamespace(fields, request.namespace),
    reason: fields.text('reason', request.reason, LIMITS.reasonBytes),
    request: readRequestKey(fields, request, ApplyActionRequest),
  };
}
