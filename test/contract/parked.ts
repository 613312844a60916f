/** Claims that wait, for less long than the service takes to look again by itself: who gets something was woken. */
import type { ClaimResponse } from '../../gen/stint/v1/worker_service.ts';
import type { Scene } from './scene.ts';
import { seconds } from './stint.ts';

export interface Parked {
  readonly answer: Promise<ClaimResponse>;
}

/**
 * A claim that has come to the service, and that has looked, as far as can be told from outside. What wakes it is what comes next: all
 * that was committed before has been read by the service by then.
 */
export async function parked(one: Scene, request: Parameters<Scene['claim']>[0] = {}): Promise<Parked> {
  const { stint, namespace } = one;
  const queue = 'aside';
  const reading = stint.subscribe({ namespace, scope: { $case: 'queue', queue }, start: { $case: 'fromBeginning', fromBeginning: {} } });
  const untilRead = async () => {
    const { jobId } = await one.enqueue({ queue });
    while (!(await reading.next()).events.some((event) => event.jobId === jobId));
  };
  await untilRead();
  const claimed = one.claim({ wait: seconds(4), ...request });
  // Who fails before it is awaited is heard of all the same.
  claimed.catch(() => undefined);
  // Behind it on the same connection: the claim has arrived before this is answered.
  await stint.getServerInfo({});
  await untilRead();
  // What woke it meanwhile had its turn at the database.
  await stint.getServerInfo({});
  // Read on until then: the service hears of what others commit.
  const answer = claimed.finally(() => reading.cancel());
  answer.catch(() => undefined);
  return { answer };
}
