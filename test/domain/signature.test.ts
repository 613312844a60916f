import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ATTEMPT_OUTCOMES } from '../../src/domain/attempt.ts';
import { JOB_STATES } from '../../src/domain/job.ts';
import { canonicalJob, canonicalQueue, type SignedJob } from '../../src/domain/signature.ts';

/** Short texts of few letters, digits and colons: what could be mistaken for another part. */
const text = fc.string({ unit: fc.constantFrom('1', '2', ':', 'a', '→'), maxLength: 4 });
const few = fc.integer({ min: 0, max: 12 });
const list = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 3 });

const anyJob: fc.Arbitrary<SignedJob> = fc.record({
  type: text,
  contentType: text,
  payloadDigest: text,
  idempotencyKey: text,
  labels: fc.dictionary(text, text, { maxKeys: 3, noNullPrototype: true }),
  disposition: fc.constantFrom('RERUNNABLE', 'OWNER_BOUND', 'EXTERNALLY_OWNED'),
  priority: fc.integer({ min: -12, max: 12 }),
  state: fc.constantFrom(...JOB_STATES),
  life: few,
  attempt: few,
  attempts: list(fc.record({ life: few, attempt: few, outcome: fc.constantFrom(...ATTEMPT_OUTCOMES), failureCode: text, reason: text })),
  ends: list(fc.record({ life: few, type: few, failureCode: text, reason: text })),
  marks: list(fc.record({ type: few, life: few, reason: text })),
});

/** Another job, but for one of its parts. */
const alteredJob = fc
  .tuple(anyJob, anyJob)
  .chain(([job, other]) =>
    fc.constantFrom(...(Object.keys(job) as (keyof SignedJob)[])).map((part) => ({ job, altered: { ...job, [part]: other[part] }, part })),
  );

const sameValue = (one: unknown, other: unknown) => JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
const sorted = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value).toSorted() : value;

describe('the canonical text of a job', () => {
  it('is another one where any part is', () => {
    fc.assert(
      fc.property(alteredJob, ({ job, altered, part }) => {
        expect(canonicalJob(altered) === canonicalJob(job)).toBe(sameValue(altered[part], job[part]));
      }),
      { numRuns: 2_000 },
    );
  });

  it('is another one for any two jobs that differ', () => {
    fc.assert(
      fc.property(anyJob, anyJob, (one, other) => {
        const parts = Object.keys(one) as (keyof SignedJob)[];
        expect(canonicalJob(one) === canonicalJob(other)).toBe(parts.every((part) => sameValue(one[part], other[part])));
      }),
    );
  });

  it('does not depend on the order of the labels', () => {
    fc.assert(
      fc.property(anyJob, (job) => {
        const turned = Object.fromEntries(Object.entries(job.labels).toReversed());
        expect(canonicalJob({ ...job, labels: turned })).toBe(canonicalJob(job));
      }),
    );
  });

  it('tells one attempt with a long reason from two, and one list from the next', () => {
    const job: SignedJob = {
      type: '',
      contentType: '',
      payloadDigest: '',
      idempotencyKey: '',
      labels: {},
      disposition: 'RERUNNABLE',
      priority: 0,
      state: 'READY',
      life: 1,
      attempt: 0,
      attempts: [],
      ends: [],
      marks: [],
    };
    const end = { life: 1, type: 13, failureCode: '', reason: 'r' };
    const mark = { life: 1, type: 13, reason: 'r' };
    const texts = [job, { ...job, ends: [end] }, { ...job, ends: [end, end] }, { ...job, marks: [mark] }].map(canonicalJob);
    expect(new Set(texts).size).toBe(texts.length);
  });
});

describe('the canonical text of a queue', () => {
  const jobs = fc.array(text, { minLength: 2, maxLength: 8 });

  it('depends on the order of the backlog', () => {
    fc.assert(
      fc.property(jobs, fc.nat(), (backlog, seed) => {
        const cut = seed % backlog.length;
        const turned = [...backlog.slice(cut), ...backlog.slice(0, cut)];
        const isSame = turned.every((one, index) => one === backlog[index]);
        expect(canonicalQueue({ backlog: turned, others: [] }) === canonicalQueue({ backlog, others: [] })).toBe(isSame);
      }),
    );
  });

  it('does not depend on the order in which the others were found', () => {
    fc.assert(
      fc.property(jobs, (others) => {
        expect(canonicalQueue({ backlog: [], others: others.toReversed() })).toBe(canonicalQueue({ backlog: [], others }));
      }),
    );
  });

  it('tells a job of the backlog from one of the others, and how often one is there', () => {
    fc.assert(
      fc.property(jobs, text, (others, job) => {
        const here = canonicalQueue({ backlog: [job], others });
        expect(canonicalQueue({ backlog: [], others: [job, ...others] })).not.toBe(here);
        expect(canonicalQueue({ backlog: [job, job], others })).not.toBe(here);
        expect(canonicalQueue({ backlog: [job], others: [...others, job] })).not.toBe(here);
      }),
    );
  });
});
