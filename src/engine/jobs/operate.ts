import type { Result } from '../../domain/error.ts';
import type { Done } from '../engine.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { Operated, OperateItem } from '../ports/repository.ts';

/** Cancel, update, retry, resume, abandon, complete: each goes through a lane of its own, and is answered after its commit. */
export async function operate<Item extends OperateItem, Outcome extends string>(
  lane: GroupCommit<Item, Operated<Outcome>>,
  command: Item,
): Promise<Result<Done<Outcome>>> {
  const operated = await lane.submit(command);
  if (operated.kind === 'refused') return { ok: false, refusal: operated.refusal };
  return { ok: true, value: { job: operated.job, outcome: operated.outcome } };
}
