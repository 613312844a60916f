import { createHash } from 'node:crypto';
import type { JobSpec } from '../../domain/job.ts';

/**
 * SHA-256 of what makes a job's content: queue, type, content type, payload, each with its length before it, so that no two
 * contents read alike; and, of a job that is not rerunnable, its disposition; and its concurrency key. `stint.content_digest` is the
 * same in SQL, for jobs without a key. Everything else (priority, schedule, labels …) may differ between two requests for one job.
 */
export function contentDigest(spec: JobSpec): Uint8Array {
  const hash = createHash('sha256');
  for (const part of [spec.queue, spec.type, spec.contentType]) {
    hash.update(`${Buffer.byteLength(part)}:`).update(part);
  }
  hash.update(`${spec.payload.byteLength}:`).update(spec.payload);
  if (spec.disposition !== 'RERUNNABLE') hash.update(spec.disposition);
  if (spec.concurrencyKey !== '') hash.update(`key ${Buffer.byteLength(spec.concurrencyKey)}:`).update(spec.concurrencyKey);
  return hash.digest();
}
