import type { Engine } from '../../engine/engine.ts';
import type { CheckInvariantsRequest, QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { decode, type Fields, isName } from '../fields.ts';
import { type Filter, formatPageToken, readPageSize, readPageToken } from '../page-token.ts';
import type { MethodHandler } from '../service.ts';

export function checkInvariants(engine: Engine): MethodHandler<typeof QueueServiceService.checkInvariants> {
  return async (request) => {
    const query = decode((fields) => readCheckInvariants(fields, request));
    const { violations, next } = await engine.queues.checkInvariants(query);
    return {
      violations: violations.map(({ invariant, jobId, detail }) => ({ invariant, jobId: jobId ?? '', detail })),
      nextPageToken: next === null ? '' : formatPageToken(tokenFilter(query.namespace), next),
    };
  };
}

function readCheckInvariants(fields: Fields, request: CheckInvariantsRequest) {
  fields.unserved('queue', request.queue !== '');
  fields.unserved('job_id', request.jobId !== '');
  const namespace = readNamespace(fields, request.namespace);
  const after = readPageToken(fields, request.pageToken, tokenFilter(namespace));
  if (after !== null && !isPosition(after)) fields.refuse('page_token', 'was not given by this service');
  return { namespace, pageSize: readPageSize(fields, request.pageSize), after };
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const INTEGER = /^-?\d{1,19}$/;

/** Bits of a queue's id, a rank and a position, as the database holds them; the job's id comes after them. */
const READY_KEY_BITS = [32, 64, 64];

/**
 * `jobs` or `held` and a UUID, `ready` and a token's key, `gates` or `keys` and a queue's number, or `queues` and a queue's name. A position
 * that no page ended with is refused here: past the last
 * pass it would read as *sound*.
 */
function isPosition(position: string): boolean {
  const [pass, key = '', ...rest] = position.split(' ');
  if (rest.length > 0) return false;
  if (pass === 'ready') return isReadyKey(key.split(':'));
  if (pass === 'gates' || pass === 'keys') return INTEGER.test(key) && fitsInto(32, key);
  if (pass === 'queues') return key === '' || isName(key);
  return (pass === 'jobs' || pass === 'held') && UUID.test(key);
}

function isReadyKey(parts: readonly string[]): boolean {
  if (parts.length !== READY_KEY_BITS.length + 1) return false;
  return READY_KEY_BITS.every((bits, index) => fitsInto(bits, parts[index] ?? '')) && UUID.test(parts.at(-1) ?? '');
}

function fitsInto(bits: number, text: string): boolean {
  return INTEGER.test(text) && BigInt.asIntN(bits, BigInt(text)) === BigInt(text);
}

function tokenFilter(namespace: string): Filter {
  return ['CheckInvariants', namespace];
}
