import type { Engine } from '../../src/engine/engine.ts';
import type { InvariantPage } from '../../src/engine/ports/repository.ts';

/** All pages of what `CheckInvariants` finds wrong in a namespace. */
export async function violationsOf(engine: Pick<Engine, 'queues'>, namespace: string): Promise<InvariantPage['violations']> {
  const violations: InvariantPage['violations'][number][] = [];
  let after: string | null = null;
  do {
    const page: InvariantPage = await engine.queues.checkInvariants({ namespace, pageSize: 1_000, after });
    violations.push(...page.violations);
    after = page.next;
  } while (after !== null);
  return violations;
}
