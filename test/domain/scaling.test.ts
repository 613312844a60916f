import { describe, expect, it } from 'vitest';
import { CLAIMABLE_LOOKED_AT, claimableOf, type Claimables } from '../../src/domain/queue-stats.ts';
import { loadOf, type ScaleTrigger } from '../../src/domain/scaling.ts';

const counts = { scheduled: 0, blocked: 0, ready: 0, leased: 0, running: 0, retryWait: 0, suspended: 0 };

describe('what is claimable of a queue', () => {
  const many = CLAIMABLE_LOOKED_AT;
  it.each<[string, Partial<Claimables> & { ready?: number; running?: number }, number]>([
    ['is what was seen, not what external owners have too', { seen: 3, ready: 10 }, 3],
    ['is all that is READY where there is more than is looked at', { seen: many, ready: 10_000_000 }, 10_000_000],
    ['is what there is room for', { seen: 9, ready: 9, running: 4, maxInFlight: 10 }, 6],
    ['is nothing where more is in flight than may be', { seen: 9, ready: 9, running: 14, maxInFlight: 10 }, 0],
    ['is nothing where an operator stopped it', { seen: 9, ready: 9, limiter: 'STATUS' }, 0],
    ['waits for a permit', { seen: 9, ready: 9, limiter: 'RATE' }, 9],
  ])('%s', (_what, { ready = 0, running = 0, ...told }, expected) => {
    const jobs = { ...counts, ready, running };
    expect(claimableOf({ limiter: 'WORKERS', seen: 0, maxInFlight: null, ...told, jobs })).toBe(expected);
  });
});

describe('the load of a queue', () => {
  const trigger = (told: Partial<ScaleTrigger>): ScaleTrigger => ({
    ...{ queue: { namespace: 'n', name: 'q' }, scaleBy: 'backlog', target: 1, activationThreshold: 0 },
    ...told,
  });
  const stats = (claimable: number, running: number, oldestReadyMs: number | null = claimable > 0 ? 5_000 : null) => ({
    ...({
      namespace: 'n',
      name: 'q',
      observedAt: 0,
      status: 'ACTIVE',
      limiter: 'WORKERS',
      deadLetters: 0,
      oldestSnapshotMs: null,
    } as const),
    ...{ rates: { enqueued: 0, claimed: 0, finished: 0, failed: 0 }, jobs: { ...counts, running }, claimable, oldestReadyMs },
  });
  const byAge = { scaleBy: 'oldest_age' } as const;

  it.each<[string, Partial<ScaleTrigger>, ReturnType<typeof stats>, ReturnType<typeof loadOf>]>([
    ['nothing', {}, stats(0, 0), { value: 0, isActive: false, activeInMs: null }],
    ['what waits and what is held', {}, stats(3, 2), { value: 5, isActive: true, activeInMs: null }],
    ['what is held below the threshold', { activationThreshold: 9 }, stats(0, 2), { value: 2, isActive: true, activeInMs: null }],
    ['what waits at the threshold', { activationThreshold: 3 }, stats(3, 0), { value: 3, isActive: false, activeInMs: null }],
    ['an age', byAge, stats(3, 0), { value: 5, isActive: true, activeInMs: null }],
    ['no age, of a job this moment READY', byAge, stats(3, 0, 0), { value: 0, isActive: true, activeInMs: null }],
    ['an age below the threshold', { ...byAge, activationThreshold: 7 }, stats(3, 0), { value: 5, isActive: false, activeInMs: 2_000 }],
    ['no age where nothing can be claimed', byAge, stats(0, 0, 5_000), { value: 0, isActive: false, activeInMs: null }],
    ['no age, but jobs that are held', { ...byAge, activationThreshold: 7 }, stats(0, 1), { value: 0, isActive: true, activeInMs: null }],
  ])('is of %s', (_what, told, of, expected) => {
    expect(loadOf(of, trigger(told))).toEqual(expected);
  });
});
