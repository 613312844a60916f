import type { Engine, ListAudit } from '../../engine/engine.ts';
import type { AuditRecord } from '../../engine/ports/queues.ts';
import type { AuditRecord as WireAuditRecord, ListAuditRecordsRequest, QueueServiceService } from '../../../gen/stint/v1/queue_service.ts';
import { readNamespace } from '../decode.ts';
import { timestamp } from '../encode.ts';
import { decode, type Fields } from '../fields.ts';
import { type Filter, formatPageToken, readPageSize, readPageToken } from '../page-token.ts';
import { auditBytes, fitting } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';

export function listAuditRecords(engine: Engine): MethodHandler<typeof QueueServiceService.listAuditRecords> {
  return async (request) => {
    const query = decode((fields) => readQuery(fields, request));
    const page = await engine.queues.listAudit(query);
    const records = fitting(page.records.map(wireRecord), auditBytes);
    const next = records.length < page.records.length ? page.records[records.length - 1]?.position : page.nextBefore;
    return { records, nextPageToken: next ? formatPageToken(filterOf(query), String(next)) : '' };
  };
}

const filterOf = ({ namespace, queue }: Pick<ListAudit, 'namespace' | 'queue'>): Filter => ['ListAuditRecords', namespace, queue];

function readQuery(fields: Fields, request: ListAuditRecordsRequest): ListAudit {
  const namespace = readNamespace(fields, request.namespace);
  const queue = fields.nameOr('queue', request.queue, '') || null;
  const position = readPageToken(fields, request.pageToken, filterOf({ namespace, queue }));
  return {
    namespace,
    queue,
    pageSize: readPageSize(fields, request.pageSize),
    before: position === null ? null : readPosition(fields, position),
  };
}

/** Of a record, as no page of ours ends otherwise. */
function readPosition(fields: Fields, position: string): bigint {
  if (/^\d{1,18}$/.test(position)) return BigInt(position);
  fields.refuse('page_token', 'was not given by this service');
  return 0n;
}

function wireRecord({ at, position: _position, ...record }: AuditRecord): WireAuditRecord {
  return { ...record, at: timestamp(at) };
}
