import type { Run } from './database.ts';
import { judgeSchema, readSchemaVersion, type Release } from './schema-version.ts';

/** A release that nobody should run any more works on for at most so long. */
const LOOK_INTERVAL_MS = 5_000;

export interface SchemaWatchParts {
  readonly run: Run;
  readonly release: Release;
  /** Once: the tables were changed to something that the release must not work on. */
  readonly onUnfit: (refusal: Error) => void;
}

/** Looks whether the tables still are what the release may work on: others migrate, and restore, beside it. */
export class SchemaWatch {
  readonly #parts: SchemaWatchParts;
  readonly #timer: NodeJS.Timeout;

  constructor(parts: SchemaWatchParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => void this.#look(), LOOK_INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const { run, release, onUnfit } = this.#parts;
    // A database that does not answer, or is half restored, says nothing of its version.
    const found = await readSchemaVersion(run).catch(() => null);
    const refusal = found === null ? null : judgeSchema(found, release);
    if (refusal === null) return;
    this.stop();
    onUnfit(refusal);
  }
}
