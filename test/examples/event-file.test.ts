import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EventFile } from '../../examples/event-file.ts';
import { Event } from '../../gen/stint/v1/event.ts';
import { makeFolder } from '../embedded/starter.ts';

const event = (sequence: number) =>
  Event.fromPartial({
    jobId: 'job',
    sequence: BigInt(sequence),
    type: 'failed',
    occurredAt: { seconds: 1_700_000_000n, nanos: 1_002_000 },
    detail: { $case: 'failed', failed: { failure: { code: 'c', message: 'line\nline' }, evidence: { data: Buffer.from([0, 255]) } } },
  });

const pathOf = () => join(makeFolder(), 'events.jsonl');

const sequencesIn = (path: string): number[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"sequence"'))
    .map((line) => Number(/"sequence":"(\d+)"/.exec(line)?.[1]));

async function append(path: string, blocks: readonly (readonly [readonly number[], string])[]): Promise<void> {
  const file = await EventFile.open(path);
  for (const [sequences, cursor] of blocks) await file.append(sequences.map(event), cursor);
  await file.close();
}

describe('a file of events', () => {
  it('tells an event on one line, in words', async () => {
    const path = pathOf();
    await append(path, [[[1], 'a']]);
    const [line = ''] = readFileSync(path, 'utf8').split('\n');
    expect(JSON.parse(line)).toMatchObject({
      jobId: 'job',
      sequence: '1',
      type: 'failed',
      occurredAt: '2023-11-14T22:13:20.001002Z',
      state: 'UNSPECIFIED',
      detail: { failure: { code: 'c', message: 'line\nline' }, evidence: { data: 'AP8=' } },
    });
  });

  it('cut anywhere, goes on behind its last whole block', async () => {
    const path = pathOf();
    const blocks = [
      [[], 'a'],
      [[1, 2], 'b'],
      [[3], 'c'],
    ] as const;
    const ends: { readonly size: number; readonly cursor: string | null; readonly events: number }[] = [
      { size: 0, cursor: null, events: 0 },
    ];
    for (const block of blocks) {
      await append(path, [block]);
      ends.push({ size: readFileSync(path).length, cursor: block[1], events: sequencesIn(path).length });
    }
    const whole = readFileSync(path);
    for (let size = 0; size <= whole.length; size += size < 150 ? 1 : 5) {
      writeFileSync(path, whole.subarray(0, size));
      const file = await EventFile.open(path);
      const expected = ends.findLast((end) => end.size <= size);
      expect([file.cursor, readFileSync(path).length]).toEqual([expected?.cursor, expected?.size]);
      await file.append([event(9)], 'z');
      await file.close();
      expect(sequencesIn(path)).toEqual([...[1, 2, 3].slice(0, expected?.events), 9]);
    }
  });

  it('does not believe a cursor whose events did not reach the disk', async () => {
    const path = pathOf();
    await append(path, [
      [[1], 'a'],
      [[2, 3], 'b'],
    ]);
    const bytes = readFileSync(path);
    // As after a loss of power: the end was written, what stands before it was not.
    bytes.fill(0, bytes.indexOf('"sequence":"2"'), bytes.indexOf('"sequence":"3"'));
    writeFileSync(path, bytes);
    const file = await EventFile.open(path);
    expect(file.cursor).toBe('a');
    await file.close();
    expect(sequencesIn(path)).toEqual([1]);
  });

  it('is left alone where it is something else', async () => {
    const path = pathOf();
    for (const text of ['notes\n', '{"namespace":"mine"}\n', 'x']) {
      writeFileSync(path, text);
      await expect(EventFile.open(path)).rejects.toThrow('is not a file of events');
      expect(readFileSync(path, 'utf8')).toBe(text);
    }
  });

  it('that somebody else writes to is not written to', async () => {
    const path = pathOf();
    const [one, other] = [await EventFile.open(path), await EventFile.open(path)];
    await one.append([event(1)], 'a');
    await expect(other.append([event(1)], 'a')).rejects.toThrow('somebody else writes');
    for (const file of [one, other]) await file.close();
    expect(sequencesIn(path)).toEqual([1]);
  });
});
