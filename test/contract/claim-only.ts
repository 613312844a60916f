/**
 * What the contract says of `Claim` and of nothing else: left out where its workers talk over `Work`, each with its reason.
 * Tests by their name, or a whole file.
 */
interface ClaimOnly {
  readonly file: string;
  readonly tests: readonly string[] | 'all';
  readonly reason: string;
}

const NO_DECISION = 'a session is not told why nothing is assigned';

export const CLAIM_ONLY: readonly ClaimOnly[] = [
  { file: 'ack-next.test.ts', tests: 'all', reason: 'a session is assigned the next without asking' },
  { file: 'queue-mode.test.ts', tests: 'all', reason: 'a mode tells Claim from Work' },
  { file: 'request-id.test.ts', tests: 'all', reason: 'a session repeats no request' },
  {
    file: 'claim.test.ts',
    tests: ['is answered empty before the client gives up'],
    reason: 'a session is open for as long as its client likes',
  },
  { file: 'apply-action.test.ts', tests: ['who waits gets nothing, is told PAUSED, and goes on at RESUME at once'], reason: NO_DECISION },
  {
    file: 'paused-namespace.test.ts',
    tests: ['gives no job of any of its queues, takes new ones, and leaves other namespaces alone', 'stops who waits already'],
    reason: NO_DECISION,
  },
  {
    file: 'bounded-queue.test.ts',
    tests: [
      'tells BACKPRESSURE when the wait is over, and gives nothing afterwards to who has gone',
      'gets each place once, however many wait',
    ],
    reason: NO_DECISION,
  },
  { file: 'rate-limit.test.ts', tests: ['gives as many at once as in a period, where no burst is said'], reason: NO_DECISION },
];

/** Why a test says nothing of `Work`; null where it does. */
export function reasonToLeaveOut({ name, path }: { readonly name: string; readonly path: string }): string | null {
  const found = CLAIM_ONLY.find(({ file, tests }) => path.endsWith(`/contract/${file}`) && (tests === 'all' || tests.includes(name)));
  return found?.reason ?? null;
}
