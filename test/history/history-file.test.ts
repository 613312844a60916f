import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { HistoryReader, HistoryWriter, readHistory } from '../support/history/history-file.ts';
import type { SettleAsk } from '../support/history/record.ts';

function makeFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'stint-history-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, 'one.jsonl');
}

const ask: SettleAsk = { op: 'ack', process: 'p', replica: 'r', sentAtMs: 1.25, worker: 'p', jobId: 'j', fence: 2n ** 60n };
const told = { effect: 'APPLIED', state: 'SUCCEEDED' } as const;
const end = { outcome: 'ok', endedAtMs: 2.5, told } as const;

it('joins what was asked with what was told', () => {
  const file = makeFile();
  const writer = new HistoryWriter(file);
  const [first = 0, second = 0] = writer.send([ask, { ...ask, jobId: 'k' }]);
  writer.end([{ call: second, ended: { outcome: 'refused', endedAtMs: 3, reason: 'LEASE_LOST' } }]);
  writer.end([{ call: first, ended: end }]);
  expect(readHistory([file])).toEqual([
    { ...ask, jobId: 'k', outcome: 'refused', endedAtMs: 3, reason: 'LEASE_LOST' },
    { ...ask, ...end },
  ]);
});

it('takes a call for unknown when its process died before it was told', () => {
  const file = makeFile();
  new HistoryWriter(file).send([ask]);
  expect(readHistory([file])).toMatchObject([{ ...ask, outcome: 'unknown', endedAtMs: null }]);
});

it('reads on where it stopped, and leaves a line that is still being written', () => {
  const file = makeFile();
  const writer = new HistoryWriter(file);
  const reader = new HistoryReader(file);
  const [call = 0] = writer.send([ask]);
  expect(reader.next()).toEqual([]);
  writer.end([{ call, ended: end }]);
  const line = '{"op":"final_end","jobs":1,"subscribers":["é"]}\n';
  appendFileSync(file, Buffer.from(line).subarray(0, 45));
  expect(reader.next()).toEqual([{ ...ask, ...end }]);
  appendFileSync(file, Buffer.from(line).subarray(45));
  expect(reader.next()).toEqual([{ op: 'final_end', jobs: 1, subscribers: ['é'] }]);
});
