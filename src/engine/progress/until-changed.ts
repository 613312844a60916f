import type { JobProgress } from '../../domain/progress.ts';
import type { JobWatch } from '../ports/event-log.ts';
import type { ProgressWatch } from './progress-board.ts';

/** Until something changed or the signal aborts; gives the progress that is told meanwhile, so that nothing has to be read again for it. */
export async function* progressUntilChanged(
  watch: JobWatch,
  following: ProgressWatch | null,
  signal: AbortSignal,
): AsyncGenerator<readonly JobProgress[]> {
  if (following === null) {
    await watch.changed(signal);
    return;
  }
  let isOver = false;
  const over = watch.changed(signal).then(() => {
    isOver = true;
  });
  const left = new AbortController();
  try {
    while (!isOver) {
      await Promise.race([over, following.news(left.signal)]);
      const told = following.take();
      if (told.length > 0) yield told;
    }
  } finally {
    left.abort();
  }
}
