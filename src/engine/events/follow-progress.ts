import type { Subscribe } from '../engine.ts';
import type { ProgressBoard, ProgressWatch } from '../progress/progress-board.ts';

/** Null where the subscriber did not ask for it. `types` do not apply: progress is no event. */
export function followProgress(board: ProgressBoard, { namespace, scope, includeProgress = false }: Subscribe): ProgressWatch | null {
  if (!includeProgress) return null;
  return board.follow(scope.kind === 'job' ? scope : { ...scope, namespace });
}
