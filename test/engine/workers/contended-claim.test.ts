import { describe, expect, it } from 'vitest';
import { StoreError } from '../../../src/engine/ports/store-error.ts';
import { throughGates } from '../../../src/engine/workers/contended-claim.ts';

const NOTHING = { jobs: [], limits: [] };

/** A claim that meets these one after the other, and then nothing. */
function meeting(...errors: readonly Error[]) {
  const left = [...errors];
  let looks = 0;
  const claim = throughGates(async () => {
    looks += 1;
    const error = left.shift();
    if (error !== undefined) throw error;
    return NOTHING;
  });
  return { claim: () => claim([], []), looks: () => looks };
}

const contended = () => new StoreError('contended', 'rows stayed locked');

describe('a claim that meets a locked gate', () => {
  it('looks again', async () => {
    const { claim, looks } = meeting(contended(), contended());
    await expect(claim()).resolves.toEqual(NOTHING);
    expect(looks()).toBe(3);
  });

  it('gives up after some looks', async () => {
    const { claim, looks } = meeting(...Array.from({ length: 20 }, contended));
    await expect(claim()).rejects.toThrow('rows stayed locked');
    expect(looks()).toBe(8);
  });

  it('does not hide another failure', async () => {
    const { claim, looks } = meeting(new StoreError('unavailable', 'away'));
    await expect(claim()).rejects.toThrow('away');
    expect(looks()).toBe(1);
  });
});
