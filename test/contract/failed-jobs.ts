/** Jobs whose lives have failed, and what is told of them. */
import { expect } from 'vitest';
import type { DeadLetter } from '../../gen/stint/v1/queue.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import type { Scene } from './scene.ts';

export type ListRequest = Parameters<Scene['stint']['listDeadLetters']>[0];

/** Every dead letter of the scene's namespace, page by page. */
export async function letters({ stint, namespace }: Scene, request: ListRequest = {}): Promise<readonly DeadLetter[]> {
  const found: DeadLetter[] = [];
  for (let pageToken: string | undefined; pageToken !== '';) {
    const page = await stint.listDeadLetters({ namespace, pageToken: pageToken ?? '', ...request });
    found.push(...page.deadLetters);
    pageToken = page.nextPageToken;
  }
  return found;
}

export const onlyOne = (found: readonly DeadLetter[]) => {
  expect(found).toHaveLength(1);
  return found[0] ?? expect.unreachable();
};

export const terminal = (code = 'poison') => ({ code, kind: FailureKind.TERMINAL });

/** A job whose life has failed; its dead letter's id. */
export async function failedJob(one: Scene, spec: Parameters<Scene['enqueue']>[0] = {}, code?: string) {
  const { jobId, leaseToken } = await one.enqueueAndClaim(spec, { queues: [spec?.queue ?? one.queue] });
  const { consequence } = await one.stint.fail({ leaseToken, failure: terminal(code) });
  if (consequence?.$case !== 'deadLettered') throw new Error('not dead-lettered');
  return { jobId, deadLetterId: consequence.deadLettered.deadLetterId };
}
