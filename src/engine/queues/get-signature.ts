import { createHash } from 'node:crypto';
import type { Result } from '../../domain/error.ts';
import { LIMITS } from '../../domain/limits.ts';
import { canonicalJob, canonicalQueue } from '../../domain/signature.ts';
import type { Repository } from '../ports/repository.ts';
import type { QueueDirectory } from '../queue-directory.ts';
import { findQueue } from './get-queue.ts';

export interface Signature {
  /** SHA-256 in lowercase hex. */
  readonly signature: string;
  readonly jobCount: number;
}

interface SignatureParts {
  readonly directory: QueueDirectory;
  readonly repository: Pick<Repository, 'signedJobs'>;
}

/** Each job is kept as its digest alone: a hundred thousand whole ones would be too much to hold at once. */
export async function getSignature(
  { directory, repository }: SignatureParts,
  query: { readonly namespace: string; readonly queue: string },
): Promise<Result<Signature>> {
  return directory.inCurrentHistory(async () => {
    const found = await findQueue(directory, query);
    if (!found.ok) return found;
    const jobs = await repository.signedJobs(found.value, LIMITS.signedJobs, (job) => sha256(canonicalJob(job)));
    if (jobs === null) return TOO_MANY;
    return { ok: true, value: { signature: sha256(canonicalQueue(jobs)), jobCount: jobs.backlog.length + jobs.others.length } };
  });
}

const TOO_MANY: Result<Signature> = {
  ok: false,
  refusal: { kind: 'invalid_field', violations: [{ field: 'queue', description: `holds more than ${LIMITS.signedJobs} jobs` }] },
};

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
