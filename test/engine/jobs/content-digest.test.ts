import { describe, expect, it } from 'vitest';
import type { JobSpec } from '../../../src/domain/job.ts';
import { contentDigest } from '../../../src/engine/jobs/content-digest.ts';
import { jobSpec, policy } from '../stage.ts';

const digest = (told: Partial<JobSpec>) => Buffer.from(contentDigest(jobSpec(told))).toString('hex');

describe('the digest of a content', () => {
  it.each<[string, Partial<JobSpec>]>([
    ['the queue', { queue: 'other' }],
    ['the type', { type: 'other' }],
    ['the content type', { contentType: 'other' }],
    ['the payload', { payload: Buffer.from('other') }],
    ['an empty payload', { payload: new Uint8Array() }],
  ])('differs by %s', (_what, told) => {
    expect(digest(told)).not.toBe(digest({}));
  });

  it('is by nothing else', () => {
    const rest: Partial<JobSpec> = {
      headers: { a: 'b' },
      labels: { a: 'b' },
      idempotency: { key: 'k', scope: 'UNTIL_TERMINAL', ttlMs: 5 },
      onDuplicate: 'REJECT',
      priority: 9,
      runAt: 9,
      retry: policy({ maxAttempts: 9 }),
    };
    expect(digest(rest)).toBe(digest({}));
  });

  it('tells apart contents that read alike when they are written one after the other', () => {
    const alike: Partial<JobSpec>[] = [
      { type: 'ab', contentType: 'c' },
      { type: 'a', contentType: 'bc' },
      { type: 'abc', contentType: '' },
      { type: '', contentType: 'abc' },
      { type: 'a', contentType: '', payload: Buffer.from('bc') },
      { type: 'ab1:c', contentType: '' },
    ];
    expect(new Set(alike.map((told) => digest({ payload: new Uint8Array(), ...told }))).size).toBe(alike.length);
  });
});
