import { LIMITS } from '../../domain/limits.ts';
import type { Result } from '../../domain/error.ts';
import type { Engine, Enqueued } from '../../engine/engine.ts';
import type { EnqueueBatchRequest, EnqueueResult, JobServiceService } from '../../../gen/stint/v1/job_service.ts';
import { readNamespace } from '../decode.ts';
import { decode, decodeItem, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import { JobBudget } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';
import { refusalStatus } from '../status.ts';
import type { TraceHeaders } from '../../ops/trace-context.ts';
import { readJobSpec } from './job-spec.ts';
import { traceOf } from './trace-headers.ts';

export function enqueueBatch(engine: Engine): MethodHandler<typeof JobServiceService.enqueueBatch> {
  return async (request, call) => {
    const command = decode((fields) => readBatch(fields, request, traceOf(call)));
    const results = accepted(await engine.jobs.enqueueBatch(command));
    const budget = new JobBudget();
    return { results: results.map((result) => wireResult(result, budget)) };
  };
}

/** A bad item is a result of its own; only what concerns the whole batch refuses the call. */
function readBatch(fields: Fields, { namespace, jobs, atomic }: EnqueueBatchRequest, trace: TraceHeaders | null) {
  const items = fields.list('jobs', jobs, { min: 1, max: LIMITS.batchItems }, (job, path) =>
    decodeItem(path, (itemFields) => readJobSpec(itemFields, job, trace)),
  );
  return { namespace: readNamespace(fields, namespace), items, atomic };
}

function wireResult(result: Result<Enqueued>, budget: JobBudget): EnqueueResult {
  if (!result.ok) return { result: { $case: 'error', error: refusalStatus(result.refusal) }, deduplicated: false };
  return { result: { $case: 'job', job: budget.encode(result.value.job) }, deduplicated: result.value.deduplicated };
}
