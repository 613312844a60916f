import { LIMITS } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import type { CompleteItem } from '../../engine/ports/repository.ts';
import { CompleteExternallyRequest, type JobServiceService } from '../../../gen/stint/v1/job_service.ts';
import { readContentType, readFailure } from '../decode.ts';
import { wireJob } from '../encode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { readOperate, readReason } from './operate.ts';

export function completeExternally(engine: Engine): MethodHandler<typeof JobServiceService.completeExternally> {
  return async (request) => {
    const command = decode((fields) => ({
      completion: readCompletion(fields, request),
      evidence: {
        authority: fields.requiredText('authority', request.authority, LIMITS.keyBytes),
        data: fields.bytes('evidence', request.evidence, LIMITS.evidenceBytes),
        contentType: readContentType(fields, 'evidence_content_type', request.evidenceContentType),
      },
      ...readOperate(fields, request, CompleteExternallyRequest),
    }));
    return { job: wireJob(accepted(await engine.jobs.completeExternally(command)).job) };
  };
}

function readCompletion(fields: Fields, { completion }: CompleteExternallyRequest): CompleteItem['completion'] {
  switch (completion?.$case) {
    case 'success': {
      const within = fields.within('success');
      const { result, contentType } = completion.success;
      return {
        kind: 'success',
        result: within.bytes('result', result, LIMITS.resultBytes),
        contentType: readContentType(within, 'content_type', contentType),
      };
    }
    case 'failure':
      return { kind: 'failure', failure: readFailure(fields.within('failure'), completion.failure.failure) };
    case 'cancellation':
      return { kind: 'cancellation', reason: readReason(fields.within('cancellation'), completion.cancellation.reason) };
    case undefined:
      fields.refuse('completion', 'is required: one of success, failure, cancellation');
      return fields.giveUp();
  }
}
